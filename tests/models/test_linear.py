"""The linear model: its features are scikit-learn's, and so, nearly, is its score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_union

from luban.core.contracts import Record, StrongBaseline
from luban.core.errors import RecipeError
from luban.data.views.in_memory import InMemoryExamples
from luban.models.linear import Linear, LinearOverNgrams
from luban.recipe import Recipe
from luban.tasks.text_classification import TextClassification
from tests.life import done, luban
from tests.tasks.test_classification_life import write

TEXTS = [
    "The film isn't bad; it is GOOD, really good!",
    "a   bad  film\nfrom 2019",
    "今天天气很好,出去走走。",
    "天气不好 at all, 今天不出去",
    "é ÉTÉ été x",
    "good",
    "?!",
    "bad bad bad bad good",
]
#: Words as ``luban.core.unicode_text`` has them, for these texts; signs are words too.
WORDS = r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+|[^\w\s]"
HASHED = Linear(features=5000)


def records_of(texts: list[str], pair: str | None = None) -> list[Record]:
    extra = {} if pair is None else {"text_pair": pair}
    return [{"text": text, "label": str(i % 2), **extra} for i, text in enumerate(texts)]


def set_up(
    model: Linear, texts: list[str], pair: str | None = None
) -> tuple[TextClassification, LinearOverNgrams, dict[str, torch.Tensor]]:
    records = records_of(texts, pair)
    task = TextClassification.from_dict(
        {"name": "text-classification", "tokenizer": "char", "max_length": 256}
    ).learn(records)
    module = model.build(task.signature())
    examples = task.encode_batch(records)
    model.set_statistics(module, task, examples)
    return task, module, dict(task.collate(examples).inputs)


def vectors(module: LinearOverNgrams, inputs: dict[str, torch.Tensor]) -> Any:
    """Return the weight of each n-gram in each text, (N, features + 1)."""
    numbers, weights = module.ngrams(**inputs)
    dense = torch.zeros(len(numbers), module.ngrams.features + 1, dtype=torch.float64)
    return dense.scatter_add_(1, numbers, weights.double()).numpy()


def reference(words: tuple[int, int], characters: tuple[int, int]) -> FeatureUnion:
    return make_union(
        TfidfVectorizer(token_pattern=WORDS, ngram_range=words, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=characters, sublinear_tf=True),
    )


@pytest.mark.parametrize("at_once", [1, 8])
def test_features_are_those_of_scikit_learn(at_once: int) -> None:
    """Products of all pairs of texts are equal: whatever number an n-gram has."""
    _, module, inputs = set_up(HASHED, TEXTS)
    parts = [{k: v[i : i + at_once] for k, v in inputs.items()} for i in range(0, 8, at_once)]
    found = np.concatenate([vectors(module, part) for part in parts])
    expected = reference((1, 2), (2, 5)).fit_transform(TEXTS)
    np.testing.assert_allclose(found @ found.T, (expected @ expected.T).toarray(), atol=1e-6)


def test_only_frequent_ngrams_are_kept() -> None:
    """As ``max_features`` of scikit-learn, over words alone: ties aside, the same are kept."""
    model = Linear(words=(1,), characters=(), features=2, slots=4_000_037)
    _, module, inputs = set_up(model, ["a b c", "a b", "a b d", "b e f"])
    found = vectors(module, inputs)
    assert (found[:, 1:] > 0).tolist() == [[True, True], [True, True], [True, True], [True, False]]
    assert not found[:, 0].any()


def test_texts_of_a_pair_have_their_own_ngrams() -> None:
    _, alone, one = set_up(HASHED, ["good", "bad"])
    _, module, two = set_up(HASHED, ["good", "bad"], pair="good")
    assert (vectors(alone, one) > 0).sum() < (vectors(module, two) > 0).sum()
    same = vectors(module, two)
    assert not np.allclose(same[0], same[1])
    torch.manual_seed(0)
    torch.nn.init.normal_(module.stem.weight)
    swapped = {**two, "token_type_ids": 1 - two["token_type_ids"]}
    assert not torch.allclose(module(**two), module(**swapped))


@pytest.mark.parametrize("tokenizer", ["char", {"name": "bpe", "vocab_size": 300}])
@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
def test_the_baseline_is_the_logistic_regression_of_scikit_learn(
    tokenizer: Any, several: bool
) -> None:
    """Its scores are equal, whatever the tokenizer of the model that it stands beside."""
    texts = [f"{one} {two}." for one in TEXTS[:6] for two in ("yes", "no", "so so", "今天")]
    truth = [[number % 3 == 0, number % 4 == 1] for number in range(len(texts))]
    labels = [[n for n, true in zip("ab", row, strict=True) if true] for row in truth]
    records = [
        {"text": text, "label": names if several else "ab"[row[0]]}
        for text, names, row in zip(texts, labels, truth, strict=True)
    ]
    task = TextClassification.from_dict(
        {"name": "text-classification", "tokenizer": tokenizer, "max_length": 256}
    ).learn(records)
    examples = task.encode_batch(records)
    baseline = task.baselines(InMemoryExamples(examples))["linear"]
    assert isinstance(baseline, StrongBaseline)
    found = [said["scores"] for said in baseline.predict_many(examples)]
    assert baseline(examples[3])["scores"] == pytest.approx(found[3])
    features = reference((1, 2), (2, 5)).fit_transform(texts)
    columns = np.array(truth) if several else np.array([row[0] for row in truth])[:, None]
    for name, column in zip("ab" if several else "b", columns.T, strict=True):
        model = LogisticRegression(C=10, tol=1e-8, max_iter=1000).fit(features, column)
        expected = model.predict_proba(features)[:, 1]
        np.testing.assert_allclose([scores[name] for scores in found], expected, atol=2e-4)


def test_a_model_that_reads_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="no n-grams"):
        Linear.from_dict({"name": "linear", "words": [], "characters": []})


MODEL = {"name": "linear", "features": 400, "slots": 20_000}
ADAM = {"name": "adam", "learning_rate": 0.02}


def test_statistics_survive_resuming_saving_and_exporting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted once, before the first step, stays as it was; ``verify`` agrees."""
    monkeypatch.chdir(tmp_path)
    changes = {
        "model": MODEL,
        "task.tokenizer": "char",
        "train.optimizer": ADAM,
        "train.save_steps": 10,
        "export": {"formats": ["torch-export"]},
    }
    write(tmp_path, changes, exclusive=True)
    done("run", "tiny.yaml")
    run = tmp_path / "runs/tiny"
    whole = (run / "model/model.safetensors").read_bytes()
    saved = load_file(run / "model/model.safetensors")
    first = load_file(run / "checkpoint-20/model.safetensors")
    assert len(set(saved["ngrams.idf"].tolist())) > 10
    assert torch.equal(first["ngrams.idf"], saved["ngrams.idf"])
    claims = json.loads((run / "reports/train.json").read_text())["claims"]
    assert claims["parameters"]["value"] == 401 * 2 + 2
    report = json.loads((run / "reports/evaluate.json").read_text())["claims"]
    assert report["test/accuracy"]["value"] > 0.9
    done("verify", "runs/tiny")
    for path in run.glob("checkpoint-30"):
        path.rename(tmp_path / "aside")
    assert "goes on from checkpoint-20" in done("train", "tiny.yaml", "--force").err
    assert (run / "model/model.safetensors").read_bytes() == whole
    said = done("predict", "runs/tiny", "--text", "icy food", "--json").json
    assert said["label"] == "cold"


