"""Commands in children of a process that has imported everything: a kill costs no start.

``python -m tests.hostile.forked`` answers one line of JSON with another; ``Forks`` speaks with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from tests.life import environment

_POLL = 0.002  # seconds


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code; the negative number of the signal that killed it.
        said: What it wrote to both streams.
        seconds: How long it took.
    """

    code: int
    said: str
    seconds: float


class Forks:
    """Starts commands by forking a warm process.

    Args:
        prefix: What starts that process, ``unshare`` say; Python itself if empty.
    """

    def __init__(self, *prefix: str) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.hostile.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=environment(HF_HUB_OFFLINE="1"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """The number of the warm process, in whose view of the disk commands run."""
        return self._process.pid

    def luban(
        self,
        *arguments: object,
        cwd: Path,
        kill_after: float | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run a command to its end, or kill it after some seconds."""
        order = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd),
            "kill_after": kill_after,
            "variables": dict(variables or {}),
        }
        return Ended(**self._ask(order))

    def shell(self, command: str) -> str:
        """Run a shell command where the warm process runs; return what it wrote."""
        said = self._ask({"shell": command})
        assert said["code"] == 0, said["said"]
        return str(said["said"])

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


#: What commands import late: stages, and what draws and exports.
_WARM = ("matplotlib.figure", "torch.export", "luban.stages.export", "luban.stages.train")


def _serve() -> None:
    for name in _WARM:
        import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        answer = _shell(order["shell"]) if "shell" in order else _run(order)
        print(json.dumps(answer), flush=True)


def _shell(command: str) -> dict[str, Any]:
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    return {"code": done.returncode, "said": done.stdout + done.stderr, "seconds": 0.0}


def _run(order: Mapping[str, Any]) -> dict[str, Any]:
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as log:
        child = os.fork()
        if child == 0:
            _perform(order, log.fileno())
        limit = order["kill_after"]
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            if limit is not None and time.monotonic() - start > limit:
                os.kill(child, signal.SIGKILL)
                limit = None
            time.sleep(_POLL)
        seconds = time.monotonic() - start
        log.seek(0)
        said = log.read()
    return {"code": os.waitstatus_to_exitcode(status), "said": said, "seconds": seconds}


def _perform(order: Mapping[str, Any], log: int) -> None:
    from luban.cli.main import main

    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(order["variables"])
    tempfile.tempdir = None
    code = 70
    try:
        os.chdir(order["cwd"])
        code = main(order["arguments"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
