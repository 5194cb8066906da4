"""Distillation: closed forms, teachers that do not fit, and nothing of the teacher left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import Model, Objective, Task
from luban.core.errors import RecipeError
from luban.engine.saved import write_saved
from luban.objectives import distillation
from tests.objectives.toy import Toy, gradient, setting, split

GPT = {"name": "gpt", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def objective(**fields: Any) -> Objective:
    return Objective.from_dict({"name": "distillation", "teacher": "there", **fields})


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The list whose only module every objective takes for its teacher."""
    held: list[nn.Module] = []
    monkeypatch.setattr(distillation, "_load", lambda name, task: held[0])
    return held


def like(module: nn.Module, width: int = 6) -> nn.Module:
    torch.manual_seed(9)
    assert isinstance(module, Toy)
    return Toy(module.signature, width=width).double().eval().requires_grad_(False)


def test_labels_are_the_formula_of_hinton(teacher: list[nn.Module]) -> None:
    task, module, batch = setting()
    teacher.append(like(module))
    losses = objective(weight=0.3, temperature=3.0).wrap(task.loss, task)(module, batch)
    p = (teacher[0](**batch.inputs) / 3).softmax(-1)
    q = (module(**batch.inputs) / 3).softmax(-1)
    kl = (p * (p / q).log()).sum(-1)
    expected = task.loss(module, batch).sums + 0.3 * 9 * kl
    torch.testing.assert_close(losses.sums.float(), expected.float())


@pytest.mark.parametrize("produces", ["tags", "tokens", "next"])
def test_positions_with_labels_count(produces: str, teacher: list[nn.Module]) -> None:
    task, module, batch = setting(produces)
    teacher.append(like(module))
    losses = objective(temperature=1.0).wrap(task.loss, task)(module, batch)
    p, q = (m(**batch.inputs).softmax(-1) for m in (teacher[0], module))
    kl = (p * (p / q).log()).sum(-1)
    main = task.loss(module, batch)
    counted = batch.targets["labels"] != -100
    for row in range(len(batch)):
        expected = main.sums[row] + main.counts[row] * kl[row][counted[row]].mean()
        torch.testing.assert_close(losses.sums[row].float(), expected.float())


def test_spans_are_distributions_over_positions(teacher: list[nn.Module]) -> None:
    task, module, batch = setting("span")
    teacher.append(like(module))
    losses = objective(temperature=1.0).wrap(task.loss, task)(module, batch)
    main, mask = task.loss(module, batch), batch.inputs["attention_mask"].bool()
    for row in range(len(batch)):
        p, q = (m(**batch.inputs)[row][mask[row]].softmax(0) for m in (teacher[0], module))
        kl = (p * (p / q).log()).sum(0).mean()
        expected = main.sums[row] + main.counts[row] * kl
        torch.testing.assert_close(losses.sums[row].float(), expected.float())


def test_several_labels_are_several_questions(teacher: list[nn.Module]) -> None:
    task, module, batch = setting("label", "multi_label_classification")
    teacher.append(like(module))
    losses = objective(temperature=1.0).wrap(task.loss, task)(module, batch)
    p, q = (torch.sigmoid(m(**batch.inputs)) for m in (teacher[0], module))
    kl = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean(-1)
    main = task.loss(module, batch)
    torch.testing.assert_close(losses.sums.float(), (main.sums + main.counts * kl).float())


@pytest.mark.parametrize("width", [6, 11])
def test_similarities_of_tokens(width: int, teacher: list[nn.Module]) -> None:
    task, module, batch = setting()
    assert isinstance(module, Toy)
    wide = like(module, width)
    assert isinstance(wide, Toy)
    teacher.append(wide)
    made = objective(weight=0.0, hidden_weight=2.0)
    losses = made.wrap(task.loss, task)(module, batch)
    main = task.loss(module, batch)
    for row, n in enumerate((8, 5, 7, 3)):
        one = {name: tensor[row : row + 1, :n] for name, tensor in batch.inputs.items()}
        gram = []
        for m in (module, wide):
            x = m.features(**one)[0]
            gram.append(torch.stack([F.cosine_similarity(x, x[i : i + 1]) for i in range(n)]))
        expected = main.sums[row] + 2 * main.counts[row] * (gram[0] - gram[1]).square().mean()
        torch.testing.assert_close(losses.sums[row].float(), expected.float())


