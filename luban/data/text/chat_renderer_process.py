"""The process in which chat templates of strangers are rendered, with bounds that the system keeps.

It reads one JSON object a line and answers each with one: ``{"source"}`` is compiled, and is from
then on what ``{"variables"}`` are put into. It may take so much memory and, for each answer, so
much processor time; it may neither write files nor start processes.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import jinja2

from luban.data.text.chat_sandbox import FAULTS, Environment

#: Processor seconds of one answer, and bytes of memory beside those of Python itself.
SECONDS, MEMORY = 5, 512 * 2**20


def serve() -> None:
    """Answer lines of the standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of whoever started this process
    _bound(resource.RLIMIT_AS, _taken() + MEMORY)
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        _bound(limit, 0)
    templates: list[tuple[Environment, jinja2.Template]] = []
    for line in sys.stdin.buffer:
        used = resource.getrusage(resource.RUSAGE_SELF)
        # Only the soft bound: it is raised before each answer, and the system ends what passes it.
        most = resource.getrlimit(resource.RLIMIT_CPU)[1]
        seconds = int(used.ru_utime + used.ru_stime) + 1 + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, most))
        try:
            said = json.dumps(_answer(json.loads(line), templates)).encode()
        except MemoryError:
            os._exit(1)  # what is left of it cannot be relied on
        sys.stdout.buffer.write(said + b"\n")
        sys.stdout.buffer.flush()


def _answer(asked: Any, templates: list[tuple[Environment, jinja2.Template]]) -> dict[str, Any]:
    if "source" in asked:
        environment = Environment()
        try:
            templates.append((environment, environment.from_string(asked["source"])))
        except (jinja2.TemplateError, SyntaxError, *FAULTS) as error:
            return {"invalid": _told(error), "line": getattr(error, "lineno", None)}
        return {"number": len(templates) - 1}
    environment, template = templates[asked["number"]]
    try:
        return {"text": environment.render_bounded(template, asked["variables"])}
    except (jinja2.TemplateError, *FAULTS) as error:
        return {"refused": _told(error)}


def _told(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        raise error
    return str(error).partition("\n")[0][:1000] or type(error).__name__


def _bound(limit: int, most: int) -> None:
    try:
        resource.setrlimit(limit, (most, most))
    except (ValueError, OSError):  # a system that does not have this bound, or a tighter one
        return


def _taken() -> int:
    """Return the bytes of address space that this process has by now."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[0]) * resource.getpagesize() if pages.is_file() else 2**30


if __name__ == "__main__":
    serve()
