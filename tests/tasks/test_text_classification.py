"""The task against its laws, scikit-learn, brute force and bad records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import f1_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from luban.core.batch import Batch
from luban.core.contracts import Record, Task
from luban.core.errors import DataError, RecipeError, RunError
from luban.data.baselines.naive_bayes import NaiveBayes
from luban.data.views.in_memory import InMemoryExamples
from luban.mechanisms.plain import Plain
from luban.tasks.answers.calibration import (
    best_temperature,
    best_threshold,
    highest_f1,
    sigmoid,
    softmax,
)
from luban.tasks.text_classification import TextClassification
from luban.testing import check_task
from tests.tasks.toy import Bag

TEXTS = ["good", "bad film", "so good", "very bad", "good good film", "不好"]
ONE: list[dict[str, Any]] = [
    {"text": text, "label": label, "_where": f"a:{row}"}
    for row, (text, label) in enumerate(zip(TEXTS, [1, 0, 1, 0, 1, 0], strict=True))
]
THREE: list[dict[str, Any]] = [
    {**record, "label": name} for record, name in zip(ONE, "cabbca", strict=True)
]
SEVERAL = [
    {**record, "label": labels}
    for record, labels in zip(ONE, [["x"], [], ["x", "y"], ["z"], ["y"], ["x"]], strict=True)
]
PAIRS = [{**record, "text_pair": record["text"][::-1]} for record in ONE]


def task(**fields: Any) -> TextClassification:
    made = Task.from_dict({"name": "text-classification", "tokenizer": "char", **fields})
    assert isinstance(made, TextClassification)
    return made


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"label_smoothing": 0.1},
        {"focal_gamma": 2.0},
        {"class_weights": "balanced"},
        {"focal_gamma": 1.0, "class_weights": "balanced"},
    ],
    ids=lambda fields: "-".join(fields) or "plain",
)
@pytest.mark.parametrize(
    "records", [ONE, THREE, SEVERAL, PAIRS], ids=["two", "three", "several", "pairs"]
)
def test_the_laws(fields: dict[str, Any], records: list[Record]) -> None:
    check_task(task(**fields), Bag(), records, mechanism=Plain())


def test_labels_are_learned_in_a_stable_order() -> None:
    numbers = [{**ONE[0], "label": label} for label in (10, 9, -1, 2)]
    assert task().learn(numbers).signature().labels == ("-1", "2", "9", "10")
    assert task().learn(THREE[::-1]).signature().labels == ("a", "b", "c")
    mixed = [{**ONE[0], "label": label} for label in (True, "maybe", 3.0)]
    assert task().learn(mixed).signature().labels == ("3.0", "maybe", "true")


def test_the_ports_tell_everything() -> None:
    signature = task(max_length=10).learn(PAIRS).signature()
    assert (signature.produces, signature.outputs, signature.segments, signature.length) == (
        "label",
        2,
        2,
        10,
    )
    assert signature.problem == "single_label_classification"
    several = task().learn(SEVERAL).signature()
    assert several.problem == "multi_label_classification"
    assert several.labels == ("x", "y", "z")


def test_examples_hold_what_bert_reads() -> None:
    learned = task(max_length=9).learn(PAIRS)
    special = learned.tokenizer.special
    example = learned.encode(PAIRS[4])
    ids, types = example["input_ids"].tolist(), example["token_type_ids"].tolist()
    text = learned.tokenizer.decode
    cut = ids.index(special("separator"))
    assert ids[0] == special("start")
    assert ids[-1] == special("separator")
    assert (text(ids[1:cut]), text(ids[cut + 1 : -1])) == ("goo", "mli")
    assert types == [0] * 5 + [1] * 4
    assert "label" not in learned.encode_input({"text": "a", "text_pair": "b"})
    batch = learned.collate([learned.encode_input({"text": "a", "text_pair": "b"})])
    assert not batch.targets
    assert learned.record_schema()["required"] == ["text", "text_pair"]


def test_several_labels_in_one_string() -> None:
    rows = [{**ONE[0], "label": text} for text in ("a; b", "b", "")]
    learned = task(label_separator=";").learn(rows)
    found = [learned.target(learned.encode(row))["labels"] for row in rows]
    assert found == [["a", "b"], ["b"], []]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"text": "a"}, "the record has no label"),
        ({"label": "1"}, "the record has no text"),
        ({"text": 3, "label": "1"}, "the record has no text"),
        ({"text": "a", "label": 1.5}, "no label.*1.5"),
        ({"text": "a", "label": " "}, "no label"),
        ({"text": "a", "label": {"x": 1}}, "no label"),
        ({"text": "a", "label": "2"}, "'2' does not occur in the training records.*0, 1"),
        ({"text": "a", "label": ["1"]}, "does not tell its label as.*one label"),
        ({"text": "a", "text_pair": "b", "label": 1}, "some records have a second text"),
        ({"text": "a", "text_pair": 5, "label": 1}, "no text_pair"),
    ],
)
def test_a_bad_record_is_named(record: dict[str, Any], said: str) -> None:
    learned = task().learn(ONE)
    with pytest.raises(DataError, match=f"(?s)rows.csv:7.*{said}|{said}(?s:.*)rows.csv:7"):
        learned.encode({**record, "_where": "rows.csv:7"})


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "no training text"),
        (ONE[:1], "do not differ"),
        ([ONE[0], SEVERAL[0]], "some training records have one label"),
        ([{**SEVERAL[0], "label": []}], "empty lists"),
    ],
)
def test_training_records_that_teach_nothing(records: list[Record], said: str) -> None:
    with pytest.raises(DataError, match=said):
        task().learn(records)


def test_what_most_training_records_are_is_learned() -> None:
    """The others are named when they are encoded, and set apart."""
    cases: list[tuple[Sequence[Record], Record, str]] = [
        (ONE * 5, PAIRS[1], "some records have a second text"),
        (PAIRS * 5, ONE[1], "no text_pair"),
        (SEVERAL * 5, {"text": "a", "label": "x"}, "does not tell its label as"),
        (ONE * 5, {"label": 1}, "no text"),
    ]
    for usual, few, said in cases:
        learned = task().learn([few, *usual])
        assert learned.signature() == task().learn(usual).signature()
        for record in usual:
            learned.encode(record)
        with pytest.raises(DataError, match=said):
            learned.encode(few)


def test_the_weight_of_a_misspelt_label_is_told() -> None:
    with pytest.raises(RecipeError, match=r"(?s)no label 'd'.*a, b, c"):
        task(class_weights={"a": 2.0, "d": 1.0}).learn(THREE)
    with pytest.raises(RecipeError, match="class_weights"):
        task(class_weights={"a": 0.0})


def test_an_empty_text_teaches_nothing() -> None:
    learned = task().learn(ONE)
    assert learned.target_summary(learned.encode({"text": "", "label": 1})).count == 0
    assert learned.target_summary(learned.encode(ONE[0])).count == 1


def test_balanced_weights_are_scikit_learn_s() -> None:
    rows = [{**ONE[0], "label": label} for label in "aaab"]
    labels = task().learn(rows)._labels
    expected = compute_class_weight("balanced", classes=np.array(["a", "b"]), y=np.array([*"aaab"]))
    assert labels.weights("balanced") == pytest.approx(expected.tolist())
    assert labels.weights({"b": 3.0}) == [1.0, 3.0]
    assert task().learn(SEVERAL)._labels.weights("balanced") == [3 / 3, 4 / 2, 5 / 1]


def test_the_loss_is_torch_s() -> None:
    learned = task(class_weights={"a": 0.5, "c": 3.0}, label_smoothing=0.2).learn(THREE)
    torch.manual_seed(0)
    module = Bag().build(learned.signature()).train()
    batch = learned.collate(learned.encode_batch(THREE))
    logits, weight = module(**batch.inputs), torch.tensor([0.5, 1.0, 3.0])
    expected = nn.CrossEntropyLoss(weight=weight, label_smoothing=0.2)
    labels = batch.targets["labels"]
    torch.testing.assert_close(learned.loss(module, batch).mean, expected(logits, labels))
    plain = nn.CrossEntropyLoss(weight=weight)(module.eval()(**batch.inputs), labels)
    torch.testing.assert_close(learned.loss(module, batch).mean, plain)


# Calibration


def drawn(size: int, classes: int, seed: int = 0) -> tuple[np.ndarray[Any, Any], Any]:
    """Logits, and labels drawn from their softmax."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (size, classes))
    labels = [int(generator.choice(classes, p=p)) for p in softmax(logits)]
    return logits, np.array(labels)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 4.0])
