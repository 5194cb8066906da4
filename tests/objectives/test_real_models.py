"""Objectives over the models and tasks that there are: every pair trains, and resumes elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from luban.core.contracts import Model, Objective, Record, Task
from luban.engine.saved import write_saved

TEXTS = ["the film is good", "a bad, bad film", "good", "this is not a good film at all"]
CLASSES = [{"text": t, "label": "neg" if "bad" in t or "not" in t else "pos"} for t in TEXTS]
PAIRS = [{"source": t, "target": t.upper()} for t in TEXTS]
TAGGED = [
    {"tokens": t.split(), "tags": ["B-X" if w == "film" else "O" for w in t.split()]} for t in TEXTS
]
SMALL = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
BERT = {**SMALL, "name": "bert", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
SEQ2SEQ = {**SMALL, "name": "seq2seq", "dropout": 0.0}
TASKS: dict[str, tuple[dict[str, Any], Sequence[Record]]] = {
    "text-classification": ({"tokenizer": "char"}, CLASSES),
    "token-classification": ({"tokenizer": {"name": "bpe", "vocab_size": 280}}, TAGGED),
    "translation": ({"tokenizer": "char"}, PAIRS),
}
CASES = [
    ("text-classification", BERT),
    ("text-classification", {"name": "textcnn"}),
    ("text-classification", {"name": "rnn", "hidden_size": 8}),
    ("token-classification", BERT),
    ("translation", SEQ2SEQ),
]


def prepared(name: str, model: dict[str, Any]) -> tuple[Task, Any, Any]:
    fields, records = TASKS[name]
    task = Task.from_dict({"name": name, **fields}).learn(records)
    torch.manual_seed(0)
    module = Model.from_dict(model).build(task.signature()).train()
    return task, module, task.collate(task.encode_batch(records))


def names(case: Any) -> str:
    return case if isinstance(case, str) else str(case["name"])


@pytest.mark.parametrize(("task", "model"), CASES, ids=names)
@pytest.mark.parametrize("method", ["fgm", "pgd", "vat"])
def test_adversarial(task: str, model: dict[str, Any], method: str) -> None:
    learned, module, batch = prepared(task, model)
    made = Objective.from_dict({"name": "adversarial", "method": method, "epsilon": 0.02})
    made.attach(module, learned)
    wrapped = made.wrap(learned.loss, learned)
    module.eval()  # without dropout, main loss and added loss can be told apart
    losses, main = wrapped(module, batch), learned.loss(module, batch)
    losses.sums.sum().backward()  # type: ignore[no-untyped-call]
    losses, main = losses.detach(), main.detach()
    assert torch.equal(losses.counts, main.counts)
    added = losses.sums - main.sums
    assert (added >= (-1e-6 if method == "vat" else main.sums - 1e-4)).all()
    assert float(added.sum()) > (0 if method == "vat" else float(main.sums.sum()))


@pytest.mark.parametrize(
    ("task", "model", "noise"),
    [
        ("text-classification", BERT, "mask"),
        ("token-classification", BERT, "span"),
        ("translation", SEQ2SEQ, "mask"),
        ("translation", SEQ2SEQ, "span"),
        ("translation", SEQ2SEQ, "delete"),
    ],
)
def test_denoising_is_learned(task: str, model: dict[str, Any], noise: str) -> None:
    learned, module, batch = prepared(task, model)
    made = Objective.from_dict({"name": "denoising", "noise": noise, "weight": 1.0})
    made.attach(module, learned)
    wrapped = made.wrap(learned.loss, learned)
    optimizer = torch.optim.AdamW(module.parameters(), 0.01)
    rebuilt = []
    for step in range(40):
        torch.manual_seed(step)
        losses = wrapped(module, batch)
        main = learned.loss(module, batch)
        rebuilt.append(float(((losses.sums - main.sums) / main.counts).mean().detach()))
        optimizer.zero_grad()
        losses.mean.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert sum(rebuilt[-5:]) < 0.9 * sum(rebuilt[:5])


@pytest.mark.parametrize(("task", "model"), CASES, ids=names)
def test_distillation(task: str, model: dict[str, Any], tmp_path: Path) -> None:
    learned, module, batch = prepared(task, model)
    teacher = Model.from_dict({**model, "hidden_size": 32} if "hidden_size" in model else model)
    torch.manual_seed(5)
    write_saved(tmp_path, learned, teacher, teacher.build(learned.signature()))
    hidden = 1.0 if model is BERT else 0.0
    fields = {"name": "distillation", "teacher": str(tmp_path), "hidden_weight": hidden}
    made = Objective.from_dict(fields)
    made.attach(module, learned)
    losses = made.wrap(learned.loss, learned)(module.eval(), batch)
    assert (losses.sums > learned.loss(module, batch).sums).all()


def test_tags_beside_labels(tmp_path: Path) -> None:
    sentences = [zip(r["tokens"], r["tags"], strict=True) for r in TAGGED]
    text = "\n\n".join("\n".join("\t".join(pair) for pair in pairs) for pairs in sentences)
    (tmp_path / "tags.conll").write_text(text)
    learned, module, batch = prepared("text-classification", BERT)
    fields, _ = TASKS["token-classification"]
    second = {"name": "token-classification", **fields}
    source = {"name": "conll", "path": str(tmp_path / "tags.conll")}
    made = Objective.from_dict({"name": "multi-task", "task": second, "source": source})
    made.attach(module, learned)
    (head,) = module.auxiliary.values()
    assert head.out_features == 3  # O, B-X, I-X
    losses = made.wrap(learned.loss, learned)(module, batch)
    losses.sums.sum().backward()  # type: ignore[no-untyped-call]
    assert head.weight.grad.abs().sum() > 0
