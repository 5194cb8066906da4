"""The laws bite: each fault that users complain of elsewhere breaks one, and it is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import pytest
import torch
from torch import nn

from luban.core.contracts import (
    Augmentation,
    AugmentationContext,
    Cleaner,
    Example,
    Mechanism,
    Metric,
    Optimizer,
    Pool,
    Record,
    Schedule,
    Source,
    Stage,
    Statistics,
    Tally,
    Tokenizer,
)
from luban.core.errors import ContractError
from luban.data.cleaners.length import Length
from luban.data.tokenizers.char import Char
from luban.engine.optimizers.sgd import Sgd
from luban.engine.schedules.constant import Constant
from luban.mechanisms.plain import Plain
from luban.metrics.loss import Loss
from luban.stages.card import Card
from luban.testing import (
    check_augmentation,
    check_cleaner,
    check_mechanism,
    check_metric,
    check_optimizer,
    check_schedule,
    check_source,
    check_stage,
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


class Borrowing(Augmentation):
    """Takes the place of another example, and does not say so."""

    changes: ClassVar[str] = "pixels"

    def apply(self, example: Example, draw: AugmentationContext) -> Example:
        return draw.other()


class Scribbling(Augmentation):
    """Writes into what is stored."""

    changes: ClassVar[str] = "pixels"

    def apply(self, example: Example, draw: AugmentationContext) -> Example:
        example["pixels"][0] = 7
        return example


class Doubling(Augmentation):
    """Makes twice as much of an example, and does not say so."""

    changes: ClassVar[str] = "pixels"

    def apply(self, example: Example, draw: AugmentationContext) -> Example:
        return {**example, "pixels": np.tile(example["pixels"], 2)}


@pytest.mark.parametrize(
    ("augmentation", "law"),
    [
        (Borrowing(), "only what mixes"),
        (Scribbling(), "are not written to"),
        (Doubling(), "longer than stretch says"),
    ],
)
def test_augmentations(augmentation: Augmentation, law: str) -> None:
    stored = [{"pixels": np.full(4, value, np.uint8)} for value in (1, 2)]
    breaks(law, check_augmentation, augmentation, stored)


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

    def statistics(self, prediction: Any, target: Any) -> Statistics:
        return (abs(prediction - target),)

    def compute(self, rows: np.ndarray[Any, Any]) -> float:
        return float(rows.mean())


class Total(Error):
    """Grows with the number of examples."""

    def compute(self, rows: np.ndarray[Any, Any]) -> float:
        return float(rows.sum())


class Last(Error):
    """Depends on the order."""

    def compute(self, rows: np.ndarray[Any, Any]) -> float:
        return float(rows[-1, 0])


class Upside(Error):
    """Calls less error worse."""

    higher_is_better = True


class Bounded(Error):
    """Says that no error exceeds 1/2."""

    bounds = (0.0, 0.5)


class Claimed(Error):
    """Says that the best error is 0.1."""

    bounds = (0.1, 9.0)


def test_metrics() -> None:
    breaks("within the bounds", check_metric, Bounded(), [1.0, 2.0], [1.0, 4.0], best=0.0)
    breaks("is the bound", check_metric, Claimed(), [1.0, 2.0], [2.0, 4.0], best=0.0)
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


class Unsteady(Plain):
    """Draws what comes next, not what belongs to the step."""

    drawn: list[int] = []  # noqa: RUF012

    def sample_examples(
        self, step: int, batch_size: int, pool: Pool, seed: int
    ) -> list[tuple[int, int]]:
        self.drawn.append(1)
        return super().sample_examples(len(self.drawn), batch_size, pool, seed)


class Remembering(Plain):
    """Knows a pool by where it lies in memory."""

    def sample_examples(
        self, step: int, batch_size: int, pool: Pool, seed: int
    ) -> list[tuple[int, int]]:
        return super().sample_examples(step, batch_size, pool, seed + id(pool))


def test_mechanisms() -> None:
    mechanism: Mechanism = Unsteady(drawn=[])
    breaks("does not depend on what was drawn", check_mechanism, mechanism)
    breaks("equal pools, equal draws", check_mechanism, Remembering())


class Lost(Card):
    """Needs what is not there."""

    needs = ("eveluate",)


def test_stages() -> None:
    stage: Stage = Lost()
    breaks("the stage it needs exists: eveluate", check_stage, stage)


def test_a_right_metric_breaks_nothing() -> None:
    metric: Metric = Loss()
    check_metric(metric, [{"nats": 1.0}] * 2, [{"tokens": 2}] * 2, best=None)
