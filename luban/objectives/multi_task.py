"""Learn another task beside the main one, on the same body.

Shapes: B examples, T positions, D width of the features.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from luban.core.batch import Batch, Losses, LossFn
from luban.core.contracts import Example, Objective, Signature, Source, Task
from luban.core.errors import DataError, RecipeError
from luban.core.files import temporary_folder
from luban.data.checks.set_apart import Apart, usable
from luban.data.store import encoded_batches
from luban.data.views.in_memory import InMemoryExamples
from luban.objectives._parts import added, features_of

_HERE = "train.objectives.multi-task"


class MultiTask(Objective):
    """Adds the loss of a second task, through a head of its own over the model's features.

    Hard parameter sharing (Caruana 1997). Each example of the main task brings one of the second,
    drawn with replacement. The second task reads with the main task's tokenizer; its head is
    trained and kept in checkpoints, and not written into ``model/``.
    """

    task: Task = Field(description="The second task; its tokenizer is replaced.")
    source: Source = Field(description="Its records; the train split is used, held in memory.")
    weight: float = Field(default=0.5, gt=0, description="Of the added loss, per unit counted.")
    max_unreadable: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of its records set apart that is bearable, as in `prepare`.",
    )

    def attach(self, module: nn.Module, task: Task) -> None:
        """Add the second task's head to ``module.auxiliary``.

        Raises:
            RecipeError: if the model has no features, or they do not suit the second task.
            DataError: for records the second task cannot use.
        """
        main, signature = task.signature(), self._learned(task).signature()
        if not hasattr(module, "features"):
            raise RecipeError(
                "this model has no features that a second head could read.",
                where=_HERE,
                expected="a module with features(**inputs)",
            )
        looks_back = main.produces == "next"
        if (
            signature.chain
            or signature.produces == "sequence"
            or (signature.produces == "next") != looks_back
        ):
            raise RecipeError(
                "the second task does not fit on this body.",
                where=f"{_HERE}.task",
                expected="next tokens" if looks_back else "labels, tags (no CRF), tokens or spans",
                got="tags scored together" if signature.chain else signature.produces,
            )
        if signature.segments > main.segments or (main.length and signature.length > main.length):
            raise RecipeError(
                "the model is built for shorter inputs, or for single texts.",
                where=f"{_HERE}.task",
                expected=f"at most {main.length:,} positions and {main.segments} text(s)",
                got=f"{signature.length:,} positions and {signature.segments} text(s)",
                fix="lower the second task's length, or swap the two tasks.",
            )
        parts = getattr(module, "auxiliary", None) or nn.ModuleDict()
        parts[self._key] = nn.Linear(_width(module), signature.outputs)
        module.auxiliary = parts

    def wrap(self, loss: LossFn, task: Task) -> LossFn:
        """Return the loss plus the weighted loss of the second task.

        Raises:
            DataError: for records the second task cannot use.
        """
        second, key = self._learned(task), self._key
        store, _ = self._examples(second)

        def wrapped(model: nn.Module, batch: Batch) -> Losses:
            main = loss(model, batch)
            view = second.view(store, int(torch.randint(1 << 20, ())), 0)
            drawn = torch.randint(len(view), (len(batch),)).tolist()
            theirs = second.collate([view[at] for at in drawn]).to(main.sums.device)
            head = model.get_submodule("auxiliary").get_submodule(key)
            extra = second.loss(_Branch(model, head, second.signature()), theirs)
            return added(main, extra, self.weight)

        return wrapped

    def told(self, task: Task) -> str:
        """Return how many records the second task has, and how many of them are set apart."""
        store, apart = self._examples(self._learned(task))
        line = f"The second task ({self.task.name}) learns from {len(store):,} records"
        if apart:
            line += f"; {len(apart):,} are set apart: {apart.told()}"
        return f"{line}; a share of {self.max_unreadable:g} set apart would be bearable."

    @property
    def _key(self) -> str:
        return f"{self.name}-{self.digest()}"

    def _learned(self, main: Task) -> Task:
        """Return the second task with its labels learned and the main task's tokenizer."""
        tokenizer = getattr(main, "tokenizer", None)
        if tokenizer is None or not hasattr(self.task, "tokenizer"):
            raise RecipeError("a task without a tokenizer cannot share one.", where=f"{_HERE}.task")
        with temporary_folder() as folder:
            self.task.learn(usable(self.source.read("train"))).save(folder)
            tokenizer.save(folder)
            # Loaded, not just replaced: what else depends on a tokenizer (a chat template, say)
            # is made anew.
            second = self.task.model_copy(update={"tokenizer": tokenizer}).load(folder)
        if second.signature().produces == "tokens" and tokenizer.special("mask") is None:
            raise RecipeError(
                "the main task's tokenizer has no token that hides another.",
                where=f"{_HERE}.task",
                fix="start from a pretrained encoder's tokenizer, or choose another second task.",
            )
        return second

    def _examples(self, second: Task) -> tuple[InMemoryExamples, Apart]:
        """Return the examples of the second task, and the records that are set apart.

        Raises:
            DataError: if there are too many of these, or no example.
        """
        apart, found = Apart(), list[Example]()
        for _, examples in encoded_batches(second, usable(self.source.read("train"), apart), apart):
            found += examples
        if not found:
            raise DataError("the second task has no examples to learn from.", where=_HERE)
        apart.check(len(apart) + len(found), unreadable=self.max_unreadable)
        return InMemoryExamples(found), apart


class _Branch(nn.Module):
    """The shared body with the second task's head, as the second task's loss wants a model."""

    def __init__(self, body: nn.Module, head: nn.Module, signature: Signature) -> None:
        super().__init__()
        self.body, self.head, self.signature = body, head, signature
        self.training = body.training

    def forward(self, **inputs: Tensor) -> Tensor:
        """Return the second task's logits; one label comes from the mean over real positions."""
        x_BTD = features_of(self.body, Batch(inputs, {}))
        if self.signature.produces == "label":
            mask = inputs.get("attention_mask", torch.ones_like(x_BTD[..., 0]))[..., None]
            x_BTD = (x_BTD * mask).sum(1) / mask.sum(1)
        logits: Tensor = self.head(x_BTD)
        return logits


def _width(module: nn.Module) -> int:
    """Return the width of the features."""
    mode = module.training
    stem = next(module.get_submodule("stem").parameters())
    with torch.no_grad():
        ids = torch.zeros(1, 4, dtype=torch.int64, device=stem.device)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        width = features_of(module.eval(), Batch(inputs, {})).shape[-1]
    module.train(mode)
    return width
