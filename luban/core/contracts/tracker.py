"""Where logged numbers go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from luban.core.component import Component


class Tracker(Component, ABC):
    """Sends logged numbers to a viewer."""

    kind: ClassVar[str] = "trackers"

    @abstractmethod
    def start(self, folder: Path, name: str, config: Mapping[str, Any]) -> None:
        """Open the tracker for a run."""

    @abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the numbers of one step."""

    @abstractmethod
    def finish(self) -> None:
        """Flush and close."""
