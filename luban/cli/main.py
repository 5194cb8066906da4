"""``luban VERB TARGET [key=value …]``: find the verb, run it, turn errors into exit codes.

A verb is a file in ``verbs/``; every stage is a verb too. Help reads docstrings from the
files and imports none of them, so it answers at once.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import requires
from typing import Any

from luban import __version__
from luban.cli.terminal import beating
from luban.core import registry
from luban.core.errors import LubanError, MissingExtra, disk_error, is_full

#: Set before any library reads them: no telemetry; no process that a library starts imports from
#: the working directory; what torch needs to restart workers; and threads that sleep while they
#: wait, since spinning makes a shared machine many times slower.
ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTHONSAFEPATH": "1",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
}
ORDER = [
    "init",
    "validate",
    "prepare",
    "train",
    "evaluate",
    "predict",
    "generate",
    "chat",
    "export",
    "card",
    "run",
    "verify",
    "serve",
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 (our fault) or 2 (the input's)."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _speak_of_any_name()
    arguments = list(sys.argv[1:] if argv is None else argv)
    verbs = _verbs()
    try:
        if not arguments or arguments[0] in ("-h", "--help", "help"):
            print(_help(verbs))
            return 0
        if arguments[0] in ("-V", "--version"):
            print(f"luban {__version__}")
            return 0
        return _run(arguments, verbs)
    except LubanError as error:
        return _fail(error, as_json="--json" in arguments)
    except ModuleNotFoundError as error:
        return _fail(_missing(error), as_json="--json" in arguments)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # the outermost net: nothing passes it unexplained
        if is_full(error):
            full = disk_error(error, str(getattr(error, "filename", None) or ""))
            return _fail(full, as_json="--json" in arguments)
        traceback.print_exc()
        print(f"luban: this is a fault of luban, not of your input: {error!r}", file=sys.stderr)
        return 1


def _speak_of_any_name() -> None:
    """Let names of files that are not UTF-8 be printed, escaped as JSON escapes them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _verbs() -> dict[str, str]:
    names = {name: "verbs" for name in registry.names("verbs")}
    names |= {name: "stages" for name in registry.names("stages")}
    first = [name for name in ORDER if name in names]
    return {name: names[name] for name in first + [name for name in names if name not in first]}


def _help(verbs: dict[str, str]) -> str:
    lines = [
        f"luban {__version__}: from raw data to a model that is measured, documented and served.",
        "",
        "usage: luban VERB RECIPE-or-RUN [key=value …] [--json] [--help]",
        "",
    ]
    lines += [f"  {name:<10} {registry.summary(kind, name)}" for name, kind in verbs.items()]
    lines += ["", "luban VERB --help tells more; luban run RECIPE does the whole life at once."]
    return "\n".join(lines)


def _run(arguments: list[str], verbs: dict[str, str]) -> int:
    verb, rest = arguments[0], arguments[1:]
    if verb not in verbs:
        raise LubanError(
            f"there is no verb {verb!r}.",
            expected=", ".join(verbs),
            fix=registry.nearest(verb, list(verbs)) or "luban --help",
        )
    if os.environ.get("RANK", "0") != "0":  # the first process speaks for all
        return _perform(verb, verbs[verb], rest)
    with beating(verb):
        return _perform(verb, verbs[verb], rest)


def _perform(verb: str, kind: str, rest: list[str]) -> int:
    module = registry.module("verbs", verb if kind == "verbs" else "run")
    parser = argparse.ArgumentParser(
        prog=f"luban {verb}",
        description=registry.summary(kind, verb),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(stage=verb if kind == "stages" else None)
    module.options(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return int(module.perform(parser.parse_intermixed_args(rest)))


def _missing(error: ModuleNotFoundError) -> LubanError:
    """Return the pip command for a library that an extra brings."""
    name = (error.name or "").partition(".")[0]
    for line in requires("luban") or ():
        library, _, extra = line.partition("; extra == ")
        if re.split(r"[^\w-]", library)[0].replace("-", "_") == name and extra:
            return MissingExtra(name, extra.strip("'\""))
    raise error


def _fail(error: LubanError, *, as_json: bool) -> int:
    if as_json:
        names = ("what", "where", "expected", "got", "fix")
        fields: dict[str, Any] = {name: str(getattr(error, name) or "") for name in names}
        print(json.dumps({"error": {"type": type(error).__name__, **fields}}, ensure_ascii=False))
    print(f"luban: {error}", file=sys.stderr)
    return error.exit_code