def test_the_temperature_minimises_the_loss(sharpness: float) -> None:
    logits, labels = drawn(3000, 4)
    found = best_temperature(sharpness * logits, labels)
    assert found == pytest.approx(sharpness, rel=0.1)

    def loss(temperature: float) -> float:
        scores = softmax(sharpness * logits / temperature)
        return float(-np.log(scores[np.arange(3000), labels]).mean())

    grid = np.exp(np.linspace(math.log(0.05), math.log(20), 4001))
    assert loss(found) <= min(map(loss, grid.tolist())) + 1e-4


def test_temperatures_stay_within_reason() -> None:
    sure = np.array([[9.0, 0.0], [0.0, 9.0]])
    assert best_temperature(sure, np.array([0, 1])) == 1.0, "all right: no temperature is the best"
    assert best_temperature(sure, np.array([1, 0])) == 20.0
    assert best_temperature(np.zeros((3, 2)), np.array([0, 1, 1])) == 1.0


def test_scores_of_any_logits_are_numbers() -> None:
    wild = np.array([[1e4, -1e4]])
    assert softmax(wild).tolist() == sigmoid(wild).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_has_a_better_f1(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, 30)
    scores = np.round(generator.uniform(0, 1, 30) + 0.3 * truth, 1) / 1.4
    found = highest_f1(scores, truth)
    best = max(f1_score(truth, scores >= t, zero_division=0.0) for t in np.unique(scores))
    assert f1_score(truth, scores >= found, zero_division=0.0) == pytest.approx(best)


