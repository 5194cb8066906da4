"""Learn from a teacher's opinions beside the labels.

Shapes: B examples, T positions, D width of the features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from luban.core.batch import Batch, Losses, LossFn
from luban.core.component import digest_of
from luban.core.contracts import Model, Objective, Signature, Task
from luban.core.errors import RecipeError
from luban.core.files import temporary_folder
from luban.core.yaml_json import json_of
from luban.engine.saved import load_saved
from luban.engine.sizes import build
from luban.objectives._parts import (
    added,
    divergence,
    features_of,
    logits_of,
    outputs_of,
    real_positions,
    refuse_without_classes,
)

_HERE = "train.objectives.distillation"


class Distillation(Objective):
    """Adds T^2 KL(teacher_T || student_T), both softened by the temperature T.

    Hinton et al. 2015 (1503.02531). With ``hidden_weight`` also the mean squared difference of
    teacher's and student's token similarities: the cosines of all pairs of positions of an example,
    so the widths may differ (after Tung and Mori 2019, 1907.09682, who compare pairs of examples).
    """

    outside: ClassVar[tuple[str, ...]] = ("teacher",)

    teacher: str = Field(
        description="A run, its model/ directory, or a Hugging Face directory, for the same task."
    )
    weight: float = Field(default=1.0, ge=0, description="Of the divergence, per unit counted.")
    temperature: float = Field(default=2.0, gt=0)
    hidden_weight: float = Field(default=0.0, ge=0, description="Of the difference of features.")

    def attach(self, module: nn.Module, task: Task) -> None:
        """Add nothing: the teacher is no part of the module.

        Raises:
            RecipeError: if there are no probabilities, or no features, to compare.
        """
        refuse_without_classes(task.signature(), _HERE)
        if self.hidden_weight and not hasattr(module, "features"):
            raise _no_features("model")

    def wrap(self, loss: LossFn, task: Task) -> LossFn:
        """Return the loss plus the weighted difference to the teacher.

        Raises:
            RecipeError: if the teacher is missing, or reads or answers otherwise.
            RunError: if it is damaged.
        """
        signature, teacher = task.signature(), _load(self.teacher, task)
        if self.hidden_weight and not hasattr(teacher, "features"):
            raise _no_features("teacher")

        def wrapped(model: nn.Module, batch: Batch) -> Losses:
            teacher.to(next(iter(batch.inputs.values())).device)
            with outputs_of(model) as outputs:
                losses = loss(model, batch)
            if self.weight:
                logits = outputs[0] if outputs else logits_of(model, batch)
                with torch.no_grad():
                    wanted: Tensor = teacher(**batch.inputs)
                apart = divergence(wanted, logits, batch, signature, self.temperature)
                losses = added(losses, apart, self.weight * self.temperature**2)
            if self.hidden_weight:
                losses = added(losses, _unlike(teacher, model, batch), self.hidden_weight)
            return losses

        return wrapped


def _unlike(teacher: nn.Module, model: nn.Module, batch: Batch) -> Losses:
    """Return the squared differences of the pairs' cosines, and how many pairs there are."""
    ours = features_of(model, batch)
    with torch.no_grad():
        theirs = features_of(teacher, batch)
    real = real_positions(batch, ours.shape)
    pairs = real[:, :, None] & real[:, None, :]
    each = (_cosines(ours) - _cosines(theirs)).square().where(pairs, 0)
    return Losses(each.flatten(1).sum(1), pairs.flatten(1).sum(1).to(each.dtype))


def _cosines(x_BTD: Tensor) -> Tensor:
    """Return the cosine of each pair of positions, (B, T, T)."""
    unit = F.normalize(x_BTD.float(), dim=-1)
    return unit @ unit.mT


def _load(name: str, task: Task) -> nn.Module:
    """Return the teacher, in evaluation mode and without gradients."""
    folder = Path(name).expanduser()
    folder = folder / "model" if (folder / "model").is_dir() else folder
    if not (folder / "config.json").is_file():
        raise RecipeError(
            "there is no trained model here to learn from.",
            where=f"{_HERE}.teacher",
            expected="a run, its model/ directory or a Hugging Face directory",
            got=name,
        )
    ours = task.signature()
    if (folder / "luban.json").is_file():
        theirs, _, module = load_saved(folder)
        _same_answers(theirs.signature(), ours, name)
    else:
        model = Model.from_dict({"name": "huggingface", "pretrained": str(folder)}).resolve()
        module = build(model, ours)
        if fresh := model.start(module):
            raise RecipeError(
                "the teacher was not trained for this task: parts of it have no weights.",
                where=f"{_HERE}.teacher",
                got=", ".join(fresh[:5]),
            )
    _same_tokenizer(folder, task)
    return module.eval().requires_grad_(False)


def _same_answers(theirs: Signature, ours: Signature, name: str) -> None:
    """Refuse a teacher whose logits mean something else."""
    for what in ("accepts", "produces", "outputs", "labels", "problem"):
        if getattr(theirs, what) != getattr(ours, what):
            raise RecipeError(
                f"the teacher {name} does not answer this question ({what} differ).",
                where=f"{_HERE}.teacher",
                expected=getattr(ours, what),
                got=getattr(theirs, what),
                fix="take a teacher trained on the same task and data.",
            )


def _same_tokenizer(folder: Path, task: Task) -> None:
    """Refuse a teacher that reads other ids."""
    with temporary_folder() as saved:
        task.save(saved)
        ours, theirs = (_vocabulary(at / "tokenizer.json") for at in (saved, folder))
    if ours != theirs:
        raise RecipeError(
            "teacher and student have different tokenizers.",
            where=f"{_HERE}.teacher",
            expected=f"a tokenizer with the digest {ours}",
            got=f"{theirs} in {folder}",
            fix=f"use the teacher's: task.tokenizer: {{name: pretrained, path: {folder}}}",
        )


def _vocabulary(path: Path) -> str:
    """Return a digest of what turns text into ids; padding and templates play no part."""
    if not path.is_file():
        return "none"
    data: dict[str, Any] = json_of(path.read_text(encoding="utf-8"))
    model = dict(data["model"])
    if "merges" in model:  # older files have "a b" for ["a", "b"]
        model["merges"] = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    added_tokens = [(token["id"], token["content"]) for token in data.get("added_tokens", [])]
    return digest_of([model, data.get("normalizer"), data.get("pre_tokenizer"), added_tokens])


def _no_features(whose: str) -> RecipeError:
    return RecipeError(
        f"the {whose} has no features to compare.",
        where=f"{_HERE}.hidden_weight",
        expected="a module with features(**inputs)",
        fix="leave hidden_weight at 0.",
    )
