"""The chain against enumeration: every sequence of tags, in float64."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from luban.nn.crf import CRF, viterbi

LENGTHS = (4, 1, 3)
TAGS = 3


@pytest.fixture
def crf() -> CRF:
    torch.manual_seed(0)
    crf = CRF(TAGS).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


@pytest.fixture
def emissions() -> Tensor:
    return torch.randn(len(LENGTHS), max(LENGTHS), TAGS, dtype=torch.float64)


@pytest.fixture
def mask() -> Tensor:
    return torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]


def scored(crf: CRF, row: Tensor) -> dict[tuple[int, ...], float]:
    """The score of each sequence of tags over one unpadded row, by the definition."""
    start, pairs, end = (p.tolist() for p in crf.parameters())
    each = row.tolist()
    return {
        tags: start[tags[0]]
        + sum(each[t][tag] for t, tag in enumerate(tags))
        + sum(pairs[a][b] for a, b in pairwise(tags))
        + end[tags[-1]]
        for tags in product(range(TAGS), repeat=len(each))
    }


def chances(crf: CRF, row: Tensor) -> dict[tuple[int, ...], float]:
    scores = scored(crf, row)
    share = torch.tensor(list(scores.values()), dtype=torch.float64).softmax(0)
    return dict(zip(scores, share.tolist(), strict=True))


def test_the_likelihood_is_that_of_enumeration(crf: CRF, emissions: Tensor, mask: Tensor) -> None:
    tags = torch.randint(TAGS, mask.shape).where(mask, -100)
    found = crf.log_likelihood(emissions, tags, mask)
    for i, length in enumerate(LENGTHS):
        chance = chances(crf, emissions[i, :length])[tuple(tags[i, :length].tolist())]
        assert found[i].exp().item() == pytest.approx(chance, rel=1e-12)


def test_marginals_are_those_of_enumeration(crf: CRF, emissions: Tensor, mask: Tensor) -> None:
    found = crf.marginals(emissions, mask)
    for i, length in enumerate(LENGTHS):
        expected = torch.zeros(length, TAGS, dtype=torch.float64)
        for tags, chance in chances(crf, emissions[i, :length]).items():
            for t, tag in enumerate(tags):
                expected[t, tag] += chance
        torch.testing.assert_close(found[i, :length], expected, rtol=1e-12, atol=1e-12)


def test_decoding_finds_the_best_of_all(crf: CRF, emissions: Tensor, mask: Tensor) -> None:
    found = crf.decode(emissions, mask)
    for i, length in enumerate(LENGTHS):
        scores = scored(crf, emissions[i, :length])
        assert tuple(found[i]) == max(scores, key=lambda tags: scores[tags])


def test_what_is_forbidden_is_not_decoded(crf: CRF, emissions: Tensor, mask: Tensor) -> None:
    start, pairs, end = (torch.zeros_like(p) for p in crf.parameters())
    start[0] = pairs[1, 2] = pairs[2, 2] = end[1] = -1e9
    found = crf.decode(emissions, mask, (start, pairs, end))
    for i, length in enumerate(LENGTHS):
        allowed = {
            tags: score
            for tags, score in scored(crf, emissions[i, :length]).items()
            if tags[0] != 0 and tags[-1] != 1
            if not {(1, 2), (2, 2)} & set(pairwise(tags))
        }
        assert tuple(found[i]) == max(allowed, key=lambda tags: allowed[tags])


def test_padding_changes_nothing(crf: CRF, emissions: Tensor, mask: Tensor) -> None:
    tags = torch.randint(TAGS, mask.shape)
    together = crf.log_likelihood(emissions, tags, mask)
    noise = torch.full_like(emissions, 1e6)
    filled = torch.cat([emissions.where(mask[..., None], 1e6), noise], 1)
    longer = torch.cat([mask, torch.zeros_like(mask)], 1)
    again = crf.log_likelihood(filled, torch.cat([tags, tags], 1), longer)
    torch.testing.assert_close(again, together, rtol=0, atol=1e-12)
    assert crf.decode(filled, longer) == crf.decode(emissions, mask)


def test_padding_gets_no_gradient(crf: CRF, emissions: Tensor, mask: Tensor) -> None:
    emissions.requires_grad_()
    tags = torch.zeros(mask.shape, dtype=torch.int64)
    crf.log_likelihood(emissions, tags, mask).sum().backward()  # type: ignore[no-untyped-call]
    assert emissions.grad is not None
    assert bool((emissions.grad[~mask] == 0).all())
    assert bool((emissions.grad[mask] != 0).any(1).all())


def test_the_gradient_is_marginals_minus_tags(crf: CRF, emissions: Tensor, mask: Tensor) -> None:
    """d log p / d emissions = one-hot(tags) - marginals: two ways to the same number."""
    emissions.requires_grad_()
    tags = torch.randint(TAGS, mask.shape)
    crf.log_likelihood(emissions, tags, mask).sum().backward()  # type: ignore[no-untyped-call]
    hot = torch.nn.functional.one_hot(tags, TAGS)
    expected = (hot - crf.marginals(emissions, mask)).detach()
    assert emissions.grad is not None
    torch.testing.assert_close(emissions.grad[mask], expected[mask], rtol=1e-9, atol=1e-9)


def test_half_precision_emissions_are_summed_in_full(crf: CRF, mask: Tensor) -> None:
    emissions = torch.randn(*mask.shape, TAGS, dtype=torch.bfloat16)
    found = crf.log_likelihood(emissions, torch.zeros(mask.shape, dtype=torch.int64), mask)
    assert found.dtype == torch.float64


def test_viterbi_without_a_chain_is_argmax(emissions: Tensor, mask: Tensor) -> None:
    nothing = torch.zeros(TAGS, dtype=torch.float64)
    found = viterbi(emissions, mask, nothing, nothing.expand(TAGS, TAGS), nothing)
    assert found == [emissions[i, :n].argmax(1).tolist() for i, n in enumerate(LENGTHS)]