def test_a_threshold_of_what_never_occurs_is_one_half() -> None:
    assert best_threshold(np.array([0.2, 0.9]), np.array([0, 0])) == 0.5
    assert 0.0 <= best_threshold(np.zeros(2), np.array([1, 0])) <= 0.5


class Fixed(nn.Module):
    """Says what it is given."""

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits


def batches(logits: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> list[Batch]:
    return [
        Batch(
            {"logits": torch.from_numpy(logits[part])}, {"labels": torch.from_numpy(labels[part])}
        )
        for part in (slice(0, 7), slice(7, None))
    ]


def test_calibration_is_saved_and_used(tmp_path: Path) -> None:
    logits, labels = drawn(2000, 3)
    learned = task().learn(THREE)
    given = batches(4 * logits, labels)
    tuned = learned.calibrate(Fixed(), given)
    tuned.save(tmp_path)
    again = task().load(tmp_path)
    assert again._labels == tuned._labels
    before = learned.predict(Fixed(), given[1])
    after = again.predict(Fixed(), given[1])
    assert [item["label"] for item in before] == [item["label"] for item in after]
    expected = softmax(logits[7:] * 4 / tuned._labels.temperature)
    np.testing.assert_allclose([[*item["scores"].values()] for item in after], expected)
    errors = {}
    for name, made in (("before", before), ("after", after)):
        metric = learned.metrics()[-1]
        targets = [{"label": "abc"[y]} for y in labels[7:]]
        errors[name] = metric.compute(
            np.asarray([metric.statistics(p, t) for p, t in zip(made, targets, strict=True)])
        )
    assert errors["after"] < 0.03 < 0.1 < errors["before"]
    assert learned.calibrate(Fixed(), []) is learned


def test_the_threshold_of_two_labels_raises_f1() -> None:
    logits, labels = drawn(500, 2)
    skewed = logits + np.array([2.0, 0.0])
    learned = task(tune_threshold=True).learn(ONE)
    tuned = learned.calibrate(Fixed(), batches(skewed, labels))

    def f1(chosen: TextClassification) -> float:
        said = chosen.predict(Fixed(), batches(skewed, labels)[1])
        assert all(item["score"] == item["scores"][item["label"]] for item in said)
        return float(f1_score(labels[7:], [int(item["label"]) for item in said]))

    assert f1(tuned) > f1(learned) + 0.02


def test_several_labels_get_a_threshold_each() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, (300, 3))
    logits = generator.normal(0, 1, (300, 3)) + truth - np.array([3.0, 0.0, -3.0])
    learned = task().learn(SEVERAL)
    tuned = learned.calibrate(Fixed(), batches(logits, truth))

    def decided(chosen: TextClassification) -> np.ndarray[Any, Any]:
        said = chosen.predict(Fixed(), batches(logits, truth)[1])
        return np.array([[name in item["labels"] for name in "xyz"] for item in said])

    for column in range(3):
        pair = [f1_score(truth[7:, column], decided(t)[:, column]) for t in (learned, tuned)]
        assert pair[1] >= pair[0]
    assert f1_score(truth[7:], decided(tuned), average="macro") > 0.65


