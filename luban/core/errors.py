"""Every error Luban raises on purpose.

* LubanError
  - RecipeError      the recipe says something that cannot be
  - RegistryError    no component goes by that name
  - ContractError    a component broke the promise of its kind
  - DataError        a record, a file or a split cannot be used
    - UnfitError       a record cannot be used as it is: it is set apart, and counted
      - UnreadableError  its image or recording is damaged
    - UnknownLabelError  a label that no training record has: the split is at fault
  - CapacityError    memory, disk or time is not enough
  - RunError         the run directory is not what the verb needs
  - CheckpointError  a checkpoint cannot be read or does not fit
  - MissingExtra     an optional library is not installed
  - Diverged         training left the finite numbers
  - VerifyError      a number in a report does not hold
  - RequestError     a request to the server cannot be served
"""

from __future__ import annotations

import errno
import math
import re
from pathlib import Path
from typing import ClassVar


class LubanError(Exception):
    """What went wrong, where, what was expected, what was found, and what to do about it.

    Args:
        what: One sentence, in the user's words.
        where: ``file:line``, recipe path or row number.
        expected: What would have been right.
        got: What was found.
        fix: What to do next.
    """

    exit_code: ClassVar[int] = 2

    def __init__(
        self,
        what: str,
        *,
        where: object = "",
        expected: object = "",
        got: object = None,
        fix: str = "",
    ) -> None:
        self.what, self.where, self.expected, self.got, self.fix = what, where, expected, got, fix
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.got is not None:
            lines.append(f"  got: {_short(self.got)}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text):,} characters)"


class RecipeError(LubanError, ValueError):
    """The recipe says something that cannot be."""


class RegistryError(LubanError, LookupError):
    """No component goes by that name."""


class ContractError(LubanError, TypeError):
    """A component broke the promise of its kind; a fault of ours or of a plugin."""

    exit_code = 1


class DataError(LubanError, ValueError):
    """A record, a file or a split cannot be used."""


class UnfitError(DataError):
    """One record cannot be used: it is set apart, and counted by its reason.

    A source yields it in place of a record that is malformed; a task raises it for one of which no
    example can be made: one that is too long or too short to learn from, say.
    """

    @classmethod
    def of(cls, error: DataError, where: object = "") -> UnfitError:
        """Return what is wrong with one record as the reason for which it is set apart.

        Args:
            error: What is wrong.
            where: Where the record lies (``file:row``); put before what the error says of it.
        """
        if isinstance(error, UnfitError):
            # What was caught holds on to the frames it went through, and so to their files.
            found = error.with_traceback(None)
        else:
            found = cls(error.what, where=error.where, expected=error.expected, got=error.got)
            found.fix = error.fix
        if str(where) not in str(found.where):
            found.where = f"{where}: {found.where}" if found.where else where
        return found

    @property
    def reason(self) -> str:
        """What is wrong, without what is this record's own: what it is counted by."""
        general = re.sub(r"'[^']*'|\"[^\"]*\"|\d[\d.,]*", "…", self.what)
        return re.split(" *[(:]", general.rstrip("."), maxsplit=1)[0]

    def to_dict(self) -> dict[str, str]:
        """Return all that it says as plain data, shortened as it is shown."""
        got = {} if self.got is None else {"got": _short(self.got)}
        told = {"where": str(self.where), "expected": str(self.expected), "fix": self.fix}
        return {"what": self.what, **told, **got}

    def line(self, where: object = "") -> str:
        """Return where the record lies and what is wrong with it, on one line."""
        got = "" if self.got is None else f" ({' '.join(_short(self.got).split())})"
        return f"{where or self.where}: {self.what.rstrip('.')}{got}."


class UnreadableError(UnfitError):
    """An image or a recording is damaged: it is set apart, and counted."""


class UnknownLabelError(DataError):
    """A label that no training record has.

    No record is set apart for it: a class would vanish from what a score is measured on, and the
    score would be better than it is.
    """


class CapacityError(LubanError, MemoryError):
    """Memory, disk or time is not enough."""


class RunError(LubanError):
    """The run directory is not what the verb needs."""


class CheckpointError(LubanError):
    """A checkpoint cannot be read, or belongs to something else."""


class MissingExtra(LubanError, ImportError):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"{library} is not installed.", fix=f"pip install 'luban[{extra}]' (brings {library})."
        )


class Diverged(LubanError, ArithmeticError):
    """Training left the finite numbers, or the loss jumped and stayed up.

    Args:
        what: One sentence, in the user's words.
        expected: What would have been right.
        got: What was found.
        fix: What to do next.
        began: Steps that had been applied when the first of the bad losses was seen.
        before: The loss before it rose; not a number if there was none.
        after: The loss at last.
    """

    def __init__(  # noqa: PLR0913
        self,
        what: str,
        *,
        expected: object = "",
        got: object = None,
        fix: str = "",
        began: int = 0,
        before: float = math.nan,
        after: float = math.nan,
    ) -> None:
        self.began, self.before, self.after = began, before, after
        super().__init__(what, expected=expected, got=got, fix=fix)


class VerifyError(LubanError, AssertionError):
    """A number in a report does not hold."""


class RequestError(LubanError, ValueError):
    """A request to the server cannot be served."""


#: How libraries in Rust and C, and ``shutil``, tell of a full disk: as text.
_FULL_TEXT = re.compile(r"No space left on device|[Qq]uota exceeded|\d+ requested and \d+ written")


def is_full(error: BaseException) -> bool:
    """Return whether an error, or one that led to it, says that the disk is full."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    if not isinstance(error, LubanError) and _FULL_TEXT.search(str(error)):
        return True
    return error.__cause__ is not None and is_full(error.__cause__)


def disk_error(error: Exception, path: Path | str) -> CapacityError | RunError:
    """Turn an error of a write into one that says what to do."""
    if is_full(error):
        return CapacityError(
            "the disk is full.", where=path, fix="free some space, then run the same command again."
        )
    return RunError(
        f"cannot write here ({getattr(error, 'strerror', None) or error}).",
        where=path,
        fix="choose another folder with runs=FOLDER, or change its permissions.",
    )
