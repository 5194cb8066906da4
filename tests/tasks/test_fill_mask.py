"""Masked language modelling: what is hidden, how often, and what is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from luban.core.contracts import Model, Task
from luban.core.errors import DataError, RecipeError
from luban.data.store import Store, build
from luban.data.views.masking import SEEN

TEXTS = ["the quick brown fox jumps over the lazy dog", "床前明月光，疑是地上霜。", "to be or not"]
RECORDS = [{"text": text * 12, "_where": f"a:{row}"} for row, text in enumerate(TEXTS)]
BERT = {
    "name": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "initializer_range": 0.2,
}  # fmt: skip


def task(**fields: Any) -> Any:
    given = {"name": "fill-mask", "tokenizer": "char", "max_length": 34, **fields}
    return Task.from_dict(given).learn(RECORDS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return build(task(), RECORDS * 40, tmp_path / "store")


def test_shares_are_those_of_the_paper(store: Store) -> None:
    learned = task()
    tokenizer = learned.tokenizer
    mask = tokenizer.special("mask")
    hidden = masked = same = total = 0
    for epoch in range(4):
        for row in learned.view(store, epoch, 0):
            ids, labels = row["input_ids"], row["labels"]
            at = labels != SEEN
            assert ids[0] == tokenizer.special("start")
            assert ids[-1] == tokenizer.special("separator")
            assert not at[[0, -1]].any()
            assert not (labels == tokenizer.special("separator")).any(), "specials are not hidden"
            total += int((np.where(at, labels, ids)[1:-1] != tokenizer.special("separator")).sum())
            hidden += int(at.sum())
            masked += int((ids[at] == mask).sum())
            same += int((ids[at] == labels[at]).sum())
    assert hidden / total == pytest.approx(0.15, abs=0.01)
    assert masked / hidden == pytest.approx(0.8, abs=0.02)
    assert same / hidden == pytest.approx(0.1, abs=0.02)


def test_masks_are_drawn_anew_in_training_and_fixed_in_evaluation(store: Store) -> None:
    learned = task(line_by_line=True)
    epochs = [[row["input_ids"].tolist() for row in learned.view(store, e, 0)] for e in (0, 0, 1)]
    assert epochs[0] == epochs[1]
    assert epochs[0] != epochs[2]
    one, other = (learned.view(store, None, seed) for seed in (0, 1))
    assert all(np.array_equal(a["labels"], b["labels"]) for a, b in zip(one, other, strict=True))
    whole = [np.where(r["labels"] == SEEN, r["input_ids"], r["labels"])[1:-1] for r in one]
    assert all(np.array_equal(w, store[i]["input_ids"][:32]) for i, w in enumerate(whole))


def test_windows_hold_every_token_once(store: Store) -> None:
    learned = task()
    seen = [
        np.where(row["labels"] == SEEN, row["input_ids"], row["labels"])[1:-1]
        for row in learned.view(store, None, 0)
    ]
    assert np.array_equal(np.concatenate(seen), store.flat("input_ids"))
    assert len({len(learned.view(store, epoch, 0)) for epoch in range(5)}) == 1
    assert {len(row["input_ids"]) for row in learned.view(store, 2, 0)} == {34}


def test_loss_and_guesses_by_hand(store: Store) -> None:
    learned = task()
    torch.manual_seed(0)
    module = Model.from_dict(BERT).build(learned.signature()).double().eval()
    rows = learned.view(store, None, 0)[:3]
    batch = learned.collate(rows)
    found = learned.predict(module, batch)
    with torch.no_grad():
        logp = module(**batch.inputs).log_softmax(-1)
    for row, example in enumerate(rows):
        at = np.flatnonzero(example["labels"] != SEEN)
        truth = example["labels"][at]
        assert found[row]["nats"] == pytest.approx(-float(logp[row, at, truth].sum()), rel=1e-5)
        assert found[row]["correct"] == int((logp[row, at].argmax(-1).numpy() == truth).sum())
        assert learned.target(example) == {"tokens": len(at)}
    unigram = learned.baselines(store)["unigram"](rows[0])
    tokens = store.flat("input_ids")
    tokens = tokens[tokens != learned.tokenizer.special("separator")]
    counts = np.bincount(tokens, minlength=learned.tokenizer.size) + 1.0
    truth = rows[0]["labels"][rows[0]["labels"] != SEEN]
    assert unigram["nats"] == pytest.approx(-np.log(counts / counts.sum())[truth].sum())
    assert unigram["correct"] == int((truth == counts.argmax()).sum())


def test_a_text_with_masks_gets_candidates() -> None:
    learned = task(candidates=3)
    torch.manual_seed(0)
    module = Model.from_dict(BERT).build(learned.signature()).eval()
    asked = [{"text": "the [MASK]uick brown f[MASK]x"}, {"text": "to <mask>e"}]
    batch = learned.collate([learned.encode_input(record) for record in asked])
    with torch.no_grad():
        first, second = learned.predict(module, batch)
        ids = batch.inputs["input_ids"][0]
        at = int((ids == learned.tokenizer.special("mask")).nonzero()[0])
        chances = module(**batch.inputs)[0, at].softmax(-1)
    assert [len(first["masks"]), len(second["masks"])] == [2, 1]
    best = first["masks"][0]
    assert [one["score"] for one in best] == pytest.approx(chances.topk(3).values.tolist())
    assert best[0]["token"] == learned.tokenizer.decode([int(chances.argmax())])


@pytest.mark.parametrize(
    ("record", "match"),
    [
        ({"text": "nothing hidden"}, "nothing to guess"),
        ({"text": 3}, "no text"),
        ({"body": "x"}, "no text"),
        ({"text": "[MASK]" + "x" * 60}, "too long"),
    ],
)
def test_bad_records_name_their_row(record: dict[str, Any], match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        task().encode_input({**record, "_where": "rows.jsonl:7"})
    assert "rows.jsonl:7" in str(caught.value.where)


def test_an_empty_text_teaches_nothing() -> None:
    learned = task()
    assert learned.target_summary(learned.encode({"text": ""})).count == 0
    assert learned.target_summary(learned.encode({"text": "a"})).count == 1


def test_shares_must_add_up() -> None:
    with pytest.raises(RecipeError, match="add up to more than 1"):
        task(mask_replace_prob=0.8, random_replace_prob=0.3)
