"""How a task would read records that nobody described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from luban.core.contracts.records import Record


@dataclass(frozen=True, slots=True)
class Guess:
    """What a task makes of sample records it has never seen, for ``luban init``.

    Attributes:
        confidence: 0 (it could be read so) to 1 (it can be nothing else).
        fields: Our field names to the data's own, or to several that are yes or no.
        task: Fields of the task, to put into the recipe.
        model: The model, as in a recipe.
        train: Fields of the section ``train``.
        why: Half a sentence for the user: what spoke for it.
        choice: Half a sentence for the recipe: why this model and these settings.
        labels: How often each label was seen in the sample, of tasks that have labels.
        without: Values of the label that say that there is none, such as ``-``.
    """

    confidence: float
    fields: Mapping[str, str | list[str]] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    choice: str = ""
    labels: Mapping[str, int] = field(default_factory=dict)
    without: tuple[str, ...] = ()


@runtime_checkable
class Recognises(Protocol):
    """A task of a plug-in that ``luban init`` can find in data, by this class method.

    What Luban's own tasks recognise is in ``luban/init/recognisers/``, a file for each.
    """

    @classmethod
    def recognise(cls, sample: Sequence[Record]) -> Guess | None:
        """Return how this task would read records it has never seen; None: not at all."""
        ...
