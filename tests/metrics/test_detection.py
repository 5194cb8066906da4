"""Average precision against pycocotools, and against what can be counted by hand."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from luban.core.intervals import measured
from luban.metrics import _detections
from luban.metrics._detections import box_overlaps
from luban.metrics.mean_average_precision import MeanAveragePrecision

NAMES = ("cat", "dog", "eel")
BOX = [10.0, 10.0, 30.0, 40.0]


def scenes(seed: int, count: int, crowds: float = 0.0) -> tuple[list[Any], list[Any]]:
    """Return predictions and targets: true boxes moved a little, missed, doubled, invented."""
    rng = np.random.default_rng(seed)

    def boxes(number: int) -> Any:
        corner = rng.uniform(0, 80, (number, 2))
        return np.concatenate([corner, corner + rng.uniform(5, 40, (number, 2))], 1)

    predictions, targets = [], []
    for _ in range(count):
        true = boxes(int(rng.integers(0, 9)))
        labels = rng.choice(NAMES[: 2 + seed % 2], len(true))
        moved = np.repeat(true, 2, 0) + rng.normal(0, 3, (2 * len(true), 4))
        extra = boxes(int(rng.integers(0, 6)))
        said = np.concatenate([moved, extra])
        said[:, 2:] = np.maximum(said[:, 2:], said[:, :2] + 1)
        names = [*np.repeat(labels, 2), *rng.choice(NAMES, len(extra))]
        scores = rng.permutation(len(said)) / len(said) + rng.uniform(0, 1e-3, len(said))
        keep = rng.random(len(said)) < 0.7
        predictions.append(
            {
                "objects": [
                    {"label": str(n), "score": float(s), "box": b.tolist()}
                    for n, s, b, k in zip(names, scores, said, keep, strict=True)
                    if k
                ]
            }
        )
        targets.append(
            {
                "objects": [
                    {"label": str(n), "box": b.tolist(), **({"crowd": True} if c else {})}
                    for n, b, c in zip(labels, true, rng.random(len(true)) < crowds, strict=True)
                ]
            }
        )
    return predictions, targets


def by_pycocotools(predictions: list[Any], targets: list[Any]) -> Any:
    """Return precision at overlaps and recalls by class, -1 where a class does not occur."""
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")

    def entry(image: int, one: Any, **more: Any) -> dict[str, Any]:
        x1, y1, x2, y2 = one["box"]
        box = [x1, y1, x2 - x1, y2 - y1]
        label = NAMES.index(one["label"])
        return {"image_id": image, "category_id": label, "bbox": box, **more}

    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, (said, target) in enumerate(zip(predictions, targets, strict=True)):
        found += [entry(image, one, score=one["score"]) for one in said["objects"]]
        for one in target["objects"]:
            made = entry(image, one, id=len(truth) + 1, iscrowd=int(one.get("crowd", False)))
            truth.append({**made, "area": made["bbox"][2] * made["bbox"][3]})
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        known.dataset = {
            "images": [{"id": image} for image in range(len(targets))],
            "annotations": truth,
            "categories": [{"id": number} for number in range(len(NAMES))],
        }
        known.createIndex()
        evaluator = evaluation.COCOeval(known, known.loadRes(found), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator.eval["precision"][:, :, :, 0, 2]


@pytest.mark.parametrize("crowds", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("seed", range(6))
def test_it_equals_pycocotools(seed: int, crowds: float) -> None:
    predictions, targets = scenes(seed, 25, crowds)
    theirs = by_pycocotools(predictions, targets)
    known = theirs[theirs > -1]
    assert 0.05 < known.mean() < 0.95
    for overlap, expected in (("50", theirs[:1]), ("50-95", theirs)):
        for only in (None, *NAMES):
            metric = MeanAveragePrecision.from_dict(
                {
                    "name": "mean-average-precision",
                    "classes": NAMES,
                    "overlap": overlap,
                    "only": only,
                }
            )
            part = expected if only is None else expected[:, :, [NAMES.index(only)]]
            part = part[part > -1]
            rows = [metric.statistics(p, t) for p, t in zip(predictions, targets, strict=True)]
            ours = metric.compute(np.asarray(rows))
            assert ours == pytest.approx(part.mean() if part.size else 0.0, abs=1e-9)


def one_image(*objects: tuple[str, float, list[float]]) -> dict[str, Any]:
    return {"objects": [{"label": n, "score": s, "box": b} for n, s, b in objects]}


TARGET = {"objects": [{"label": "cat", "box": BOX}]}


def value(prediction: Any, target: Any = TARGET, **fields: Any) -> float:
    metric = MeanAveragePrecision(classes=NAMES, **fields)
    return metric.compute(np.asarray([metric.statistics(prediction, target)]))


def test_what_can_be_counted_by_hand() -> None:
    assert value(one_image(("cat", 0.3, BOX))) == 1
    assert value(one_image(("dog", 0.3, BOX))) == 0
    assert value(one_image()) == 0
    assert value(one_image(("cat", 0.9, [0.0, 0, 5, 5]), ("cat", 0.8, BOX))) == 0.5
    assert value(one_image(("cat", 0.9, BOX), ("cat", 0.8, BOX))) == 1  # the second comes too late
    narrower = [10.0, 10.0, 30.0, 31.0]  # 21 / 30 = 0.7 of the box
    assert value(one_image(("cat", 0.9, narrower)), overlap="50-95") == pytest.approx(0.5)


def test_each_pair_of_objects_is_matched_once_for_all_and_once_by_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs: list[int] = []

    def counted(one: Any, other: Any) -> Any:
        pairs.append(len(one) * len(other))
        return box_overlaps(one, other)

    monkeypatch.setattr(_detections, "box_overlaps", counted)
    whole = MeanAveragePrecision(classes=NAMES)
    prediction = one_image(*(("cat", 0.9, BOX), ("dog", 0.8, BOX), ("eel", 0.7, BOX)) * 10)
    for metric in (whole, *(whole.replace(only=name) for name in NAMES)):
        metric.statistics(prediction, TARGET)
    assert sum(pairs) == 30 + 30


def test_equal_scores_count_together_whatever_their_order() -> None:
    one, other = ("cat", 0.5, BOX), ("cat", 0.5, [0.0, 0, 5, 5])
    assert value(one_image(one, other)) == value(one_image(other, one)) == 0.5


def test_only_the_best_detections_count() -> None:
    noise = [("cat", 0.9, [0.0, 0.0, 5.0, 5.0])] * 3
    assert value(one_image(*noise, ("cat", 0.5, BOX)), max_detections=3) == 0


def test_images_without_objects_cost_precision_and_nothing_else() -> None:
    metric = MeanAveragePrecision(classes=NAMES)
    empty: dict[str, Any] = {"objects": []}
    right = metric.statistics(one_image(("cat", 0.5, BOX)), TARGET)
    rows = np.asarray([right, metric.statistics(empty, empty)])
    assert metric.compute(rows) == 1
    wrong = metric.statistics(one_image(("cat", 0.9, BOX)), empty)
    assert metric.compute(np.asarray([right, wrong])) == 0.5
    assert metric.compute(np.asarray([wrong])) == 0


def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong() -> None:
    group = {"label": "cat", "box": [0.0, 0.0, 100.0, 100.0], "crowd": True}
    alone = [200.0, 0.0, 220.0, 20.0]
    apart = {"label": "cat", "box": alone}
    inside = [("cat", 0.9, [10.0 * n, 0.0, 10.0 * n + 9, 9.0]) for n in range(5)]
    target = {"objects": [group, apart]}
    assert value(one_image(*inside, ("cat", 0.5, [200.0, 0, 220, 20])), target) == 1
    assert value(one_image(("cat", 0.9, [150.0, 0, 160, 9]), ("cat", 0.5, alone)), target) == 0.5
    assert value(one_image(("dog", 0.9, [1.0, 1, 9, 9])), target) == 0
    other = {"objects": [{**group, "label": "dog"}, apart]}
    assert value(one_image(*inside, ("cat", 0.5, alone)), other) == pytest.approx(1 / 6)


def by_the_voc_devkit(found: list[Any], there: list[Any]) -> tuple[list[bool], list[bool]]:
    """Return which detections are right and which wrong, as ``VOCevaldet.m`` goes through them."""
    taken, right, wrong = set[int](), list[bool](), list[bool]()
    for one in found:
        best, at = -1.0, -1
        for place, true in enumerate(there):
            (overlap,), *_ = box_overlaps([one["box"]], [true["box"]])
            if overlap > best:
                best, at = float(overlap), place
        hard = best >= 0.5 and there[at].get("difficult", False)
        hit = best >= 0.5 and not hard and at not in taken
        taken |= {at} if hit else set()
        right.append(hit)
        wrong.append(not hit and not hard)
    return right, wrong


@pytest.mark.parametrize("seed", range(5))
def test_difficult_objects_are_ignored_as_by_the_voc_devkit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    there, found = list[Any](), list[Any]()
    for place in range(30):  # apart from each other, so that each detection is of one object
        box = np.array([100.0 * place, 0, 100 * place + 50, 50])
        mark = {"difficult": True} if rng.random() < 0.4 else {}
        there.append({"label": "cat", "box": box.tolist(), **mark})
        for _ in range(int(rng.integers(0, 4))):
            moved = (box + rng.normal(0, 8, 4)).tolist()
            found.append({"label": "cat", "box": moved, "score": float(rng.random())})
    found.sort(key=lambda one: -one["score"])
    right, wrong = by_the_voc_devkit(found, there)
    assert any(right)
    assert any(wrong)
    assert not all(r or w for r, w in zip(right, wrong, strict=True))
    hits, ignored = _detections.matches(found, there, np.array([0.5]))
    assert hits[0].tolist() == right
    assert (~hits[0] & ~ignored[0]).tolist() == wrong
    truth = [("cat", 0.9, one["box"]) for one in there if "difficult" not in one]
    assert value(one_image(*truth), {"objects": there}) == 1


@pytest.mark.parametrize("seed", range(8))
def test_of_a_difficult_and_an_ordinary_object_the_larger_overlap_decides(seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    there, found = list[Any](), list[Any]()
    for place in range(40):
        box = np.array([100.0 * place, 0, 100 * place + 50, 50])
        there.append({"label": "cat", "box": box.tolist()})
        for _ in range(int(rng.integers(0, 3))):
            near = (box + rng.normal(0, 5, 4)).tolist()
            there.append({"label": "cat", "box": near, "difficult": True})
        for _ in range(int(rng.integers(0, 4))):
            moved = (box + rng.normal(0, 5, 4)).tolist()
            found.append({"label": "cat", "box": moved, "score": float(rng.random())})
    rng.shuffle(there)
    found.sort(key=lambda one: -one["score"])
    right, wrong = by_the_voc_devkit(found, there)
    alone = _detections.matches(found, [one for one in there if "difficult" not in one])[0][0]
    assert alone.sum() > sum(right) > 0, "some are nearer to a difficult object"
    hits, ignored = _detections.matches(found, there, np.array([0.5]))
    assert hits[0].tolist() == right
    assert (~hits[0] & ~ignored[0]).tolist() == wrong


def test_what_is_found_exactly_is_right_beside_a_difficult_twin() -> None:
    twin = {"label": "cat", "box": BOX, "difficult": True}
    for objects in ([twin, *TARGET["objects"]], [*TARGET["objects"], twin]):
        assert value(one_image(("cat", 0.5, BOX)), {"objects": objects}) == 1


def test_overlaps_of_boxes_that_touch_or_are_empty() -> None:
    found = box_overlaps([[0, 0, 2, 2], [5, 5, 5, 9]], [[0, 0, 2, 2], [2, 0, 4, 2], [1, 0, 3, 2]])
    np.testing.assert_allclose(found, np.array([[1, 0, 1 / 3], [0, 0, 0]]))


def test_an_interval_holds_its_value() -> None:
    metric = MeanAveragePrecision(classes=NAMES, overlap="50-95")
    rows = [metric.statistics(p, t) for p, t in zip(*scenes(1, 40), strict=True)]
    claim = measured(metric, rows, rounds=100)
    assert claim.low is not None
    assert claim.high is not None
    assert claim.low < float(claim.value) < claim.high


def test_the_curve_is_drawn_once() -> None:
    from matplotlib.figure import Figure

    metric = MeanAveragePrecision(classes=NAMES)
    rows = np.asarray([metric.statistics(p, t) for p, t in zip(*scenes(1, 5), strict=True)])
    axes = Figure().subplots()
    assert metric.plot(axes, rows)
    assert len(axes.get_lines()) == len(NAMES)
    assert not metric.replace(only="cat").plot(axes, rows)
