"""The laws bite: each fault that users complain of elsewhere breaks one, and it is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import nn

from luban.adapters.freeze import Freeze
from luban.adapters.lora import Lora
from luban.core.batch import Batch, Losses, LossFn
from luban.core.contracts import (
    Adapter,
    Cleaner,
    Mechanism,
    Metric,
    Model,
    Objective,
    Optimizer,
    Pool,
    Ports,
    Record,
    Row,
    Schedule,
    Source,
    Stage,
    Tally,
    Task,
    Tokenizer,
)
from luban.core.errors import ContractError
from luban.data.cleaners.length import Length
from luban.data.tokenizers.char import Char
from luban.engine.optimizers.sgd import Sgd
from luban.engine.schedules.constant import Constant
from luban.mechanisms.plain import Plain
from luban.metrics.loss import Loss
from luban.models.gpt import GPT
from luban.models.rnn import RNN
from luban.objectives.adversarial import Adversarial
from luban.objectives.denoising import Denoising
from luban.stages.card import Card
from luban.tasks.text_generation import TextGeneration
from luban.testing import (
    check_adapter,
    check_cleaner,
    check_mechanism,
    check_metric,
    check_model,
    check_objective,
    check_optimizer,
    check_schedule,
    check_source,
    check_stage,
    check_task,
    check_tokenizer,
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


class Shrinking(Source):
    """Gives fewer records each time it is read."""

    times: list[int] = []  # noqa: RUF012

    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def read(self, split: str) -> Iterator[Record]:
        self.times.append(1)
        yield from RECORDS[len(self.times) :]

    def files(self) -> tuple[Any, ...]:
        return ()


def test_a_source_that_cannot_be_read_twice() -> None:
    breaks("two readings give the same records", check_source, Shrinking(times=[]))


class InPlace(Length):
    """Writes into the records it is given."""

    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        for record in records:
            record.update(text="")  # type: ignore[attr-defined]
            yield record


class Silent(Length):
    """Drops without counting."""

    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        yield from list(records)[1:]


@pytest.mark.parametrize(
    ("cleaner", "law"), [(InPlace(), "not changed in place"), (Silent(), "counts exactly when")]
)
def test_cleaners(cleaner: Cleaner, law: str) -> None:
    breaks(law, check_cleaner, cleaner, [dict(record) for record in RECORDS])


class Lossy(Char):
    """Drops what it decodes last."""

    def decode(self, ids: Sequence[int]) -> str:
        return super().decode(ids)[:-1]


class Generous(Char):
    """Counts two bytes for every id."""

    def token_bytes(self) -> np.ndarray[Any, Any]:
        return np.full(self.size, 2)


class Marked(Char):
    """Adds the end token unasked."""

    def encode(self, text: str) -> list[int]:
        return [*super().encode(text), self.end]


@pytest.mark.parametrize(
    ("tokenizer", "law"),
    [
        (Lossy(), r"decode\(encode\(text\)\) == text"),
        (Generous(), "token_bytes adds up"),
        (Marked(), "no special token without being asked for"),
    ],
)
def test_tokenizers(tokenizer: Tokenizer, law: str) -> None:
    breaks(law, check_tokenizer, tokenizer, TEXTS)


class Error(Metric):
    """Right: the mean distance."""

    higher_is_better = False

    def row(self, prediction: Any, target: Any) -> Row:
        return (abs(prediction - target),)

    def reduce(self, rows: np.ndarray[Any, Any]) -> float:
        return float(rows.mean())


class Total(Error):
    """Grows with the number of examples."""

    def reduce(self, rows: np.ndarray[Any, Any]) -> float:
        return float(rows.sum())


class Last(Error):
    """Depends on the order."""

    def reduce(self, rows: np.ndarray[Any, Any]) -> float:
        return float(rows[-1, 0])


class Upside(Error):
    """Calls less error worse."""

    higher_is_better = True


def test_metrics() -> None:
    check_metric(Error(), [1.0, 2.0], [1.0, 4.0], best=0.0)
    breaks("every row twice", check_metric, Total(), [1.0, 2.0], [1.0, 4.0], best=0.0)
    breaks("order does not matter", check_metric, Last(), [1.0, 2.0], [1.0, 4.0], best=0.0)
    breaks("no prediction is better", check_metric, Upside(), [1.0, 2.0], [1.0, 4.0], best=0.0)
    breaks("a perfect prediction gets", check_metric, Error(), [1.0, 2.0], [1.0, 4.0], best=1.0)


class DecaysAll(Sgd):
    """Decays biases too, and restless at a rate of 0."""

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        group = {"params": [p for _, p in parameters], "initial_lr": 0.1}
        return torch.optim.SGD([group], 0.1, weight_decay=0.1)


class Forgets(Sgd):
    """Trains the first parameter only."""

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        return super().build(list(parameters)[:1])


@pytest.mark.parametrize(
    ("optimizer", "law"),
    [(DecaysAll(), "weight decay spares vectors"), (Forgets(), "each parameter is in one group")],
)
def test_optimizers(optimizer: Optimizer, law: str) -> None:
    breaks(law, check_optimizer, optimizer)


class Rising(Constant):
    """Beyond the peak."""

    def factor(self, step: int, progress: float) -> float:
        return 2 * progress


def test_schedules() -> None:
    schedule: Schedule = Rising()
    breaks("factors lie in", check_schedule, schedule)


class MeanOfMeans(Plain):
    """Each micro-batch on its own: the fault of transformers#34191."""

    def accumulate(self, model: nn.Module, batch: Batch, loss: LossFn) -> Losses:
        losses = loss(model, batch)
        losses.mean.backward()  # type: ignore[no-untyped-call]
        return losses.detach()


