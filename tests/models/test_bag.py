"""The bag of n-grams: its hashes in plain Python, fastText's formula, one step by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from luban.core.contracts import Signature
from luban.core.errors import RecipeError
from luban.models.bag import Bag, BagOfNgrams
from luban.nn.ngrams import BASE, PRIME, ngram_hashes

LENGTHS = (9, 4, 1, 0)
SMALL = Bag(embedding_size=5, ngrams=(2, 4), buckets=97, ngram_dropout=0.0)


def signature(segments: int = 1) -> Signature:
    return Signature("tokens", 23, 3, 9, 0, 1, produces="label", segments=segments)


def read(*, types: bool = False) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    keep = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
    inputs = {"input_ids": torch.randint(1, 23, (4, 9), generator=draw).where(keep, 0)}
    inputs["attention_mask"] = keep.long()
    if types:
        inputs["token_type_ids"] = (torch.arange(9) > 2).expand(4, 9).long()
    return inputs


def built(bag: Bag = SMALL, segments: int = 1) -> BagOfNgrams:
    torch.manual_seed(0)
    return bag.build(signature(segments)).double().eval()


def looped(ids: list[int], n: int) -> list[int]:
    """Return the hashes of a text in whole numbers of any size."""
    found = []
    for at in range(len(ids) - n + 1):
        terms = [(x + 1) * BASE ** (n - 1 - j) for j, x in enumerate(ids[at : at + n])]
        found.append((n * BASE**n + sum(terms)) % PRIME)
    return found


@pytest.mark.parametrize("highest", [23, PRIME - 1], ids=["small", "huge"])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_hashes_are_those_of_a_plain_loop(n: int, highest: int) -> None:
    inputs = read()
    ids = inputs["input_ids"] * (highest // 23)  # huge ids: int64 must not overflow
    hashed, inside = ngram_hashes(ids, inputs["attention_mask"], n)
    for row, length in enumerate(LENGTHS):
        expected = looped(ids[row, :length].tolist(), n)
        assert hashed[row][inside[row].bool()].tolist() == expected
        assert inside[row, : len(expected)].all()


def test_hashes_tell_lengths_and_orders_apart() -> None:
    found = {h for n in (2, 3) for a in range(60) for b in range(60) for h in looped([a, b] * 2, n)}
    pairs, triples = 60 * 60, 60 * 60
    assert len(found) == pairs + triples


@pytest.mark.parametrize("pooling", ["mean", "sqrt"])
def test_logits_are_the_head_of_the_average(pooling: Any) -> None:
    module, inputs = built(SMALL.replace(pooling=pooling)), read()
    said = module(**inputs).detach().numpy()
    stem, table = module.stem.weight.detach().numpy(), module.table.weight.detach().numpy()
    weight, bias = module.head.weight.detach().numpy(), module.head.bias.detach().numpy()
    for row, length in enumerate(LENGTHS):
        ids = inputs["input_ids"][row, :length].tolist()
        vectors = [stem[x] for x in ids]
        vectors += [table[h % 97] for n in (2, 4) for h in looped(ids, n)]
        count = max(1, len(vectors))
        mean = np.sum(vectors, axis=0) / (count if pooling == "mean" else count**0.5)
        np.testing.assert_allclose(said[row], weight @ (mean + np.zeros(5)) + bias, atol=1e-12)


def test_one_step_is_the_step_by_hand() -> None:
    """The gradient of cross-entropy, written out (softmax minus truth), then plain SGD."""
    module, rate = built(SMALL.replace(pooling="mean")), 0.7
    ids, label = [3, 3, 8], 2
    before = {n: p.detach().clone().numpy() for n, p in module.named_parameters()}
    optimizer = torch.optim.SGD(module.parameters(), rate)
    logits = module(torch.tensor([ids]))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([label]))
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    rows = [("stem.weight", x) for x in ids]
    rows += [("table.weight", h % 97) for n in (2, 4) for h in looped(ids, n)]
    mean = np.mean([before[name][at] for name, at in rows], axis=0)
    z = before["head.weight"] @ mean + before["head.bias"]
    slope = np.exp(z) / np.exp(z).sum() - np.eye(3)[label]
    expected = {name: array.copy() for name, array in before.items()}
    for name, at in rows:  # a token that comes twice is moved twice
        expected[name][at] -= rate * before["head.weight"].T @ slope / len(rows)
    expected["head.weight"] -= rate * np.outer(slope, mean)
    expected["head.bias"] -= rate * slope
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(parameter.detach().numpy(), expected[name], atol=1e-12)


@pytest.mark.parametrize("segments", [1, 2])
def test_padding_and_company_change_nothing(segments: int) -> None:
    module, inputs = built(segments=segments), read(types=segments > 1)
    whole = module(**inputs)
    for row, length in enumerate(LENGTHS[:3]):
        alone = {key: tensor[row : row + 1, :length] for key, tensor in inputs.items()}
        torch.testing.assert_close(module(**alone)[0], whole[row], atol=1e-12, rtol=0)
        del alone["attention_mask"]
        torch.testing.assert_close(module(**alone)[0], whole[row], atol=1e-12, rtol=0)
    inputs["input_ids"][:, 4:] = inputs["input_ids"][:, 4:].where(
        inputs["attention_mask"][:, 4:].bool(), 17
    )
    torch.testing.assert_close(module(**inputs), whole, atol=1e-12, rtol=0)


def test_order_counts_within_an_ngram_and_texts_are_told_apart() -> None:
    module = built(segments=2)
    one, other = torch.tensor([[5, 6]]), torch.tensor([[6, 5]])
    assert not torch.allclose(module(one), module(other))
    first, second = torch.zeros(1, 2).long(), torch.ones(1, 2).long()
    assert torch.equal(module(one, token_type_ids=first), module(one))
    assert not torch.allclose(module(one, token_type_ids=second), module(one))


def test_what_is_left_out_in_training_is_made_up_for() -> None:
    module = built(SMALL.replace(ngram_dropout=0.4))
    ids = read()["input_ids"][:1]
    expected = module(ids)
    module.train()
    torch.manual_seed(1)
    many = module(ids.expand(40_000, 9))
    assert many.std(0).min() > 1e-3
    error = 5 * many.std(0) / 40_000**0.5  # five standard errors
    assert bool(((many.mean(0) - expected[0]).abs() < error).all())


def test_export_keeps_length_and_batch_free() -> None:
    from luban.core.batch import Batch
    from luban.exporters._program import other_sizes, trace

    module = SMALL.build(signature()).eval()
    sample = Batch(read(), {})
    program = trace(module, sample)
    for inputs in other_sizes(program, sample):
        torch.testing.assert_close(program.module()(**inputs), module(**inputs))
    short = {key: tensor[:2, :3] for key, tensor in read().items()}
    torch.testing.assert_close(program.module()(**short), module(**short))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"ngrams": []}, "at least one length"),
        ({"ngrams": [1, 2]}, "single tokens always count"),
        ({"ngrams": [2, 2]}, "each length once"),
        ({"buckets": 0}, "greater than or equal to 1"),
        ({"buckets": 2**31}, "less than or equal to"),
        ({"ngram_dropout": 1.0}, "less than 1"),
        ({"pooling": "max"}, "mean"),
    ],
)
def test_bad_settings_are_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        Bag.from_dict({"name": "bag", **fields})


def test_other_tasks_are_refused() -> None:
    with pytest.raises(RecipeError, match="not made for this task"):
        SMALL.build(Signature("tokens", 23, 4, 12, 0, 1, produces="tags"))