# Baselines


def test_naive_bayes_is_scikit_learn_s() -> None:
    texts = ["a b b", "a c", "c c d", "d a", "b"]
    labels = np.array([0, 1, 1, 2, 0])
    counter = CountVectorizer(token_pattern=r"\w")
    counts = counter.fit_transform(texts)
    ids = [np.array([counter.vocabulary_[w] for w in text.split()]) for text in texts]
    lengths = np.array([len(row) for row in ids])
    made = NaiveBayes(np.concatenate(ids), lengths, labels, vocabulary=4, classes=3)
    expected = MultinomialNB().fit(counts, labels).predict_proba(counts)
    np.testing.assert_allclose([made.scores(row) for row in ids], expected)


def test_baselines_predict_as_the_task_does() -> None:
    learned = task().learn(THREE)
    examples = learned.encode_batch(THREE)
    baselines = learned.baselines(InMemoryExamples(examples))
    even = dict.fromkeys("abc", 1 / 3)
    assert baselines["majority"](examples[0])["scores"] == pytest.approx(even)
    right = [baselines["naive-bayes"](e)["label"] == learned.target(e)["label"] for e in examples]
    assert sum(right) > 2
    several = task().learn(SEVERAL)
    found = several.baselines(InMemoryExamples(several.encode_batch(SEVERAL)))["majority"]
    assert found(several.encode(SEVERAL[0])) == {
        "labels": ["x"], "scores": pytest.approx({"x": 3 / 6, "y": 2 / 6, "z": 1 / 6})
    }  # fmt: skip


def test_balanced_sampling_knows_the_classes() -> None:
    learned = task().learn(THREE)
    store = InMemoryExamples(learned.encode_batch(THREE))
    groups, lengths = learned.view(store, 0, 0).groups, learned.view(store, 0, 0).lengths
    assert groups is not None
    assert groups.tolist() == ["abc".index(record["label"]) for record in THREE]
    assert lengths is not None
    assert lengths.tolist() == [len(text) + 2 for text in TEXTS]
    assert task().learn(SEVERAL).view(store, 0, 0).groups is None


# Recognition


def test_damaged_labels_are_told(tmp_path: Path) -> None:
    task().learn(ONE).save(tmp_path)
    (tmp_path / "labels.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        task().load(tmp_path)
    (tmp_path / "labels.json").unlink()
    with pytest.raises(RunError, match="missing"):
        task().load(tmp_path)
