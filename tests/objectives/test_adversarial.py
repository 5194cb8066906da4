"""The perturbation is the one of the papers: length, direction, and no effect of the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from luban.core.batch import Batch, Losses
from luban.core.contracts import Objective
from luban.core.errors import RecipeError
from luban.nn.losses import cross_entropy
from luban.objectives._parts import disturbed
from tests.objectives.toy import Toy, gradient, setting, split

EPSILON = 0.1
EVERY = ["label", "tags", "tokens", "span", "next", "sequence"]


@pytest.fixture(autouse=True)
def _double_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses go to float32 on purpose; here their gradients are compared with differences."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)


def objective(method: str, **fields: Any) -> Objective:
    return Objective.from_dict(
        {"name": "adversarial", "method": method, "epsilon": EPSILON, **fields}
    )


def by_hand(task: Any, module: Toy, batch: Batch, r: Tensor) -> Losses:
    """The task's loss with r added to the embeddings, without any hook."""
    mask = batch.inputs["attention_mask"][..., None].double()
    x = module.stem(batch.inputs["input_ids"]) + r
    context = (x * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
    y = torch.tanh(module.mix(x * context + x))
    logits = module.head((y * mask).sum(1) / mask.sum(1))
    return cross_entropy(logits, batch.targets["labels"])


def radius(module: Toy, batch: Batch) -> Tensor:
    mask = batch.inputs["attention_mask"][..., None]
    e = module.stem(batch.inputs["input_ids"]).detach() * mask
    norms: Tensor = e.flatten(1).norm(dim=1)[:, None, None]
    return EPSILON * norms


def test_fgm_is_the_closed_form() -> None:
    task, module, batch = setting()
    assert isinstance(module, Toy)
    r = torch.zeros(4, 8, 6, dtype=torch.float64, requires_grad=True)
    clean = by_hand(task, module, batch, r)
    (g,) = torch.autograd.grad(clean.sums.sum(), r, retain_graph=True)
    worst = radius(module, batch) * g / g.flatten(1).norm(dim=1)[:, None, None]
    expected = clean.sums + 0.7 * by_hand(task, module, batch, worst).sums
    losses = objective("fgm", weight=0.7).wrap(task.loss, task)(module, batch)
    torch.testing.assert_close(losses.sums, expected)
    ours, theirs = (gradient(module, Losses(s, clean.counts)) for s in (losses.sums, expected))
    torch.testing.assert_close(ours, theirs)


def test_pgd_stays_in_the_ball_and_finds_worse() -> None:
    task, module, batch = setting()
    clean = task.loss(module, batch).sums.detach()
    extra = {}
    for method, fields in (("fgm", {}), ("pgd", {"steps": 8})):
        losses = objective(method, **fields).wrap(task.loss, task)(module, batch)
        extra[method] = (losses.sums - clean).detach()
        assert (extra[method] > clean).all()
    assert (extra["pgd"] >= extra["fgm"] - 1e-6).all()
    # No random direction on the sphere is worse.
    assert isinstance(module, Toy)
    for seed in range(30):
        d = torch.randn(4, 8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        d = d * batch.inputs["attention_mask"][..., None]
        r = radius(module, batch) * d / d.flatten(1).norm(dim=1)[:, None, None]
        assert (by_hand(task, module, batch, r).sums <= extra["pgd"] + 1e-6).all()


@pytest.mark.parametrize("steps", [2, 3])
def test_pgd_is_steps_and_projections(steps: int) -> None:
    task, module, batch = setting()
    assert isinstance(module, Toy)
    limit, r = radius(module, batch), torch.zeros(4, 8, 6, dtype=torch.float64)
    for _ in range(steps):
        r = r.detach().requires_grad_()
        (g,) = torch.autograd.grad(by_hand(task, module, batch, r).sums.sum(), r)
        r = r + 2.5 / steps * limit * g / g.flatten(1).norm(dim=1)[:, None, None]
        length = r.flatten(1).norm(dim=1)[:, None, None]
        r = r * torch.minimum(length, limit) / length
    expected = task.loss(module, batch).sums + by_hand(task, module, batch, r).sums
    losses = objective("pgd", steps=steps).wrap(task.loss, task)(module, batch)
    torch.testing.assert_close(losses.sums, expected)


def test_vat_finds_where_the_prediction_changes_most() -> None:
    task, module, batch = setting()
    assert isinstance(module, Toy)
    wrapped = objective("vat", steps=30).wrap(task.loss, task)
    torch.manual_seed(1)
    found = (wrapped(module, batch).sums - task.loss(module, batch).sums).detach()
    assert (found > 0).all()
    p = module(**batch.inputs).log_softmax(-1).detach()
    highest = torch.zeros(4, dtype=torch.float64)
    for seed in range(100):
        d = torch.randn(4, 8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        d = d * batch.inputs["attention_mask"][..., None]
        r = radius(module, batch) * d / d.flatten(1).norm(dim=1)[:, None, None]
        with disturbed(module, [r]):
            q = module(**batch.inputs).log_softmax(-1)
        kl = F.kl_div(q, p, reduction="none", log_target=True).sum(-1).detach()
        highest = torch.maximum(highest, kl)
    assert (found > highest).all()


def test_vat_needs_no_labels() -> None:
    task, module, batch = setting()
    wrapped, other = (objective("vat").wrap(task.loss, task) for _ in range(2))
    changed = Batch(batch.inputs, {"labels": (batch.targets["labels"] + 1) % 3})
    extra = []
    for given in (batch, changed):
        torch.manual_seed(5)
        extra.append(wrapped(module, given).sums - task.loss(module, given).sums)
    torch.testing.assert_close(extra[0], extra[1])
    assert other is not wrapped


@pytest.mark.parametrize("method", ["fgm", "pgd"])
@pytest.mark.parametrize("produces", EVERY)
def test_an_example_does_not_depend_on_its_batch(produces: str, method: str) -> None:
    task, module, batch = setting(produces)
    wrapped = objective(method).wrap(task.loss, task)
    whole = wrapped(module, batch)
    together = gradient(module, whole)
    single = Losses.cat([wrapped(module, one) for one in split(batch)])
    torch.testing.assert_close(single.sums, whole.sums)
    torch.testing.assert_close(single.counts, task.loss(module, batch).counts)
    torch.testing.assert_close(gradient(module, single), together)


@pytest.mark.parametrize("method", ["fgm", "pgd"])
@pytest.mark.parametrize("produces", EVERY)
def test_padding_plays_no_part(produces: str, method: str) -> None:
    task, module, batch = setting(produces)
    row = batch.rows(slice(1, 2))
    bare = Batch(
        {n: t[:, :5] for n, t in row.inputs.items()},
        {n: t[:, :5] if t.shape == row.inputs["input_ids"].shape else t
         for n, t in row.targets.items()},
    )  # fmt: skip
    wrapped = objective(method).wrap(task.loss, task)
    found = []
    for given in (row, bare):
        torch.manual_seed(2)
        found.append(wrapped(module, given).sums)
    torch.testing.assert_close(found[0], found[1])


def test_a_frozen_stem_can_be_disturbed() -> None:
    task, module, batch = setting()
    expected = objective("fgm").wrap(task.loss, task)(module, batch).sums
    module.get_submodule("stem").requires_grad_(False)
    found = objective("fgm").wrap(task.loss, task)(module, batch).sums
    torch.testing.assert_close(found, expected)


def test_the_same_units_drop_out_in_every_pass() -> None:
    """With dropout of one half and a perturbation of almost nothing, both losses agree."""
    task, module, batch = setting(dropout=0.5)
    for method in ("fgm", "pgd", "vat"):
        torch.manual_seed(0)
        fields = {"name": "adversarial", "method": method, "epsilon": 1e-9}
        losses = Objective.from_dict(fields).wrap(task.loss, task)(module, batch)
        torch.manual_seed(0)
        main = task.loss(module, batch)
        expected = main.sums * (1 if method == "vat" else 2)
        torch.testing.assert_close(losses.sums, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("problem", ["", "multi_label_classification"])
def test_vat_over_labels(problem: str) -> None:
    task, module, batch = setting("label", problem)
    losses = objective("vat").wrap(task.loss, task)(module, batch)
    assert (losses.sums > task.loss(module, batch).sums).all()


def test_bad_settings() -> None:
    task, module, _ = setting("label", "regression")
    with pytest.raises(RecipeError, match="a regression has none"):
        objective("vat").attach(module, task)
    with pytest.raises(RecipeError, match="fgm is one step"):
        objective("fgm", steps=3)
