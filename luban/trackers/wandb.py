"""Weights & Biases, offline unless you ask for online: ``wandb sync runs/NAME/wandb/offline-*``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import PrivateAttr

from luban.core.contracts import Tracker
from luban.core.errors import RunError
from luban.core.extras import require


class Wandb(Tracker):
    """Logs to a W&B run: the recipe and the numbers, no code and no facts of the machine."""

    project: str = "luban"
    entity: str | None = None
    mode: Literal["offline", "online"] = "offline"

    _run: Any = PrivateAttr(default=None)

    def start(self, folder: Path, name: str, config: Mapping[str, Any]) -> None:
        """Open the run; the same folder is the same W&B run, so resuming goes on in it.

        Raises:
            MissingExtra: without wandb.
            RunError: if wandb cannot open the run (not logged in, no network).
        """
        os.environ["WANDB_ERROR_REPORTING"] = "false"  # read at import
        wandb = require("wandb", "wandb")
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
        )
        try:
            self._run = wandb.init(
                project=self.project,
                entity=self.entity,
                mode=self.mode,
                name=name,
                id=hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16],
                resume="allow" if self.mode == "online" else None,
                dir=folder,
                config=dict(config),
                settings=settings,
            )
        except Exception as error:
            raise RunError(
                "wandb cannot open a run.",
                got=str(error).partition("\n")[0],
                fix="wandb login, or mode: offline.",
            ) from error

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the values of one step."""
        self._run.log(dict(values), step=step)

    def finish(self) -> None:
        """Flush and close the run."""
        if self._run is not None:
            self._run.finish()
