"""The kinds that data pass through, and what they hand on: see ``contracts`` for the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from luban.core.component import Component
from luban.core.errors import DataError, UnfitError

if TYPE_CHECKING:
    import numpy as np

Record: TypeAlias = Mapping[str, Any]  #: one row of raw data
Example: TypeAlias = "Mapping[str, np.ndarray[Any, Any]]"  #: small arrays, what is cached on disk

#: What a model may be asked to give, and the shape of its logits.
PRODUCTS = {
    "next": "the token after every position, looking back only: (B, T, outputs)",
    "label": "one vector for the whole example: (B, outputs)",
    "tags": "one vector for every position, looking both ways: (B, T, outputs)",
    "tokens": "the token at every position, looking both ways: (B, T, outputs)",
    "span": "whether an answer begins and ends at every position: (B, T, 2)",
    "sequence": "the token after every position of a second sequence: (B, U, outputs)",
    "alignment": "a token, or none, for every ``stride`` positions, by CTC: (B, S, outputs)",
    "boxes": "the classes and the box of every place of a pyramid: (B, P, outputs + 5)",
    "image": "the loss of each image, (B,); and images, made of noise",
}
#: What a model may read, and what one position of it is called.
POSITIONS = {"tokens": "tokens", "pixels": "images", "frames": "frames"}


@dataclass(frozen=True, slots=True)
class Signature:
    """All that a model may know of its task.

    Attributes:
        accepts: What goes in: ``tokens``, ``pixels`` or ``frames``.
        inputs: Vocabulary size, channels or features.
        outputs: Vocabulary size or number of classes.
        length: Longest input in positions (0: no bound).
        pad: Id of the padding token, if there is one.
        end: Id of the end token, if there is one.
        produces: What comes out: a key of ``PRODUCTS``.
        start: Id of the token a decoder begins with, if there is one.
        mask: Id of the token that hides another, if there is one.
        segments: How many kinds of input positions there are (2: pairs of texts).
        labels: Names of the outputs, if they have names.
        problem: What ``config.json`` calls ``problem_type``, where there is a choice.
        chain: Whether neighbouring tags are scored together: the module needs ``transitions``.
        size: Height and width of images.
        stride: How many frames make one position of a model; T frames make ceil(T / stride).
        begin: Id of the token a text begins with (``bos_token``), if there is one.
        ends: Ids of further tokens that end an answer.
    """

    accepts: str
    inputs: int
    outputs: int
    length: int = 0
    pad: int | None = None
    end: int | None = None
    produces: str = "next"
    start: int | None = None
    mask: int | None = None
    segments: int = 1
    labels: tuple[str, ...] = ()
    problem: str = ""
    chain: bool = False
    size: tuple[int, int] = (0, 0)
    stride: int = 1
    begin: int | None = None
    ends: tuple[int, ...] = ()

    @property
    def unit(self) -> str:
        """What one position is called: what ``Batch.positions`` counts."""
        return POSITIONS.get(self.accepts, "examples")

    @property
    def bos(self) -> int | None:
        """What ``config.json`` calls ``bos_token_id``: the end token where there is no other."""
        return self.end if self.begin is None else self.begin


@dataclass(frozen=True, slots=True)
class Pool:
    """What may decide the order in which examples are drawn.

    Attributes:
        size: Examples per epoch.
        lengths: Positions of each example, (size,): near ones can share a batch (None: equal).
        groups: What each example counts as, (size,), for balanced sampling (None: all one).
    """

    size: int
    lengths: np.ndarray[Any, Any] | None = None
    groups: np.ndarray[Any, Any] | None = None


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
        labels: How often each label was seen in the sample, of tasks that have labels.
        without: Values of the label that say that there is none, such as ``-``.
    """

    confidence: float
    fields: Mapping[str, str | list[str]] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    labels: Mapping[str, int] = field(default_factory=dict)
    without: tuple[str, ...] = ()


