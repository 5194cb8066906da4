"""Boxes, places and the loss of a detector, against brute force and what can be counted by hand."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from luban.nn import detection
from luban.nn.boxes import areas, generalised_overlap, overlaps, suppress
from luban.nn.detection import DetectionHead, FeaturePyramid, assign, boxes_at, places
from luban.nn.detection_loss import detection_loss

STRIDES = (8, 16, 32)
SIZE = (48, 80)


def some_boxes(count: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (count, 2))
    return torch.from_numpy(np.concatenate([corner, corner + rng.uniform(1, 50, (count, 2))], 1))


def painted(boxes: Tensor, scale: int = 4) -> Tensor:
    """Return boxes whose edges are whole numbers once scaled, and the pixels inside each."""
    whole = (boxes * scale).round().long().tolist()
    masks = torch.zeros(len(whole), 120 * scale, 120 * scale, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, whole, strict=True):
        mask[y1:y2, x1:x2] = True
    return masks


def test_overlaps_count_the_pixels_inside() -> None:
    boxes = (some_boxes(6) * 4).round() / 4
    masks = painted(boxes)
    found, generalised = overlaps(boxes, boxes), generalised_overlap(boxes[:, None], boxes[None])
    for one, other in combinations(range(6), 2):
        both, either = masks[one] & masks[other], masks[one] | masks[other]
        iou = both.sum() / either.sum()
        assert found[one, other] == pytest.approx(float(iou))
        down, right = (int(p.max() - p.min()) + 1 for p in either.nonzero().T)
        gap = (down * right - int(either.sum())) / (down * right)
        assert generalised[one, other] == pytest.approx(float(iou) - gap)
    torch.testing.assert_close(areas(boxes) * 16, masks.sum((1, 2)).double())


def test_generalised_overlap_of_what_does_not_touch() -> None:
    """The example of two unit squares that lie two apart: 0 - (3 - 2) / 3."""
    one, other = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 0, 3, 1]])
    torch.testing.assert_close(generalised_overlap(one, other), torch.tensor([-1 / 3]))
    torch.testing.assert_close(generalised_overlap(one, one), torch.ones(1))
    assert overlaps(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def suppressed_slowly(boxes: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> list[int]:
    """Return the boxes that stay, one after the other: the definition."""
    left = sorted(range(len(boxes)), key=lambda i: -float(scores[i]))
    stays = []
    while left:
        best = left.pop(0)
        stays.append(best)
        left = [
            i
            for i in left
            if labels[i] != labels[best]
            or float(overlaps(boxes[[best]], boxes[[i]])[0, 0]) <= threshold
        ]
    return stays


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_suppression_is_its_definition(threshold: float) -> None:
    for seed in range(5):
        boxes = some_boxes(40, seed)
        rng = np.random.default_rng(seed)
        scores = torch.from_numpy(rng.permutation(40) / 40)
        labels = torch.from_numpy(rng.integers(0, 2, 40))
        found = suppress(boxes, scores, labels, threshold).tolist()
        assert found == suppressed_slowly(boxes, scores, labels, threshold)
        assert 0 < len(found) <= 40


def test_suppression_of_equal_scores_none_at_all_and_the_boundary() -> None:
    box = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 1, 2]])
    ones = torch.ones(3)
    assert suppress(box, ones, torch.zeros(3), 0.5).tolist() == [0, 2]  # an IoU of .5 may stay
    assert suppress(box, ones, torch.arange(3), 0.5).tolist() == [0, 1, 2]
    assert suppress(box[:0], ones[:0], ones[:0], 0.5).tolist() == []


def test_places_lie_where_convolutions_look() -> None:
    torch.manual_seed(0)
    for size in (SIZE, (41, 67)):
        maps, x = [], torch.zeros(1, 3, *size)
        for stride in (2, 4, *STRIDES):
            x = torch.nn.functional.conv2d(x, torch.zeros(3, 3, 3, 3), stride=2, padding=1)
            if stride in STRIDES:
                maps.append(x)
        where = places(size, STRIDES)
        assert len(where) == sum(m.shape[2] * m.shape[3] for m in maps)
        pyramid = FeaturePyramid([3, 3, 3], 4)
        assert DetectionHead(4, 1, 2, STRIDES)(pyramid(maps)).shape == (1, len(where), 7)
    assert places((16, 24), (8,)).tolist() == [
        [x, y, 8] for y in (4, 12) for x in (4, 12, 20)
    ]  # fmt: skip


def assigned_slowly(where: Tensor, boxes: Tensor, labels: Tensor) -> list[int]:
    """Return what every place answers for, by the words of the paper."""
    best = [(float("inf"), -1)] * len(where)
    for number, (box, label) in enumerate(zip(boxes.tolist(), labels.tolist(), strict=True)):
        x1, y1, x2, y2 = box
        answers = []
        for place, (x, y, stride) in enumerate(where.tolist()):
            edges = (x - x1, y - y1, x2 - x, y2 - y)
            middle = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) < 1.5 * stride
            low = 0 if stride == STRIDES[0] else stride * 4
            high = float("inf") if stride == STRIDES[-1] else stride * 8
            if min(edges) > 0 and middle and low < max(edges) <= high:
                answers.append(place)
        if not answers:
            off = [
                max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2))
                for x, y, stride in where.tolist()
                if stride == STRIDES[0]
            ]
            answers = [off.index(min(off))]
        for place in answers if label >= 0 else ():
            best[place] = min(best[place], ((x2 - x1) * (y2 - y1), number))
    return [number for _, number in best]


def test_places_answer_for_boxes_as_the_paper_says() -> None:
    where = places((120, 120), STRIDES)
    boxes = torch.stack([some_boxes(7, seed).float() for seed in range(4)])
    boxes[1, 0] = torch.tensor([2.0, 3, 118, 119])  # for the coarsest
    boxes[2, 0] = torch.tensor([61.0, 62, 63, 63])  # between places
    labels = torch.tensor([[0, 1, 0, 1, 2, 2, -1]] * 4)
    found = assign(where, boxes, labels)
    for row in range(4):
        assert found[row].tolist() == assigned_slowly(where, boxes[row], labels[row])
    answered = [set(found[row].tolist()) - {-1} for row in range(4)]
    assert all(len(numbers) >= 4 for numbers in answered)
    assert assign(where, boxes[:, :0], labels[:, :0]).tolist() == [[-1] * len(where)] * 4


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers how many numbers the largest tensor made has."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else [made]:
            if isinstance(one, Tensor):  # what is expanded takes no memory
                self.numbers = max(self.numbers, one.untyped_storage().nbytes() // one.itemsize)
        return made


def test_many_boxes_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    where = places((240, 240), STRIDES)
    boxes = torch.stack([some_boxes(300, seed).float() for seed in range(4)]) * 2
    boxes[0, 100:200] = boxes[0, :100]  # of equal ones the first answers
    labels = torch.arange(300).expand(4, -1) % 3
    labels[3, 200:] = -1
    whole = assign(where, boxes, labels)
    monkeypatch.setattr(detection, "_PAIRS", 1 << 16)
    with Largest() as largest:  # type: ignore[no-untyped-call]
        parts = assign(where, boxes, labels)
    assert torch.equal(parts, whole)
    assert largest.numbers <= 1 << 16 < 4 * len(where) * 300 // 10
    assert parts[0].tolist() == assigned_slowly(where, boxes[0], labels[0])


def perfect(where: Tensor, boxes: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return what a head would say that knows the answer."""
    number = assign(where, boxes, labels)
    said = torch.full((*number.shape, classes + 5), -20.0)
    said[..., -5:-1] = 1.0
    for row, place in (number >= 0).nonzero().tolist():
        goal = int(number[row, place])
        x1, y1, x2, y2 = boxes[row, goal].tolist()
        x, y, _ = where[place].tolist()
        said[row, place, labels[row, goal]] = 20.0
        said[row, place, -5:-1] = torch.tensor([x - x1, y - y1, x2 - x, y2 - y])
        said[row, place, -1] = 20.0
    return said


