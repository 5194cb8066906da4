"""Predictions drawn as they are made: a PNG for every record."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

from luban.core.contracts import Example, Task
from luban.core.errors import RunError
from luban.core.files import write_atomic
from luban.core.unicode_text import file_name
from luban.inference.sheets import draws, sheet

_INCHES = 5.0  #: width of a figure


class Figures:
    """A folder of figures.

    Args:
        folder: Where they go.
        task: What draws.

    Raises:
        RunError: if the task draws nothing.
    """

    def __init__(self, folder: Path, task: Task) -> None:
        if not draws(task):
            raise RunError(f"{task.name} draws no figures.", fix="leave out --figures.")
        self.folder, self._task = folder, task

    def see(self, entry: dict[str, Any], example: Example, prediction: Any) -> None:
        """Draw a prediction; the file's name has the row's number and the record's ``id``."""
        picture = sheet(self._task, [(example, prediction, None)], inches=_INCHES)
        if picture is not None:
            stem = file_name(PurePath(str(entry.get("id", ""))).stem, "_")[:50]
            name = f"{entry['row']:06}-{stem}" if stem else f"{entry['row']:06}"
            write_atomic(self.folder / f"{name}.png", picture)
