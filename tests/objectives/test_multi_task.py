"""A second task on the same body: a head of its own, examples drawn, the first's tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from luban.core.batch import Batch
from luban.core.contracts import Model, Objective, Task
from luban.core.errors import DataError, RecipeError
from luban.objectives.multi_task import _Branch
from tests.objectives.toy import Toy, batch_of, ports_of

MAIN = [{"text": text} for text in ("to be or not", "that is the question", "whether tis nobler")]
GPT = {"name": "gpt", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Records of the second task, with letters the first has, so that ids can be compared."""
    rows = [{"text": text} for text in ("to question that be", "nobler to be")]
    (tmp_path / "other.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "other.jsonl"


def language(context: int = 8) -> Task:
    fields = {"name": "text-generation", "tokenizer": "char", "context": context}
    return Task.from_dict(fields)


def objective(path: Path, context: int = 6, **fields: Any) -> Objective:
    second = {"name": "text-generation", "tokenizer": "char", "context": context}
    source = {"name": "jsonl", "path": str(path)}
    return Objective.from_dict({"name": "multi-task", "task": second, "source": source, **fields})


def test_the_sum_of_both_losses(other: Path) -> None:
    task = language().learn(MAIN)
    torch.manual_seed(0)
    module = Model.from_dict(GPT).build(task.signature())
    made = objective(other, weight=0.5)
    made.attach(module, task)
    (head,) = module.auxiliary.values()  # type: ignore[operator]
    assert (head.in_features, head.out_features) == (16, task.signature().outputs)
    seen: list[Any] = []
    head.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    batch = task.collate(task.encode_batch([{"text": "to be or"}, {"text": "question"}]))
    losses = made.wrap(task.loss, task)(module, batch)
    main = task.loss(module, batch)
    ((features, logits),) = seen
    assert features.shape == (2, 6, 16)
    extra = (losses.sums - main.sums) / (0.5 * main.counts)
    # Every mean loss of the second task is one over its own logits: near ln V for a new head.
    assert torch.equal(losses.counts, main.counts)
    assert (extra > logits.logsumexp(-1).mean(1) - logits.amax((1, 2))).all()
    losses.sums.sum().backward()  # type: ignore[no-untyped-call]
    assert head.weight.grad.abs().sum() > 0
    assert module.get_submodule("stem").weight.grad.abs().sum() > 0  # type: ignore[union-attr, operator]


def test_the_second_task_reads_with_the_first_tokenizer(other: Path) -> None:
    task = language().learn(MAIN)
    module = Model.from_dict(GPT).build(task.signature())
    made = objective(other)
    made.attach(module, task)
    read: list[torch.Tensor] = []
    module.get_submodule("stem").register_forward_hook(lambda _, ids, __: read.append(ids[0]))
    batch = task.collate(task.encode_batch([{"text": "to be or"}] * 40))
    made.wrap(task.loss, task)(module, batch)
    tokenizer = task.tokenizer  # type: ignore[attr-defined]
    texts = {tokenizer.decode(row.tolist()) for row in read[1]}
    assert len(texts) > 2
    assert all(text in "to question that benobler to be" for text in texts)


def test_a_second_conversation_is_written_with_the_first_tokenizer(tmp_path: Path) -> None:
    chat = {"name": "instruction-tuning", "tokenizer": "char", "context": 64}
    task = Task.from_dict(chat).learn([{"prompt": "a quiz", "completion": "be not lot hot"}])
    row = {"prompt": "to be", "completion": "or not"}
    (tmp_path / "chat.jsonl").write_text(json.dumps(row))
    source = {"name": "jsonl", "path": str(tmp_path / "chat.jsonl")}
    made = Objective.from_dict({"name": "multi-task", "task": chat, "source": source})
    second = made._learned(task)  # type: ignore[attr-defined]
    for name, ids in task.encode(row).items():
        assert second.encode(row)[name].tolist() == ids.tolist()


def test_a_label_comes_from_the_mean_over_real_positions() -> None:
    torch.manual_seed(0)
    signature = ports_of("label")
    body, head, batch = Toy(signature), nn.Linear(6, 3), batch_of("label")
    together = _Branch(body, head, signature)(**batch.inputs)
    for row, length in enumerate((8, 5, 7, 3)):
        one = Batch({n: t[row : row + 1, :length] for n, t in batch.inputs.items()}, {})
        expected = head(body.features(**one.inputs).mean(1))
        torch.testing.assert_close(together[row], expected[0])


class Bare(nn.Module):
    """No features."""


def test_bad_settings(other: Path) -> None:
    task = language().learn(MAIN)
    module = Model.from_dict(GPT).build(task.signature())
    with pytest.raises(RecipeError, match="no features that a second head"):
        objective(other).attach(Bare(), task)
    with pytest.raises(RecipeError, match="built for shorter inputs"):
        objective(other, context=9).attach(module, task)


def test_records_set_apart_are_bounded_and_told(tmp_path: Path) -> None:
    rows = [json.dumps({"text": "to be or not"})] * 18 + [json.dumps({"text": ""}), "{"]
    (tmp_path / "some.jsonl").write_text("\n".join(rows))
    task = language().learn(MAIN)
    told = objective(tmp_path / "some.jsonl").told(task)
    assert "(text-generation) learns from 18 records; 2 are set apart: " in told
    for part in ("1: this line is not JSON", "1: there is nothing to learn from", "share of 0.1"):
        assert part in told
    strict = objective(tmp_path / "some.jsonl", max_unreadable=0.05)
    with pytest.raises(DataError, match="2 of 20 records cannot be used"):
        strict.wrap(task.loss, task)