class SetApart(Mapping[str, Any]):
    """What a source gives in place of a record that cannot be used: where it lies, and why.

    It has no field but ``_where``. Asking for another raises its error: it never passes for a
    record, not even where nobody thinks of it.

    Args:
        error: What is wrong with the record.
        where: Where it lies (``file:row``); empty: the error says it.
    """

    __slots__ = ("error", "where")

    def __init__(self, error: DataError, where: object = "") -> None:
        self.error = UnfitError.of(error, where)
        self.where = str(where or error.where)

    def __getitem__(self, name: str) -> Any:
        if name == "_where":
            return self.where
        raise self.error

    def __iter__(self) -> Iterator[str]:
        raise self.error

    def __len__(self) -> int:
        raise self.error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SetApart) and str(self.error) == str(other.error)

    def __hash__(self) -> int:
        return hash(str(self.error))

    def __repr__(self) -> str:
        return f"SetApart({self.error.line()!r})"


@dataclass(slots=True)
class Tally:
    """What a cleaner did: how often, and a few examples of each act."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, act: str, example: str, times: int = 1) -> None:
        """Count an act and keep the first five examples of it."""
        self.counts[act] += times
        shown = self.examples.setdefault(act, [])
        if len(shown) < 5:
            shown.append(example[:120])


@dataclass(frozen=True, slots=True)
class TargetSummary:
    """How much one encoded record teaches.

    Attributes:
        count: Positions that carry a loss.
        ends: Whether the end of the answer is supervised (None: the notion does not apply).
        truncated: Whether part of the answer was cut off.
        adjusted: Whether the answer was changed so that a prediction can give it: it is bounded.
        notes: What became of the example, and how often: counted, and shown with the first rows.
    """

    count: int
    ends: bool | None = None
    truncated: bool = False
    adjusted: bool = False
    notes: Mapping[str, int] = field(default_factory=dict)


class Examples(Protocol):
    """Encoded examples of one split, on disk; indexable, never loaded whole."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example: ...

    def flat(self, name: str) -> np.ndarray[Any, Any]:
        """Return one field of all examples joined end to end, memory-mapped."""
        ...

    def lengths(self, name: str) -> np.ndarray[Any, Any]:
        """Return the length of one field in every example, int64 (N,)."""
        ...


class Source(Component, ABC):
    """Where records come from."""

    kind: ClassVar[str] = "sources"

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Return the splits the source itself knows: ``("train",)`` or more."""

    @abstractmethod
    def read(self, split: str) -> Iterator[Record]:
        """Yield the records of a split; each call starts anew.

        A record has the data's own fields plus ``_where`` (``file:row``) for messages. In place of
        a record that cannot be used (a malformed row, one whose file is missing) stands a
        ``SetApart``: none is left out, and one bad row does not stop all.

        Raises:
            DataError: for a file that is not of this format, or cannot be read at all.
        """

    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """Return the files read, for digests and the card (empty if there are none)."""

    def settings(self) -> dict[str, Any]:
        """Return how records are read, as in a recipe, wherever they lie: of new data too."""
        return self.to_dict()

    def facts(self) -> Mapping[str, str]:
        """Return what the card should say of the source: title, licence, address."""
        return {}


class Cleaner(Component, ABC):
    """Changes or drops records, and counts what it did."""

    kind: ClassVar[str] = "cleaners"

    @abstractmethod
    def clean(self, records: Iterable[Record], tally: Tally) -> Iterator[Record]:
        """Yield the records that stay, changed or not, and count the rest in ``tally``."""


@dataclass(frozen=True, slots=True)
class AugmentationContext:
    """The dice of one example in one epoch: a pure function of (seed, epoch, example).

    Attributes:
        rng: The generator.
        other: Returns another stored training example, drawn by ``rng``: what mixes are made of.
    """

    rng: np.random.Generator
    other: Callable[[], Example]


class Augmentation(Component, ABC):
    """Changes training examples at random, so that no epoch sees quite the same ones."""

    kind: ClassVar[str] = "augmentations"
    #: What it changes: the field of an example, ``pixels`` or ``samples``, say.
    changes: ClassVar[str]
    #: Whether ``boxes`` of an example, if there are any, still hold afterwards.
    keeps_boxes: ClassVar[bool] = False
    #: Whether it asks for other examples and lays them in: then labels hold by shares.
    mixes: ClassVar[bool] = False

    @property
    def stretch(self) -> float:
        """How many times as long an example becomes at most (sound: where speed changes)."""
        return 1.0

    @abstractmethod
    def apply(self, example: Example, context: AugmentationContext) -> Example:
        """Return the example changed; its arrays may be views of a file and are not written to.

        All chance comes from ``context.rng``, and what is drawn does not depend on the pixels or
        samples. What goes with them (boxes) is changed along.
        """
