"""What a stage has to say: claims with value, interval, size and unit. Stages never print."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from luban.core.errors import VerifyError


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement about a run.

    Attributes:
        value: A number, a text or a truth value.
        unit: The unit of ``value``, ``low`` and ``high`` (empty for a pure number).
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        n: How many independent units (examples, windows, steps) the value rests on.
        note: How it was got, where that is not plain.
    """

    value: float | int | str | bool
    unit: str = ""
    low: float | None = None
    high: float | None = None
    n: int | None = None
    note: str = ""

    def agrees(self, other: Claim, tolerance: float) -> bool:
        """Return whether two measurements of the same thing are equal within ``tolerance``.

        Floats may differ by ``tolerance`` relative to their size (another processor adds in
        another order); everything else must be identical.
        """
        pairs = ((self.value, other.value), (self.low, other.low), (self.high, other.high))
        same = all(_close(a, b, tolerance) for a, b in pairs)
        return same and (self.unit, self.n, self.note) == (other.unit, other.n, other.note)

    def __str__(self) -> str:
        text = _number(self.value)
        if self.low is not None and self.high is not None:
            text += f" [{_number(self.low)}, {_number(self.high)}]"
        return f"{text} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Report:
    """The evidence of one stage.

    Attributes:
        stage: Name of the stage that measured.
        claims: Name to claim; ``/`` groups names (``test/bits-per-byte``).
        inputs: Digests of everything the claims were computed from.
        command: The command that recomputes the claims.
        details: Plain data that is shown but is not a number to rely on (samples, examples).
        tolerance: Relative tolerance of floats when the claims are recomputed.
    """

    stage: str
    claims: dict[str, Claim] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    command: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-3

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; ``from_dict`` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read a report from plain data."""
        claims = {name: Claim(**claim) for name, claim in data["claims"].items()}
        return cls(**{**data, "claims": claims})

    def differences(self, fresh: Report) -> list[str]:
        """Return one line per claim that a fresh measurement does not confirm.

        The fresh one sets the tolerance: a report must not loosen its own bounds.
        """
        lines = []
        for name in sorted(self.claims.keys() | fresh.claims.keys()):
            old, new = self.claims.get(name), fresh.claims.get(name)
            if old is None or new is None or not old.agrees(new, fresh.tolerance):
                lines.append(f"{self.stage}: {name}: reported {old}, recomputed {new}")
        return lines

    def confirm(self, fresh: Report) -> None:
        """Raise when a fresh measurement does not confirm this report.

        Raises:
            VerifyError: with one line for each claim that does not hold.
        """
        lines = self.differences(fresh)
        if lines:
            raise VerifyError("a number does not hold.\n    " + "\n    ".join(lines))


def _close(a: object, b: object, tolerance: float) -> bool:
    if isinstance(a, float) and isinstance(b, float | int):
        if math.isnan(a):
            return math.isnan(b)
        return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance * 1e-3)
    return a == b


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