@pytest.mark.parametrize("produces", ["label", "tags", "span", "next"])
def test_an_example_does_not_depend_on_its_batch(produces: str, teacher: list[nn.Module]) -> None:
    task, module, batch = setting(produces)
    teacher.append(like(module))
    wrapped = objective(hidden_weight=0.5).wrap(task.loss, task)
    whole = wrapped(module, batch)
    together = gradient(module, whole)
    single = Losses.cat([wrapped(module, one) for one in split(batch)])
    torch.testing.assert_close(single.sums, whole.sums)
    torch.testing.assert_close(gradient(module, single), together, atol=1e-6, rtol=1e-5)


def test_a_student_that_knows_all_learns_nothing(teacher: list[nn.Module]) -> None:
    task, module, batch = setting()
    teacher.append(module)
    losses = objective(hidden_weight=1.0).wrap(task.loss, task)(module, batch)
    torch.testing.assert_close(losses.sums, task.loss(module, batch).sums, atol=1e-6, rtol=0)


def test_one_forward_pass_of_the_student_is_enough(teacher: list[nn.Module]) -> None:
    task, module, batch = setting()
    teacher.append(like(module))
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    objective().wrap(task.loss, task)(module, batch)
    assert calls == [1]


# Loading


def saved(folder: Path, text: str = "to be or not to be", model: dict[str, Any] = GPT) -> Task:
    """Write a small language model; return its task."""
    folder.mkdir(parents=True)
    fields = {"name": "text-generation", "tokenizer": "char", "context": 8}
    task = Task.from_dict(fields).learn([{"text": text}])
    made = Model.from_dict(model)
    torch.manual_seed(0)
    write_saved(folder, task, made, made.build(task.signature()))
    return task


def windows(task: Task) -> Batch:
    return task.collate(task.encode_batch([{"text": "to be"}, {"text": "not"}]))


@pytest.mark.parametrize("name", ["run", "run/model"])
def test_a_run_teaches(name: str, tmp_path: Path) -> None:
    task = saved(tmp_path / "run" / "model")
    student = Model.from_dict({**GPT, "hidden_size": 8}).build(task.signature())
    made = objective(teacher=str(tmp_path / name))
    made.attach(student, task)
    batch = windows(task)
    losses = made.wrap(task.loss, task)(student, batch)
    assert (losses.sums > task.loss(student, batch).sums).all()
    assert len(student.state_dict()) == len(
        Model.from_dict({**GPT, "hidden_size": 8}).build(task.signature()).state_dict()
    )


def test_teachers_that_do_not_fit(tmp_path: Path) -> None:
    task = saved(tmp_path / "good")
    with pytest.raises(RecipeError, match="no trained model here"):
        objective(teacher=str(tmp_path / "nothing")).wrap(task.loss, task)
    saved(tmp_path / "other", "to bx or not to bx")  # as many characters, others
    with pytest.raises(RecipeError, match="different tokenizers"):
        objective(teacher=str(tmp_path / "other")).wrap(task.loss, task)
    saved(tmp_path / "larger", "to be or not to be, that is the question")
    with pytest.raises(RecipeError, match=r"does not answer this question \(outputs differ\)"):
        objective(teacher=str(tmp_path / "larger")).wrap(task.loss, task)
    with pytest.raises(RecipeError, match="the model has no features"):
        objective(hidden_weight=1.0).attach(nn.Linear(1, 1), task)
    numbers, regressor, _ = setting("label", "regression")
    with pytest.raises(RecipeError, match="a regression has none"):
        objective().attach(regressor, numbers)
