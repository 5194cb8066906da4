"""The verbs of the lifecycle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from luban.core.component import Component

if TYPE_CHECKING:
    from luban.core.report import Report


class Stage(Component, ABC):
    """A verb of the lifecycle: a function from a run to a run plus a report.

    Its fields are the recipe's section of the same name. ``run`` is a ``luban.run.Run``.
    """

    kind: ClassVar[str] = "stages"
    #: Stages whose reports this one builds on.
    needs: ClassVar[tuple[str, ...]] = ()
    #: Fields that change nothing about the result, so that they may change at any time.
    neutral_fields: ClassVar[frozenset[str]] = frozenset()
    #: Whether ``luban run`` performs it even if the recipe has no section for it.
    always: ClassVar[bool] = False
    #: Whether it comes after all other stages and builds on all their reports.
    final: ClassVar[bool] = False
    #: Whether every rank of a distributed job performs it, or only the first.
    distributed: ClassVar[bool] = False

    def result_fields(self) -> dict[str, Any]:
        """Return the fields that the result depends on."""
        return {key: v for key, v in self.to_dict().items() if key not in self.neutral_fields}

    def rests_on(self, run: Any) -> dict[str, str]:
        """Return digests of what the result depends on outside of the recipe and its data."""
        return {}

    @abstractmethod
    def perform(self, run: Any) -> None:
        """Do the work and write its files into the run; idempotent, safe to kill."""

    def finished(self, run: Any) -> bool:
        """Return whether what was reported is all there was to do: no part was broken off."""
        return True

    def end_early(self, run: Any) -> bool:
        """End work that was broken off as it is, for stages that build on it; False: it was not."""
        return False

    @abstractmethod
    def measure(self, run: Any) -> Report:
        """Compute the report from the run's own files; ``luban verify`` calls it again."""
