"""The laws bite: faults in models, tasks, adapters and objectives break one each, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import nn

from luban.adapters.freeze import Freeze
from luban.adapters.lora import Lora
from luban.core.batch import Batch, Losses, LossFn
from luban.core.contracts import (
    Adapter,
    Model,
    Objective,
    Signature,
    Task,
)
from luban.core.errors import ContractError
from luban.data.tokenizers.char import Char
from luban.mechanisms.plain import Plain
from luban.models.gpt import GPT
from luban.models.rnn import RNN
from luban.objectives.adversarial import Adversarial
from luban.objectives.denoising import Denoising
from luban.tasks.text_generation import TextGeneration
from luban.testing import (
    check_adapter,
    check_model,
    check_objective,
    check_task,
)

RECORDS = [{"text": text, "_where": f"a:{i}"} for i, text in enumerate(["ab", "a", "abab", "bb"])]
TEXTS = [record["text"] for record in RECORDS]
T = TypeVar("T")


@pytest.fixture(autouse=True)
def _components_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The faulty ones below have no file of their own, so no name leads to them."""
    for module in ("around", "data", "task", "training"):
        monkeypatch.setattr(f"luban.testing.{module}.check_component", lambda component: None)


def breaks(law: str, check: Callable[..., None], *args: Any, **options: Any) -> None:
    with pytest.raises(ContractError, match=law):
        check(*args, **options)


class Omnivore(RNN):
    """Takes whatever signature there are."""

    def build(self, signature: Signature) -> Any:
        return super().build(Signature("tokens", signature.inputs, signature.outputs))


class Renamed(RNN):
    """Loses its weights on the way to Hugging Face and back."""

    def from_hf(self, tensors: Any) -> dict[str, torch.Tensor]:
        return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("model", "law"), [(Omnivore(), "refuses signature"), (Renamed(), r"from_hf\(to_hf")]
)
def test_models(model: Model, law: str) -> None:
    batch = Batch({"input_ids": torch.ones(2, 3, dtype=torch.int64)}, {})
    breaks(law, check_model, model, Signature("tokens", 5, 5), batch)


class CountsPadding(TextGeneration):
    """The loss of an example grows with its neighbours' length."""

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        labels = batch.targets["labels"].clamp(min=0)
        return super().loss(model, Batch(batch.inputs, {"labels": labels}))


class BatchMean(TextGeneration):
    """Gives every example the mean of the batch."""

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        losses = super().loss(model, batch)
        return Losses(losses.mean * losses.counts, losses.counts)


class Ranked(TextGeneration):
    """Predicts relative to the batch."""

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        found = super().predict(model, batch)
        return [{"nats": item["nats"] - found[0]["nats"]} for item in found]


class Random(TextGeneration):
    """Shifts the windows it is evaluated on."""

    def view(self, store: Any, epoch: int | None, seed: int) -> Any:
        return super().view(store, seed if epoch is None else epoch, seed)


class OfRecords(TextGeneration):
    """Tells how long its records are, where windows are asked for."""

    def view(self, store: Any, epoch: int | None, seed: int) -> Any:
        return super().view(store, epoch, seed).knowing(lengths=lambda: store.lengths("input_ids"))


class Unheard(TextGeneration):
    """Describes its examples, but does not say that it can."""

    def describe(self, example: Any, prediction: Any, target: Any) -> dict[str, str]:
        return {"prediction": str(prediction)}


def task(kind: type[Task], context: int = 2) -> Task:
    return kind(context=context, tokenizer=Char())  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (CountsPadding, "padding does not change"),
        (BatchMean, "padding does not change"),
        (Ranked, "a prediction does not depend"),
        (Random, "the view for evaluation"),
        (OfRecords, "lengths and groups are those of each example"),
        (Unheard, "describe: only a task that is Illustrated is asked"),
    ],
)
def test_tasks(kind: type[Task], law: str) -> None:
    model = RNN(hidden_size=4)
    breaks(law, check_task, task(kind), model, RECORDS, mechanism=Plain())


