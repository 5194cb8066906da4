"""Batches and losses: first axis the example, all sums over all counts."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from luban.core.batch import Batch, Losses


def test_rows_cut_inputs_and_targets_alike() -> None:
    batch = Batch({"x": torch.arange(6).view(3, 2)}, {"y": torch.arange(3)})
    part = batch.rows(slice(1, 3))
    assert len(batch) == 3
    assert len(part) == 2
    assert part.inputs["x"].tolist() == [[2, 3], [4, 5]]
    assert part.targets["y"].tolist() == [1, 2]
    assert batch.to(torch.device("cpu")).inputs["x"].tolist() == batch.inputs["x"].tolist()


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50)), min_size=1, max_size=20),
    st.integers(1, 7),
)
def test_the_mean_does_not_depend_on_how_a_batch_was_cut(
    rows: list[tuple[float, int]], size: int
) -> None:
    sums = torch.tensor([s for s, _ in rows], dtype=torch.float64)
    counts = torch.tensor([float(c) for _, c in rows], dtype=torch.float64)
    parts = [Losses(sums[i : i + size], counts[i : i + size]) for i in range(0, len(rows), size)]
    expected = sum(s for s, _ in rows) / sum(c for _, c in rows)
    torch.testing.assert_close(Losses.cat(parts).mean.item(), expected)


def test_each_is_the_mean_of_each_example_and_detach_drops_the_graph() -> None:
    sums = torch.tensor([2.0, 9.0], requires_grad=True)
    losses = Losses(sums, torch.tensor([1.0, 3.0]))
    assert losses.each.tolist() == [2.0, 3.0]
    assert losses.mean.requires_grad
    assert not losses.detach().mean.requires_grad
