"""Schedules equal the transformers ones where those exist, and keep their own promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luban.core import registry
from luban.core.contracts import Schedule
from luban.core.errors import RecipeError

TOTAL, WARMUP = 50, 10


def schedule(name: str, **fields: Any) -> Schedule:
    return Schedule.from_dict({"name": name, **fields})


def factors(made: Schedule, total: int = TOTAL) -> list[float]:
    return [made.factor(step, step / total) for step in range(total)]


def theirs(make: Callable[[torch.optim.Optimizer], Any]) -> list[float]:
    """The factor of each step under a transformers schedule."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    made, found = make(optimizer), []
    for _ in range(TOTAL):
        found.append(made.get_last_lr()[0])
        optimizer.step()
        made.step()
    return found


@pytest.mark.parametrize(
    ("fields", "function", "arguments"),
    [
        ({"name": "constant"}, "get_constant_schedule_with_warmup", {}),
        ({"name": "linear"}, "get_linear_schedule_with_warmup", {"num_training_steps": TOTAL}),
        ({"name": "cosine"}, "get_cosine_schedule_with_warmup", {"num_training_steps": TOTAL}),
        (
            {"name": "cosine", "min_lr_rate": 0.1},
            "get_cosine_with_min_lr_schedule_with_warmup",
            {"num_training_steps": TOTAL, "min_lr_rate": 0.1},
        ),
        ({"name": "inverse-square-root"}, "get_inverse_sqrt_schedule", {}),
        (
            {"name": "inverse-square-root", "timescale": 25},
            "get_inverse_sqrt_schedule",
            {"timescale": 25},
        ),
        (
            {"name": "warmup-stable-decay", "decay_ratio": 0.3, "min_lr_rate": 0.05},
            "get_wsd_schedule",
            {
                "num_decay_steps": 15,
                "num_stable_steps": 25,
                "decay_type": "linear",
                "min_lr_ratio": 0.05,
            },
        ),
        (
            {"name": "warmup-stable-decay", "decay_ratio": 0.3, "decay_type": "cosine"},
            "get_wsd_schedule",
            {"num_decay_steps": 15, "num_stable_steps": 25, "decay_type": "cosine"},
        ),
    ],
)
def test_equals_transformers(
    fields: dict[str, Any], function: str, arguments: dict[str, Any]
) -> None:
    """From the end of the warmup on; theirs wastes the first step on a rate of zero."""
    transformers = pytest.importorskip("transformers", reason="needs the extra hf")
    make = getattr(transformers.optimization, function)
    reference = theirs(lambda opt: make(opt, num_warmup_steps=WARMUP, **arguments))
    found = factors(Schedule.from_dict({**fields, "warmup_steps": WARMUP}))
    assert found[WARMUP:] == pytest.approx(reference[WARMUP:], abs=1e-12)
    if "min_lr_ratio" not in arguments:  # theirs starts this one's warmup at the floor
        assert found[: WARMUP - 1] == pytest.approx(reference[1:WARMUP], abs=1e-12)


@pytest.mark.parametrize("name", registry.names("schedules"))
@given(
    total=st.integers(1, 3000),
    warmup=st.floats(0, 0.9),
    floor=st.floats(0, 1),
    in_steps=st.booleans(),
)
def test_every_schedule_stays_between_floor_and_peak(
    name: str, total: int, warmup: float, floor: float, in_steps: bool
) -> None:
    rise = {"warmup_steps": int(warmup * total)} if in_steps else {"warmup_ratio": warmup}
    made = schedule(name, min_lr_rate=floor, **rise)
    found = factors(made, total)
    assert all(0 <= factor <= 1 + 1e-9 for factor in found)
    after = found[math.ceil(warmup * total) :]
    assert all(factor >= floor - 1e-9 for factor in after)
    assert all(a >= b - 1e-9 for a, b in pairwise(after)), "never rises again"


@pytest.mark.parametrize("name", registry.names("schedules"))
def test_a_token_budget_gives_the_curve_of_the_same_steps(name: str) -> None:
    """Progress may come from any bound: 100 tokens a step are as good as one step a step."""
    made = schedule(name, warmup_steps=WARMUP)
    tokens = [made.factor(step, 100 * step / (100 * TOTAL)) for step in range(TOTAL)]
    assert tokens == pytest.approx(factors(made), abs=1e-12)


def test_ratio_and_steps_of_warmup_agree() -> None:
    ratio = factors(schedule("cosine", warmup_ratio=0.2))
    steps = factors(schedule("cosine", warmup_steps=10))
    assert ratio[10:] == pytest.approx(steps[10:])
    assert ratio[1:10] == pytest.approx(steps[:9])


def test_one_minus_square_root_decay() -> None:
    made = schedule("warmup-stable-decay", decay_ratio=0.5, decay_type="1-sqrt")
    assert made.factor(40, 0.4) == 1
    assert made.factor(75, 0.75) == pytest.approx(1 - math.sqrt(0.5))


def test_both_warmups_are_refused() -> None:
    with pytest.raises(RecipeError, match="not both"):
        schedule("linear", warmup_steps=3, warmup_ratio=0.1)