class MeanOfMeans(Plain):
    """Each micro-batch on its own: the fault of transformers#34191."""

    def accumulate(self, model: nn.Module, batch: Batch, loss: LossFn) -> Losses:
        losses = loss(model, batch)
        losses.mean.backward()  # type: ignore[no-untyped-call]
        return losses.detach()


def test_a_mean_of_means_is_found() -> None:
    arguments = (task(TextGeneration), RNN(hidden_size=4), RECORDS)
    check_task(*arguments, mechanism=Plain())
    breaks("micro-batches of 1", check_task, *arguments, mechanism=MeanOfMeans())


TINY = GPT(hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
SIGNATURES, BATCH = (
    Signature("tokens", 5, 5, 4, 0, 1),
    Batch({"input_ids": torch.arange(8).view(2, 4) % 5}, {}),
)


class Thawed(Freeze):
    """Trains everything."""

    def apply(self, module: nn.Module, fresh: Sequence[str] = ()) -> nn.Module:
        return module


class Sticky(Lora):
    """Never takes the adapter out."""

    def merge(self, module: nn.Module) -> nn.Module:
        return module


class Jumpy(Lora):
    """Does not start where the model is."""

    def apply(self, module: nn.Module, fresh: Sequence[str] = ()) -> nn.Module:
        adapted = super().apply(module, fresh)
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                nn.init.ones_(parameter)
        return adapted


class Forgetful(Freeze):
    """Writes nothing apart."""

    def save(self, module: nn.Module, model: Model, folder: Path) -> None:
        pass


@pytest.mark.parametrize(
    ("adapter", "law"),
    [
        (Thawed(), "few parameters are trained"),
        (Sticky(r=1), "the names are the plain module's"),
        (Jumpy(), "a new adapter changes no output"),
        (Forgetful(layers=0), "written apart"),
    ],
)
def test_adapters(adapter: Adapter, law: str) -> None:
    breaks(law, check_adapter, adapter, TINY, SIGNATURES, BATCH)


class Counting(Adversarial):
    """Counts everything twice."""

    def wrap(self, loss: LossFn, task: Task) -> LossFn:
        def wrapped(model: nn.Module, batch: Batch) -> Losses:
            losses = loss(model, batch)
            return Losses(losses.sums * 2, losses.counts * 2)

        return wrapped


class Clinging(Adversarial):
    """Leaves a hook behind."""

    def wrap(self, loss: LossFn, task: Task) -> LossFn:
        plain = super().wrap(loss, task)

        def wrapped(model: nn.Module, batch: Batch) -> Losses:
            model.get_submodule("stem").register_forward_hook(lambda *_: None)
            return plain(model, batch)

        return wrapped


class OwnDice(Denoising):
    """Draws from a generator that nobody seeds."""

    def wrap(self, loss: LossFn, task: Task) -> LossFn:
        plain, dice = super().wrap(loss, task), torch.Generator()

        def wrapped(model: nn.Module, batch: Batch) -> Losses:
            torch.manual_seed(int(torch.randint(1000, (), generator=dice)))
            return plain(model, batch)

        return wrapped


class OverBatch(Adversarial):
    """Gives every example the mean of the batch."""

    def wrap(self, loss: LossFn, task: Task) -> LossFn:
        def wrapped(model: nn.Module, batch: Batch) -> Losses:
            losses = loss(model, batch)
            return Losses(losses.sums + losses.counts * losses.each.mean(), losses.counts)

        return wrapped


@pytest.mark.parametrize(
    ("objective", "law"),
    [
        (Counting(), "counts are those of the task"),
        (Clinging(), "no hook is left behind"),
        (OwnDice(), "the same seed gives the same gradient"),
        (OverBatch(), "micro-batches give the gradient"),
    ],
)
def test_objectives(objective: Objective, law: str) -> None:
    arguments = (objective, task(TextGeneration, 8), TINY, RECORDS)
    breaks(law, check_objective, *arguments, separable=True)
