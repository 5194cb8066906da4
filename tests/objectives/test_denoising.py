"""What is hidden, and what must be rebuilt from the rest."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from luban.core.batch import Batch
from luban.core.contracts import Objective
from luban.core.errors import RecipeError
from luban.objectives.denoising import Denoising, _specials
from tests.objectives.toy import END, MASK, PAD, START, Toy, batch_of, gradient, ports_of, setting


def objective(**fields: Any) -> Denoising:
    made = Objective.from_dict({"name": "denoising", **fields})
    assert isinstance(made, Denoising)
    return made


def long_batch(rows: int = 200) -> Batch:
    return batch_of("label", lengths=tuple([40, 25] * (rows // 2)))


@pytest.mark.parametrize("noise", ["mask", "span", "delete"])
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_the_rate_is_kept_and_special_tokens_stay(noise: str, rate: float) -> None:
    task, _, _ = setting()
    torch.manual_seed(0)
    batch = long_batch()
    hidden = objective(noise=noise, rate=rate).hide(batch, _specials(task))
    ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
    special = torch.isin(ids, torch.tensor([PAD, END, START, MASK])) | (mask == 0)
    assert not (hidden & special).any()
    assert hidden.any(1).all()
    share = float(hidden.sum() / (~special).sum())
    # Spans overlap: 1 - (1 - rate/3)^3, a little less than the rate, and one is always hidden.
    assert rate - 0.06 < share < rate + 0.05


def test_spans_are_as_long_as_they_should_be() -> None:
    task, _, _ = setting()
    torch.manual_seed(0)
    hidden = objective(noise="span", rate=0.05, mean_span=4).hide(long_batch(), _specials(task))
    starts = hidden & ~F.pad(hidden, (1, -1))
    assert 3.3 < float(hidden.sum() / starts.sum()) < 4.7
    torch.manual_seed(0)
    single = objective(noise="mask", rate=0.05).hide(long_batch(), _specials(task))
    starts = single & ~F.pad(single, (1, -1))
    assert float(single.sum() / starts.sum()) < 1.2


def test_a_row_of_special_tokens_hides_nothing() -> None:
    task, module, batch = setting()
    inputs = {**batch.inputs, "input_ids": batch.inputs["input_ids"].clone()}
    inputs["input_ids"][3, 1] = MASK
    given = Batch(inputs, batch.targets)
    torch.manual_seed(0)
    assert not objective().hide(given, _specials(task))[3].any()
    losses = objective().wrap(task.loss, task)(module, given)
    torch.testing.assert_close(losses.sums[3], task.loss(module, given).sums[3])


@pytest.mark.parametrize("produces", ["label", "tags", "tokens", "span"])
@pytest.mark.parametrize("noise", ["mask", "span"])
def test_encoders_rebuild_hidden_tokens(produces: str, noise: str) -> None:
    task, module, batch = setting(produces)
    assert isinstance(module, Toy)
    made = objective(noise=noise, rate=0.3, weight=0.4)
    torch.manual_seed(7)
    losses = made.wrap(task.loss, task)(module, batch)
    torch.manual_seed(7)
    main = task.loss(module, batch)
    hidden = made.hide(batch, _specials(task))
    ids = batch.inputs["input_ids"]
    x = module.features(ids.masked_fill(hidden, MASK), batch.inputs["attention_mask"])
    log_p = (x @ module.stem.weight.T).float().log_softmax(-1)
    for row in range(len(batch)):
        at = hidden[row]
        mean = -log_p[row][at, ids[row][at]].mean()
        expected = main.sums[row] + 0.4 * main.counts[row] * mean
        torch.testing.assert_close(losses.sums[row].float(), expected.float())
    assert torch.equal(losses.counts, main.counts)


def test_causal_models_do_their_own_task_on_damaged_input() -> None:
    task, module, batch = setting("next")
    made = objective(rate=0.3, weight=1.0)
    torch.manual_seed(7)
    losses = made.wrap(task.loss, task)(module, batch)
    torch.manual_seed(7)
    hidden = made.hide(batch, _specials(task))
    damaged = {"input_ids": batch.inputs["input_ids"].masked_fill(hidden, MASK)}
    expected = task.loss(module, batch).sums + task.loss(module, Batch(damaged, batch.targets)).sums
    torch.testing.assert_close(losses.sums, expected)


@pytest.mark.parametrize("noise", ["mask", "span", "delete"])
def test_decoders_write_the_whole_source(noise: str) -> None:
    task, module, batch = setting("sequence")
    made = objective(noise=noise, rate=0.3, weight=1.0)
    ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
    torch.manual_seed(7)
    losses = made.wrap(task.loss, task)(module, batch)
    torch.manual_seed(7)
    hidden = made.hide(batch, _specials(task))
    main = task.loss(module, batch)
    for row in range(len(batch)):
        real = int(mask[row].sum())
        source, gone = ids[row, :real].tolist(), hidden[row, :real].tolist()
        kept = []
        for at, token in enumerate(source):
            if not gone[at]:
                kept.append(token)
            elif noise == "mask" or (noise == "span" and not gone[at - 1]):
                kept.append(MASK)
        read = torch.tensor([kept])
        logits = module(read, torch.ones_like(read), torch.tensor([[START, *source[:-1]]]))
        mean = F.cross_entropy(logits[0].float(), torch.tensor(source))
        expected = main.sums[row] + main.counts[row] * mean
        torch.testing.assert_close(losses.sums[row].float(), expected.float())


def test_a_vocabulary_without_a_mask_gets_random_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    task, module, batch = setting("next")
    bare = ports_of("next")
    monkeypatch.setattr(
        type(task), "signature", lambda _: type(bare)("tokens", 19, 19, 12, PAD, END, "next")
    )
    torch.manual_seed(0)
    losses = objective(rate=0.5).wrap(task.loss, task)(module, batch)
    assert (losses.sums > task.loss(module, batch).sums).all()


@pytest.mark.parametrize("produces", ["label", "next", "sequence"])
def test_the_same_seed_hides_the_same(produces: str) -> None:
    task, module, batch = setting(produces)
    wrapped = objective(rate=0.3).wrap(task.loss, task)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(gradient(module, wrapped(module, batch)))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


class Bare(nn.Module):
    """No features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Embedding(3, 3)


def test_bad_settings() -> None:
    task, module, _ = setting("label")
    with pytest.raises(RecipeError, match="expected: mask or span"):
        objective(noise="delete").attach(module, task)
    with pytest.raises(RecipeError, match="no features"):
        objective().attach(Bare(), task)
    with pytest.raises(RecipeError, match="different widths"):
        objective().attach(Toy(task.signature(), width=9), task)
    objective(noise="delete").attach(*setting("sequence")[1::-1])
    objective().attach(module, task)
    assert module.training