def test_perfection_loses_nothing_and_an_empty_image_teaches() -> None:
    where = places((120, 120), STRIDES)
    boxes = torch.stack([some_boxes(5, seed).float() for seed in (0, 1, 2)])
    labels = torch.tensor([[0, 1, 2, 1, 0], [2, 2, 0, 0, -1], [-1] * 5])
    said = perfect(where, boxes, labels, 3)
    losses = detection_loss(said, where, boxes, labels)
    assert losses.sums.max() < 1e-4
    number = assign(where, boxes, labels)
    assert losses.counts.tolist() == [*(number[:2] >= 0).sum(1).tolist(), 1]
    unsure = said.clone()
    unsure[2, :, :3] = 0.0  # every class as likely as not, everywhere
    told = detection_loss(unsure, where, boxes, labels)
    nats = 0.75 * 0.5**2 * np.log(2) * len(where) * 3
    assert told.sums[2].item() == pytest.approx(nats, rel=1e-5)
    shifted = said.clone()
    place = int((number[0] >= 0).nonzero()[0])
    shifted[0, place, -5:-1] *= 0.9
    goal = boxes[0, number[0, place]][None]
    made = boxes_at(shifted[0, place, -5:-1], where[[place]])
    lost = 2 * (1 - generalised_overlap(made, goal)) + 20 * (1 - overlaps(made, goal)[0])
    told = detection_loss(shifted, where, boxes, labels)
    assert (told.sums - losses.sums)[0].item() == pytest.approx(lost.item(), rel=1e-4)


def test_gradients_are_those_of_finite_differences() -> None:
    where = places((40, 40), (8, 16))
    boxes, labels = torch.tensor([[[3.0, 5, 30, 33], [20, 8, 39, 20]]]), torch.tensor([[1, 0]])
    torch.manual_seed(0)
    said = torch.randn(1, len(where), 7, dtype=torch.float64)
    fixed = said.clone()
    fixed[..., -5:-1] = 12 * said[..., -5:-1].sigmoid()
    fixed[..., -1] = 0.0  # then its loss is log 2, whatever the aim, which moves with the box

    def loss(free: Tensor) -> Tensor:
        return detection_loss(torch.cat([free, fixed[..., 6:]], -1), where, boxes, labels).sums

    free = fixed[..., :6].clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (free,))


def test_in_a_crowd_its_class_costs_nothing_and_others_do() -> None:
    where = places((120, 120), STRIDES)
    boxes, labels = torch.tensor([[[0.0, 0, 60, 120]]]), torch.tensor([[1]])
    crowds = torch.tensor([[True]])
    said = torch.full((1, len(where), 3 + 5), -20.0)
    said[..., -5:-1] = 1.0
    empty = detection_loss(said, where, boxes, labels, crowds=crowds)
    assert empty.sums.item() < 1e-4, "no place has to find the box of a group"
    inside = int((where[:, 0] <= 60).sum())
    for number, counted in ((1, len(where) - inside), (0, len(where))):
        unsure = said.clone()
        unsure[..., number] = 0.0  # as likely as not, everywhere
        told = detection_loss(unsure, where, boxes, labels, crowds=crowds)
        nats = 0.75 * 0.5**2 * np.log(2) * counted
        assert told.sums.item() == pytest.approx(nats, rel=1e-5)
