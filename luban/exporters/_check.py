"""What every exporter says of what it wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from luban.core.errors import VerifyError
from luban.core.report import Claim, Report

#: Largest difference allowed between the module and its export, in fp32; of values above 1 (edges
#: of boxes, in pixels) relative to them.
TOLERANCE = 1e-4


def largest_difference(expected: Sequence[Tensor], got: Sequence[Tensor]) -> Claim:
    """Return the largest difference of two lists of outputs, relative to values above 1.

    Raises:
        VerifyError: if shapes differ or a value differs by more than ``TOLERANCE``.
    """
    shapes = [tuple(tensor.shape) for tensor in expected], [tuple(tensor.shape) for tensor in got]
    if shapes[0] != shapes[1]:
        raise VerifyError("the export gives other shapes.", expected=shapes[0], got=shapes[1])
    largest = max(
        ((one.double() - other.double()).abs() / one.double().abs().clamp(min=1)).max().item()
        for one, other in zip(expected, got, strict=True)
    )
    if not largest <= TOLERANCE:  # also true for NaN
        raise VerifyError(
            "the export does not give the model's own outputs.",
            expected=f"a difference of at most {TOLERANCE}",
            got=largest,
            fix="leave this exporter out of the recipe's export section.",
        )
    n = sum(tensor.numel() for tensor in expected)
    return Claim(largest, n=n, note=f"outputs compared; at most {TOLERANCE} allowed")


def outputs_of(result: object, names: Sequence[str]) -> list[Tensor]:
    """Return the tensors that a forward pass gave: ours, or by these names that of transformers.

    Raises:
        VerifyError: if there are others.
    """
    if isinstance(result, Tensor):
        found: list[Any] = [result]
    elif isinstance(result, Mapping):
        found = [result.get(name) for name in names]
    else:
        found = list(result) if isinstance(result, tuple | list) else [result]
    if len(found) != len(names) or not all(isinstance(one, Tensor) for one in found):
        raise VerifyError(
            "the model does not give the outputs it should.",
            expected=", ".join(names),
            got=", ".join(type(one).__name__ for one in found),
        )
    return [tensor.detach().cpu() for tensor in found]


def report(name: str, folder: Path, claims: dict[str, Claim], seconds: float) -> Report:
    """Return the report of an export in ``folder``; claims are grouped under its name.

    Seconds are shown, not claimed: no second run would confirm them. Differences are rounding
    noise, so the tolerance lets them move by up to ``TOLERANCE``.
    """
    files = {
        str(file.relative_to(folder)): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    claims = {"bytes": Claim(sum(files.values()), unit="B"), **claims}
    return Report(
        stage="export",
        claims={f"{name}/{key}": claim for key, claim in claims.items()},
        details={name: {"files": files, "seconds": round(seconds, 3)}},
        tolerance=TOLERANCE / 1e-3,
    )


def axes_claim(axes: dict[str, tuple[int, ...]]) -> Claim:
    """Return which axes of which inputs may be of any size."""
    text = ", ".join(f"{name}[{axis}]" for name, free in axes.items() for axis in free)
    return Claim(text or "none", note="input axes that may be of any size")
