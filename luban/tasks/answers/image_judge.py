"""A classifier trained here, asked what it sees in images that were made.

Shapes: N images, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from luban.core.contracts import Task
from luban.core.errors import RecipeError, RunError
from luban.core.progress import tracked
from luban.engine.saved import load_saved

Array: TypeAlias = "np.ndarray[Any, Any]"

_BATCH = 100
_SHOWN = 20  #: labels listed in a message


@dataclass(frozen=True, slots=True)
class Judge:
    """A trained image classifier.

    Attributes:
        name: What it is called in reports: the name of its run.
        task: Its task.
        module: Its module, in evaluation mode.
    """

    name: str
    task: Task
    module: nn.Module
    _seen: list[Tensor] = field(default_factory=list)

    @classmethod
    def load(cls, path: str) -> Self:
        """Return the classifier of a run, or of its ``model/`` directory.

        Raises:
            RecipeError: if there is none.
        """
        folder = _folder(path)
        try:
            task, _, module = load_saved(folder)
        except RunError as error:
            raise RecipeError(
                "the judge cannot be loaded.", where="task.judge", got=f"{path}: {error}"
            ) from None
        signature = task.signature()
        if (signature.accepts, signature.produces) != ("pixels", "label"):
            raise RecipeError(
                "the judge is no classifier of images.",
                where="task.judge",
                expected="a run of image-classification",
                got=f"{path}: a run of {task.name}",
            )
        if signature.problem.startswith("multi"):
            raise RecipeError(
                "the judge gives an image any number of labels.",
                where="task.judge",
                expected="a run in which every image has one label",
                got=path,
            )
        name = folder.resolve().parent.name if folder.name == "model" else folder.name
        return cls(name, task, module)

    def check_knows(self, labels: Sequence[str]) -> None:
        """Refuse labels that the classifier cannot see.

        Raises:
            RecipeError: naming both sets.
        """
        known = self.task.signature().labels
        if not set(labels) <= set(known):
            raise RecipeError(
                "the judge does not know all labels of these images.",
                where="task.judge",
                expected=f"a judge of {_listed(labels)}",
                got=f"{self.name}: {_listed(known)}",
                fix="train a judge on images with the same labels, or give these its names.",
            )

    @torch.inference_mode()
    def examine(self, images: Sequence[Array]) -> tuple[Array, list[str]]:
        """Return what the classifier's head sees in images, float32 (N, D), and their labels.

        Args:
            images: uint8 (H, W, C) each, at least one.
        """
        features, labels = [], []
        watch = self.module.get_submodule("head").register_forward_pre_hook(
            lambda _, inputs: self._seen.append(inputs[0])
        )
        try:
            for at in tracked(range(0, len(images), _BATCH), "judge images"):
                some = images[at : at + _BATCH]
                batch = self.task.collate([self.task.encode_input({"image": x}) for x in some])
                self._seen.clear()
                labels += [said["label"] for said in self.task.predict(self.module, batch)]
                features.append(_flat(self._seen[0]).float().numpy())
        finally:
            watch.remove()
            self._seen.clear()
        return np.concatenate(features), labels


def _folder(path: str) -> Path:
    """Return the ``model/`` directory that a path names.

    Raises:
        RecipeError: if there is none.
    """
    for folder in (Path(path).expanduser() / "model", Path(path).expanduser()):
        if (folder / "luban.json").is_file():
            return folder
    raise RecipeError(
        "there is no trained judge here.",
        where="task.judge",
        expected="a run of image-classification, or its model/ directory",
        got=path,
        fix="train one on the same images first, or remove task.judge.",
    )


def _listed(labels: Sequence[str]) -> str:
    """Return labels for a message."""
    rest = len(labels) - _SHOWN
    return ", ".join(labels[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _flat(features: Tensor) -> Tensor:
    """Return one vector for each image: places of a map or a sequence are averaged."""
    if features.ndim == 4:
        return features.mean((2, 3))
    return features.mean(1) if features.ndim == 3 else features