SETS: dict[str, dict[str, Any]] = {
    "sst2": {},
    "ag-news": {"split": {"by": "record", "validation": 0.08, "test": 0.2}},
    "waimai-10k": {"split": {"by": "record", "validation": 0.08, "test": 0.2}},
    "csl-fields": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_the_score_is_that_of_scikit_learn(
    name: str, luban_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a point below logistic regression over the same n-grams at most; C is the best of 3."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUBAN_DATA", str(luban_data))
    fields = {
        "name": name,
        "data": {"source": {"name": "catalogue", "dataset": name}, **SETS[name]},
        "task": {"name": "text-classification", "tokenizer": "char", "max_length": 400},
        "model": "linear",
        "train": {
            "num_train_epochs": 8,
            "batch_size": 64,
            "optimizer": {**ADAM, "weight_decay": 7e-6},
            "schedule": "linear",
            "eval_steps": 50,
        },
    }
    Path("recipe.yaml").write_text(json.dumps(fields))
    said = luban("run", "recipe.yaml")
    assert said.code == 0, said.err
    report = json.loads(Path(f"runs/{name}/reports/evaluate.json").read_text())["claims"]
    data = Recipe.read(Path("recipe.yaml")).data
    texts, labels = {}, {}
    for split in ("train", "test"):
        records = list(data.records(split))
        texts[split] = [r["text"] for r in records]
        labels[split] = [str(r["label"]) for r in records]
    union = reference((1, 2), (2, 5))
    seen, unseen = union.fit_transform(texts["train"]), union.transform(texts["test"])
    scores = [
        LogisticRegression(C=C, tol=1e-3, max_iter=200)
        .fit(seen, labels["train"])
        .score(unseen, labels["test"])
        for C in (1, 4, 16)
    ]
    assert report["test/accuracy"]["value"] >= max(scores) - 0.005
