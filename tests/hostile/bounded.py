"""One piece of work in a forked child, its processor time and memory measured and bounded."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from luban.core.errors import LubanError

SECONDS, MEMORY = 10.0, 2**30
#: Where a child is ended, so that a fault does not bring the machine down.
_KILL_SECONDS, _KILL_MEMORY = 60, 6 * 2**30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a piece of work.

    Attributes:
        said: Empty, or the error; a traceback for what is no ``LubanError``.
        fault: Whether it ended in another way than well or with a ``LubanError``.
        seconds: Processor time.
        memory: Bytes that it took at most, beside those of the parent.
    """

    said: str
    fault: bool
    seconds: float
    memory: int

    def problem(self) -> str:
        """Return what breaks the law: a traceback, too much time or memory; empty if nothing."""
        if self.fault:
            return f"ended with a fault: {self.said[-1500:]}"
        if self.seconds > SECONDS:
            return f"took {self.seconds:.1f} s of processor time: {self.said[:200]}"
        if self.memory > MEMORY:
            return f"took {self.memory / 2**30:.1f} GiB: {self.said[:200]}"
        return ""


@dataclass(slots=True)
class Worst:
    """The most processor time and memory of a number of pieces of work, and whose they are."""

    seconds: tuple[float, str] = (0.0, "")
    memory: tuple[int, str] = (0, "")

    def note(self, outcome: Outcome, what: str) -> None:
        self.seconds = max(self.seconds, (outcome.seconds, what))
        self.memory = max(self.memory, (outcome.memory, what))

    def __str__(self) -> str:
        (seconds, slow), (memory, large) = self.seconds, self.memory
        return f"at most {seconds:.1f} s ({slow}) and {memory / 2**20:.0f} MiB ({large})"


def bounded(work: Callable[[], str]) -> Outcome:
    """Do some work in a fork of this process.

    Args:
        work: Returns what it has to say; empty if nothing.
    """
    with tempfile.NamedTemporaryFile() as file:
        child = os.fork()
        if not child:
            _perform(work, Path(file.name))
        _, status, used = os.wait4(child, 0)
        text = Path(file.name).read_text()
    seconds = used.ru_utime + used.ru_stime
    if not text:
        return Outcome(f"status {os.waitstatus_to_exitcode(status)}", True, seconds, 0)
    found = json.loads(text)
    return Outcome(found["said"], found["fault"], seconds, found["memory"])


def _perform(work: Callable[[], str], result: Path) -> None:
    try:
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CPU, (_KILL_SECONDS, _KILL_SECONDS))
        pages, resident, *_ = map(int, Path("/proc/self/statm").read_text().split())
        most = pages * resource.getpagesize() + _KILL_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        before = resident * resource.getpagesize()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        warnings.simplefilter("ignore")  # they are errors to pytest, not to a user
        said, fault = "", False
        try:
            said = work()
        except LubanError as error:
            said = str(error)
            fault = error.exit_code != 2
        except BaseException:
            said, fault = traceback.format_exc(), True
        fault = fault or "Traceback" in said or "a fault of luban" in said
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        result.write_text(json.dumps({"said": said[-3000:], "fault": fault, "memory": memory}))
    finally:
        sys.stdout = sys.stderr = None
        os._exit(0)