class Unsteady(Plain):
    """Draws what comes next, not what belongs to the step."""

    drawn: list[int] = []  # noqa: RUF012

    def draw(self, step: int, batch_size: int, pool: Pool, seed: int) -> list[tuple[int, int]]:
        self.drawn.append(1)
        return super().draw(len(self.drawn), batch_size, pool, seed)


class Remembering(Plain):
    """Knows a pool by where it lies in memory."""

    def draw(self, step: int, batch_size: int, pool: Pool, seed: int) -> list[tuple[int, int]]:
        return super().draw(step, batch_size, pool, seed + id(pool))


def test_mechanisms() -> None:
    mechanism: Mechanism = Unsteady(drawn=[])
    breaks("does not depend on what was drawn", check_mechanism, mechanism)
    breaks("equal pools, equal draws", check_mechanism, Remembering())


class Omnivore(RNN):
    """Takes whatever ports there are."""

    def build(self, ports: Ports) -> Any:
        return super().build(Ports("tokens", ports.inputs, ports.outputs))


class Renamed(RNN):
    """Loses its weights on the way to Hugging Face and back."""

    def from_hf(self, tensors: Any) -> dict[str, torch.Tensor]:
        return {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("model", "law"), [(Omnivore(), "refuses ports"), (Renamed(), r"from_hf\(to_hf")]
)
def test_models(model: Model, law: str) -> None:
    batch = Batch({"input_ids": torch.ones(2, 3, dtype=torch.int64)}, {})
    breaks(law, check_model, model, Ports("tokens", 5, 5), batch)


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


def task(kind: type[Task], context: int = 2) -> Task:
    return kind(context=context, tokenizer=Char())  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (CountsPadding, "padding does not change"),
        (BatchMean, "padding does not change"),
        (Ranked, "a prediction does not depend"),
        (Random, "the view for evaluation"),
    ],
)
def test_tasks(kind: type[Task], law: str) -> None:
    model = RNN(hidden_size=4)
    breaks(law, check_task, task(kind), model, RECORDS, mechanism=Plain())


def test_a_mean_of_means_is_found() -> None:
    arguments = (task(TextGeneration), RNN(hidden_size=4), RECORDS)
    check_task(*arguments, mechanism=Plain())
    breaks("micro-batches of 1", check_task, *arguments, mechanism=MeanOfMeans())


TINY = GPT(hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
PORTS, BATCH = (
    Ports("tokens", 5, 5, 4, 0, 1),
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
    breaks(law, check_adapter, adapter, TINY, PORTS, BATCH)


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


class Lost(Card):
    """Needs what is not there."""

    needs = ("eveluate",)


def test_stages() -> None:
    stage: Stage = Lost()
    breaks("the stage it needs exists: eveluate", check_stage, stage)


def test_a_right_metric_breaks_nothing() -> None:
    metric: Metric = Loss()
    check_metric(metric, [{"nats": 1.0}] * 2, [{"tokens": 2}] * 2, best=None)
