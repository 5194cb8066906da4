"""Who renders a chat template: this process if the template is Luban's own, else a child of it.

The sandbox bounds what a template does turn by turn (``data.text.chat_sandbox``). What one turn
costs it can only guess: nested filters, regular expressions within Jinja, or a parser that is led
astray may pass any guess. A template of strangers is therefore rendered in a process that the
system holds to so much memory and time; a template that passes them is an error like another.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import jinja2

from luban.core.errors import DataError, RequestError
from luban.data.text.chat_sandbox import FAULTS, compiled
from luban.data.text.chat_template_files import CHATML

#: Templates that are part of Luban.
TRUSTED = frozenset({CHATML})
_PATIENCE = 120.0  #: seconds on the clock for one answer: the bound of processor time comes first
_ROOT = Path(__file__).parents[3]
_START = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from luban.data.text.chat_renderer_process import serve; serve()"
)  # fmt: skip


class Renderer(Protocol):
    """Renders one template."""

    def render(self, variables: Mapping[str, Any]) -> str:
        """Return the text of a template with these variables.

        Raises:
            RequestError: if the template fails, refuses or does too much.
        """


def renderer(source: str) -> Renderer:
    """Return what renders a template.

    Raises:
        DataError: if it is no template.
    """
    return _Here(source) if source in TRUSTED else _Elsewhere(source)


class _Here:
    """Renders in this process."""

    def __init__(self, source: str) -> None:
        self._environment, self._template = compiled(source, "chat_template")

    def render(self, variables: Mapping[str, Any]) -> str:
        """Return the text.

        Raises:
            RequestError: if the template fails.
        """
        try:
            return self._environment.render_bounded(self._template, variables)
        except (jinja2.TemplateError, *FAULTS) as error:
            raise _refused(str(error).partition("\n")[0] or type(error).__name__) from None


class _Elsewhere:
    """Renders in the child of this process."""

    def __init__(self, source: str) -> None:
        self._source = source
        with _LOCK:
            _child().number_of(source)

    def render(self, variables: Mapping[str, Any]) -> str:
        """Return the text.

        Raises:
            RequestError: if the template fails, refuses, or passes its bounds.
        """
        with _LOCK:
            child = _child()
            try:
                number = child.number_of(self._source)
                said = child.ask({"number": number, "variables": dict(variables)})
            except _LostError as error:
                raise _refused(str(error)) from None
            except DataError as error:
                raise _refused(str(error.got)) from None
        if "refused" in said:
            raise _refused(said["refused"])
        return str(said["text"])


class _LostError(Exception):
    """The child was ended: what it was asked for passed its bounds."""


class _Child:
    """A process that renders templates, and the pipes to it."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        # -I: nothing is imported from the working directory, nor by what the environment says.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, str(_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def number_of(self, source: str) -> int:
        """Return the number by which the child knows a template.

        Raises:
            DataError: if it is no template.
        """
        if source in self._numbers:
            return self._numbers[source]
        try:
            said = self.ask({"source": source})
        except _LostError as error:
            said = {"invalid": str(error)}
        if "invalid" in said:
            line = said.get("line")
            raise DataError(
                "this is not a chat template that Jinja reads.",
                where=f"chat_template, line {line}" if line else "chat_template",
                got=said["invalid"],
            )
        self._numbers[source] = int(said["number"])
        return self._numbers[source]

    def ask(self, what: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a question.

        Raises:
            _LostError: if the child does not live to give it.
        """
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        try:
            question = memoryview(json.dumps(what).encode() + b"\n")
            while question:
                question = question[self._process.stdin.write(question) :]
            answer: dict[str, Any] = json.loads(self._line())
        except (OSError, ValueError, EOFError):
            self.end()
            raise _LostError(
                "it takes more memory or time than any conversation needs, and was stopped"
            ) from None
        return answer

    def _line(self) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        pipe, parts = self._process.stdout.fileno(), list[bytes]()
        until = time.monotonic() + _PATIENCE
        while not parts or not parts[-1].endswith(b"\n"):
            left = until - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise EOFError
            part = os.read(pipe, 1 << 20)
            if not part:
                raise EOFError
            parts.append(part)
        return b"".join(parts)

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


_LOCK = Lock()
#: By process: one that was forked from another must not write into its pipes.
_CHILDREN: dict[int, _Child] = {}


def _child() -> _Child:
    """Return the child of this process, started if there is none."""
    mine = os.getpid()
    if mine not in _CHILDREN or not _CHILDREN[mine].alive:
        if mine in _CHILDREN:
            _CHILDREN[mine].end()
        _CHILDREN[mine] = _Child()
    return _CHILDREN[mine]


@atexit.register
def _end() -> None:
    if child := _CHILDREN.pop(os.getpid(), None):
        child.end()


def _refused(got: str) -> RequestError:
    return RequestError("the chat template does not take these messages.", got=got)
