"""TensorBoard event files in the run: ``tensorboard --logdir runs``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from luban.core.contracts import Tracker
from luban.core.extras import require
from luban.trackers._config import flat


class Tensorboard(Tracker):
    """Writes ``tensorboard/`` in the run; a resumed run overwrites the steps it repeats."""

    _folder: Path = PrivateAttr()
    _config: dict[str, str] = PrivateAttr(default_factory=dict)
    _writer: Any = PrivateAttr(default=None)

    def start(self, folder: Path, name: str, config: Mapping[str, Any]) -> None:
        """Remember the run; the file is opened at the first step, which it must know.

        Raises:
            MissingExtra: without tensorboard.
        """
        require("tensorboard", "tensorboard")
        self._folder = folder / "tensorboard"
        self._config = flat(config)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write one point for each value."""
        if self._writer is None:
            self._writer = _open(self._folder, step)
            lines = (f"| {key} | {value} |" for key, value in self._config.items())
            self._writer.add_text("recipe", "\n".join(("| | |", "|-|-|", *lines)), step)
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)

    def finish(self) -> None:
        """Flush and close the file."""
        if self._writer is not None:
            self._writer.close()


def _open(folder: Path, step: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside tensorboard itself
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter(str(folder), purge_step=step)
