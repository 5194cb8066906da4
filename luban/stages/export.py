"""Write the trained model in formats of the wider world, each checked against the original."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from luban.core.contracts import Exporter, Stage
from luban.core.report import Claim, Report
from luban.run import Run
from luban.stages._prepared import held_out_split, open_store
from luban.trained import load_trained


class Export(Stage):
    """One folder for each format, in ``export/``."""

    formats: tuple[Exporter, ...] = Field(
        default=("huggingface",), validate_default=True, description="Exporters by name."
    )
    needs: ClassVar[tuple[str, ...]] = ("train",)

    def perform(self, run: Run) -> None:
        """Write every format into ``export/<format>``."""
        for exporter in self.formats:
            run.say(f"export: {exporter.name}")
        self._write(run, run.path / "export")

    def measure(self, run: Run) -> Report:
        """Write every format again, elsewhere, and compare its outputs with the module's."""
        with tempfile.TemporaryDirectory(prefix="luban-export-") as folder:
            reports = self._write(run, Path(folder))
        claims: dict[str, Claim] = {}
        for report in reports:
            claims |= report.claims
        tolerance = max((report.tolerance for report in reports), default=1e-3)
        text = [f"Written to `export/{exporter.name}/`." for exporter in self.formats]
        return Report("export", claims, details={"text": text}, tolerance=tolerance)

    def _write(self, run: Run, folder: Path) -> list[Report]:
        task, module = load_trained(run)
        view = task.view(open_store(run, held_out_split(run)), None, run.recipe.seed)
        looked = [view[i] for i in range(min(100, len(view)))]
        looked.sort(key=lambda example: sum(array.size for array in example.values()))
        sample = task.collate(looked[:2])  # the shortest: tracing is slow
        return [
            exporter.write(module, sample, run.path / "model", folder / exporter.name)
            for exporter in self.formats
        ]
