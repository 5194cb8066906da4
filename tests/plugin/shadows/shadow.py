"""A stage that trains two small models of its own, each on every second training example."""

from __future__ import annotations

from typing import ClassVar

from luban.core.contracts import Examples, Model, Stage
from luban.core.files import sha256_of
from luban.core.report import Claim, Report
from luban.data.views.in_memory import InMemoryExamples
from luban.run import Run
from luban.stages._prepared import open_store
from luban.stages.training.identity import identity_of
from luban.stages.training.options import TrainingOptions
from luban.stages.training.train_model import nested_run, train_model


class Shadow(Stage):
    """Two models that saw other halves of the training examples."""

    model: Model
    training: TrainingOptions
    needs: ClassVar[tuple[str, ...]] = ("train",)

    def perform(self, run: Run) -> None:
        """Train both."""
        task, store = run.task(), open_store(run, "train")
        held_out = open_store(run, "validation")
        for half in range(2):
            some = [store[i] for i in range(half, len(store), 2)]
            examples: dict[str, Examples] = {
                "train": InMemoryExamples(some),
                "validation": held_out,
            }
            inner = nested_run(run, f"shadow/{half}", task, self.model, seed=half)
            own = identity_of(inner, self.training, task, examples)
            trained = train_model(inner, self.training, task, examples, own)
            _, module = trained.load()
            assert not module.training
            run.write_json(f"shadow/{half}.json", trained.state.to_dict()["best"])

    def measure(self, run: Run) -> Report:
        """Return the digests of their weights."""
        claims = {}
        for half in range(2):
            digest = sha256_of(run.path / f"shadow/{half}/model/model.safetensors")
            claims[f"weights of {half}"] = Claim(digest[:16])
        return Report("shadow", claims)
