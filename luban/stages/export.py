"""Write the trained model in formats of the wider world, each checked against the original."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from luban.core.contracts import Exporter, Product, Stage, Task
from luban.core.files import temporary_folder
from luban.core.report import Claim, Report
from luban.engine.saved import write_saved
from luban.run import Run
from luban.stages._prepared import held_out_split, open_store
from luban.trained import load_trained


class Export(Stage):
    """One folder for each format, in ``export/``."""

    formats: tuple[Exporter, ...] | None = Field(
        default=None,
        description="Exporters by name; by default huggingface where transformers has a class that "
        "computes the same, else torch-export.",
    )
    needs: ClassVar[tuple[str, ...]] = ("train",)

    def perform(self, run: Run) -> None:
        """Write every format into ``export/<format>``."""
        self._write(run, run.path / "export")

    def measure(self, run: Run) -> Report:
        """Write every format again, elsewhere, and compare its outputs with the module's."""
        with temporary_folder(inside=run.path if run.main else None) as folder:
            reports, what = self._write(run, folder, say=False)
        claims: dict[str, Claim] = {}
        for report in reports:
            claims |= report.claims
        tolerance = max((report.tolerance for report in reports), default=1e-3)
        text = [f"Written to `export/{name}/`." for report in reports for name in report.details]
        if what:
            text.append(what)
        return Report("export", claims, details={"text": text}, tolerance=tolerance)

    def _write(self, run: Run, folder: Path, *, say: bool = True) -> tuple[list[Report], str]:
        """Return a report of each format, and what was written if not the model itself."""
        task, module = load_trained(run)
        view = task.view(open_store(run, held_out_split(run)), None, run.recipe.seed)
        looked = [view[i] for i in range(min(100, len(view)))]
        looked.sort(key=lambda example: sum(array.size for array in example.values()))
        batch = task.collate(looked[:2])  # the shortest: tracing is slow
        with temporary_folder(inside=run.path if run.main else None) as temporary:
            saved = run.path / "model"
            if (folded := task.folded(module, batch)) is not task:  # a run of an older version
                task, saved = folded, temporary
                write_saved(saved, task, run.recipe.model, module)
            product = task.exported(module, batch)
            reports = []
            for exporter in self._formats(run, task, product):
                if say:
                    run.say(f"export: {exporter.name}")
                reports.append(exporter.write(product, saved, folder / exporter.name))
        return reports, product.note

    def _formats(self, run: Run, task: Task, product: Product) -> tuple[Exporter, ...]:
        if self.formats is not None:
            return self.formats
        theirs = "architectures" in run.recipe.model.hf_config(task.signature())
        name = "huggingface" if theirs and not product.beyond else "torch-export"
        return (Exporter.from_dict(name),)
