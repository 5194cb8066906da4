"""What a training run knows beside its tensors: typed, and written into every checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from luban.core.errors import CheckpointError
from luban.engine.cost import Energy


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to compile, and why; the reason is for the log."""

    compile: bool
    reason: str


@dataclass(frozen=True, slots=True)
class LogDigest:
    """Size in bytes and SHA-256 of ``metrics.jsonl`` when a checkpoint was saved."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BestValidation:
    """The best validation so far: what was measured, and after which step."""

    metric: str
    unit: str
    value: float
    step: int


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """Why training ended before its budget did.

    Attributes:
        because: ``diverged``, or ``interrupted`` and not gone on with.
        text: The reason as the card tells it.
        step: The first step with a bad loss, or the last one taken.
        healthy: The last step whose weights had a good loss, if training diverged.
        kept: The step whose weights were kept, once that is decided.
    """

    because: Literal["diverged", "interrupted"]
    text: str
    step: int
    healthy: int | None = None
    kept: int | None = None


@dataclass(slots=True)
class RunState:
    """What the caller of the loop decided and measured, so that a resumed run keeps to it.

    Attributes:
        precision: Name of the precision that the run began with.
        compile: Whether to compile; decided once.
        peaks: Highest FLOP/s of each machine that took part, by its name.
        possible_flop: FLOP that the machines could have computed in the training time.
        energy: Energy used up to the last checkpoint.
        log: The log as it was at the last checkpoint.
        best: The best validation; None: there was none yet.
        waited: Validations since then.
        stopped: Why training ended early; None: it did not.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    precision: str | None = None
    compile: Decision | None = None
    peaks: dict[str, float] = field(default_factory=dict)
    possible_flop: float | None = None
    energy: Energy | None = None
    log: LogDigest | None = None
    best: BestValidation | None = None
    waited: int = 0
    stopped: EarlyStop | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; what is not known is left out."""
        return _known(asdict(self))

    @classmethod
    def from_dict(cls, data: Any, where: Path) -> RunState:
        """Read what ``to_dict`` returned.

        Args:
            data: Plain data of a checkpoint.
            where: The checkpoint, for the error.

        Raises:
            CheckpointError: if a key is unknown or a value has another type.
        """
        try:
            return TypeAdapter(cls).validate_python(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in ("memo", *first["loc"]))
            raise CheckpointError(
                "this checkpoint was written by another version of Luban.",
                where=where / "trainer_state.json",
                got=f"{place}: {first['msg']}",
                fix="go on with the version that wrote it, or choose another run name.",
            ) from None


def _known(value: dict[str, Any]) -> dict[str, Any]:
    """Return a dictionary without its entries of None, at any depth."""
    return {
        key: _known(item) if isinstance(item, dict) else item
        for key, item in value.items()
        if item is not None
    }
