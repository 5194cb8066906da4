"""Write docs/reference/ and docs/results.md: ``python docs/generate.py [--check]``.

Names, types, defaults, bounds and sentences come from the components themselves, figures from
verified runs; ``--check`` fails when the pages have not been written again.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from luban import run, testing
from luban.cli import main as cli
from luban.cli.verbs.list import KINDS
from luban.core import contracts, errors, registry, report
from luban.core.component import Component, Settings
from luban.core.contracts import Stage
from luban.data.dataset import Data
from luban.data.split import Split
from luban.engine import checkpoint
from luban.recipe import Recipe

sys.path.insert(0, str(Path(__file__).parent))  # also where PYTHONSAFEPATH is set
from results_page import results_page
from source_tree import source_tree

FOLDER = Path(__file__).parent / "reference"
HEAD = "<!-- Written by docs/generate.py from the code: do not edit; run `make docs`. -->"
SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
BASES: dict[str, type[Component]] = {
    member.kind: member
    for _, member in inspect.getmembers(contracts, inspect.isclass)
    if issubclass(member, Component) and member.kind
}


def pages() -> dict[str, str]:
    """Return every page of the reference by file name."""
    parts = {
        "components": components(),
        "recipe": recipe(),
        "kinds": kinds(),
        "cli": command_line(),
        "errors": error_tree(),
        "reports": reports(),
        "source-tree": source_tree(),
        "../results": results_page(),
    }
    return {f"{name}.md": f"{HEAD}\n\n" + "\n\n".join(text) + "\n" for name, text in parts.items()}


def components() -> Iterator[str]:
    """Yield the page of components: each with its fields."""
    yield "# Components"
    yield (
        "Everything a recipe can name, by kind. A component is written as its name, or as a table "
        "with `name` and any of its fields; fields without a default are required. "
        "`luban list` prints the same names; stages are on [the recipe's page](recipe.md), and "
        "what each kind promises is on [the page of kinds](kinds.md)."
    )
    shown = [kind for kind in KINDS if kind != "stages" and registry.names(kind)]
    yield " · ".join(f"[{kind}](#{kind})" for kind in shown)
    for kind in shown:
        yield f"## {kind}"
        yield prose(BASES[kind])
        for name in registry.names(kind):
            found = registry.load(kind, name, BASES[kind])
            if not found.__module__.startswith("luban."):
                continue  # a plug-in of this machine, not ours to document
            yield f"### {name}"
            yield registry.summary(kind, name)
            yield prose(found)
            yield f"[{source_of(found)}](../../{source_of(found)})"
            yield from fields(found)


def recipe() -> Iterator[str]:
    """Yield the page of the recipe: its sections and their fields."""
    yield "# The recipe"
    yield (
        "One YAML file says everything about a model. Unknown keys, wrong types and values out of "
        "bounds are errors that name file, line and the nearest known name. Relative paths start "
        "where the command is run. YAML is read by the rules of version 1.2: `1e-3` is a number, "
        "`no` and `on` are words, and a key may stand only once."
    )
    yield (
        "On the command line, `key=value` after the recipe changes it: `train.max_steps=100`, "
        "`model.name=rnn`, `task.tokenizer.vocab_size=4096`. "
        "`luban list --json-schema` prints a JSON Schema for editors."
    )
    yield "## The top"
    yield from fields(Recipe, skip=("stages",))
    yield "## data"
    yield prose(Data)
    yield from fields(Data)
    yield "### data.split"
    yield prose(Split)
    yield from fields(Split)
    yield "## task"
    yield "One of the [tasks](components.md#tasks)."
    yield "## model"
    yield "One of the [models](components.md#models)."
    for name in (verb for verb, kind in cli._verbs().items() if kind == "stages"):
        stage = type(Stage.from_dict(name))
        yield f"## {name}"
        yield f"{registry.summary('stages', name)} {prose(stage)}"
        yield stage_facts(stage)
        yield from fields(stage)


def kinds() -> Iterator[str]:
    """Yield the page of kinds: what a component of each must do."""
    yield "# The kinds"
    yield (
        "A component is one file with one final class, a frozen value that is its own "
        "configuration. Each kind below is an abstract class of "
        "[luban/core/contracts](../../luban/core/contracts); methods "
        "marked * must be written. `luban.testing` checks the laws of each kind: "
        "[how to write a component](../how-to/write-a-component.md)."
    )
    for kind in KINDS:
        base = BASES[kind]
        yield f"## {base.__name__}"
        yield f"Kind `{kind}`, plug-in group `luban.{kind}`. {prose(base)}"
        check = getattr(testing, f"check_{kind.removesuffix('s')}", None)
        if check is not None:
            yield f"Laws (`luban.testing.{check.__name__}`): {prose(check)}"
        yield methods(base)
    for beside in ("View", "Generative", "GenerationConfigured", "Illustrated", "Recognises"):
        yield f"## {beside}"
        yield prose(vars(contracts)[beside])
        yield methods(vars(contracts)[beside])
    for part in (contracts.Signature, contracts.TargetSummary, contracts.Tally):
        yield f"## {part.__name__}"
        yield prose(part)
        yield from attributes_table(part)


def methods(base: type[Any]) -> str:
    """Return the table of what a contract has."""
    rows = []
    for name, member in vars(base).items():
        mark = "*" if name in getattr(base, "__abstractmethods__", ()) else ""
        function = getattr(member, "__func__", member)
        if inspect.isfunction(function) and not name.startswith("_"):
            rows.append((f"`{name}{signature(function)}`{mark}", first_sentence(function)))
        elif isinstance(member, property) and member.fget:
            rows.append((f"`{name}`{mark}", first_sentence(member.fget)))
    return table(("method", "what it does"), rows)


def command_line() -> Iterator[str]:
    """Yield the page of the command line: each verb with its arguments."""
    yield "# The command line"
    yield (
        "`luban VERB RECIPE-or-RUN [key=value …]`. Results go to standard output, progress to "
        "standard error. Exit codes: 0 done; 1 a fault of Luban; 2 something to mend in the input, "
        "with the message that says what; 130 stopped by Ctrl-C."
    )
    verbs = cli._verbs()
    links = [(f"[{name}](#{name})", registry.summary(kind, name)) for name, kind in verbs.items()]
    yield table(("verb", "what it does"), links)
    for name, kind in verbs.items():
        yield f"## {name}"
        yield registry.summary(kind, name)
        if kind == "stages":
            yield (
                "A stage: performs it after any stage it needs and has not done yet. Its options "
                f"are the recipe's section [{name}](recipe.md#{name})."
            )
        parser = argparse.ArgumentParser()
        registry.module("verbs", name if kind == "verbs" else "run").options(parser)
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
        rows = [argument_row(action) for action in parser._actions if action.dest != "help"]
        yield table(("argument", "default", "meaning"), rows)


def error_tree() -> Iterator[str]:
    """Yield the page of errors."""
    yield "# Errors"
    yield (
        "Every error Luban raises on purpose says what is wrong, where, what was expected, what "
        "was found, and what to do. With `--json` the same parts are fields of `error`. "
        "[Troubleshooting](../how-to/troubleshooting.md) goes through the usual ones."
    )
    yield table(("part", "meaning"), list(attributes(errors.LubanError).items()))
    rows = []
    for found in vars(errors).values():
        if isinstance(found, type) and issubclass(found, errors.LubanError):
            bases = ", ".join(f"`{base.__name__}`" for base in found.__bases__)
            rows.append((f"`{found.__name__}`", bases, str(found.exit_code), first_sentence(found)))
    yield table(("error", "is a", "exit code", "when"), rows)


def reports() -> Iterator[str]:
    """Yield the page of a run's files and the form of its reports."""
    yield "# Runs and reports"
    yield "## A run on disk"
    yield f"```text\n{inspect.getdoc(run)}\n```"
    yield "## A checkpoint"
    yield f"```text\n{inspect.getdoc(checkpoint)}\n```"
    yield "## Report: `reports/<stage>.json`"
    yield prose(report.Report)
    yield from attributes_table(report.Report)
    yield "## Claim: one entry of `claims`"
    yield prose(report.Claim)
    yield from attributes_table(report.Claim)
    yield f"When recomputed: {prose(report.Claim.agrees)}"


# Fields


def fields(component: type[Settings], skip: Sequence[str] = ()) -> Iterator[str]:
    """Yield a table of a component's fields, if it has any."""
    described = described_fields(component)
    rows = []
    for name, field in component.model_fields.items():
        if name in skip:
            continue
        bounds = " ".join(bound_of(item) for item in field.metadata).strip()
        kind = type_of(field.annotation) + (f", {bounds}" if bounds else "")
        text = described.get(name) or markdown(field.description or "")
        rows.append((f"`{name}`", kind, default_of(field), text))
    if rows:
        yield table(("field", "type", "default", "meaning"), rows)


def described_fields(component: type[Settings]) -> dict[str, str]:
    """Return what the class and its bases say of fields under ``Attributes:``."""
    found: dict[str, str] = {}
    for base in reversed(component.__mro__):
        if issubclass(base, Settings):
            found |= attributes(base)
    return found


def attributes(described: Any) -> dict[str, str]:
    """Return the entries of a docstring's ``Attributes:`` or ``Args:``, by name."""
    doc = inspect.cleandoc(vars(described).get("__doc__") or "")
    match = re.search(r"^(?:Attributes|Args):\n((?:[ ]{4}.*\n?|\n)+)", doc, re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in match[1].splitlines() if match else ():
        head = re.match(r" {4}(\w+): (.*)", line)
        if head:
            name, found[head[1]] = head[1], head[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return {name: markdown(text) for name, text in found.items()}


def attributes_table(described: Any) -> Iterator[str]:
    """Yield a table of what a dataclass holds."""
    texts = attributes(described)
    rows = [
        (f"`{field.name}`", f"`{field.type}`", texts.get(field.name, ""))
        for field in dataclasses.fields(described)
    ]
    yield table(("field", "type", "meaning"), rows)


def type_of(annotation: Any) -> str:
    """Return a type as a recipe's writer would say it."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " \\| ".join(f"`{arg}`" for arg in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("nothing" if a is type(None) else type_of(a) for a in args)
    if origin in (tuple, list):
        members = [a for a in args if a is not Ellipsis]
        many = "list of " if Ellipsis in args or origin is list else f"list of {len(members)} "
        return many + type_of(members[0])
    if origin is dict:
        member = type_of(args[1])
        return f"table of ({member})" if " or " in member else f"table of {member}"
    if origin is typing.Annotated:
        return type_of(args[0])
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        kind = getattr(annotation, "kind", "")
        return f"[{kind.rstrip('s')}](components.md#{kind})" if kind else "table"
    plain = {str: "text", bool: "`true` \\| `false`", int: "whole number", float: "number"}
    return plain.get(annotation, "anything" if annotation is Any else str(annotation))


def default_of(field: Any) -> str:
    """Return a default as YAML would have it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Settings) or value in (None, PydanticUndefined):
        return "" if isinstance(value, Settings) else "nothing"
    if value in ("", {}, ()):
        return "empty"
    return f"`{json.dumps(value, ensure_ascii=False)}`".replace('"', "")


def bound_of(item: Any) -> str:
    """Return one bound of a field."""
    for name, sign in BOUNDS.items():
        if getattr(item, name, None) is not None:
            return f"{sign} {getattr(item, name)}"
    pattern = getattr(item, "pattern", None)
    return f"like `{pattern}`" if pattern else ""


# Text


def prose(described: Any) -> str:
    """Return a docstring without its sections, as Markdown."""
    doc = inspect.cleandoc(getattr(described, "__doc__", None) or "")
    return markdown(SECTION.split(doc)[0].strip())


def first_sentence(described: Any) -> str:
    """Return the first line of a docstring, as Markdown."""
    return prose(described).partition("\n")[0]


def markdown(text: str) -> str:
    """Return text of a docstring with its code marked the way Markdown does."""
    return text.replace("``", "`")


def signature(function: Any) -> str:
    """Return a method's arguments and result, as written."""
    found = inspect.signature(function)
    kept = [p for name, p in found.parameters.items() if name != "self"]
    return str(found.replace(parameters=kept)).replace("'", "")


def source_of(component: type[Any]) -> str:
    """Return the path of the file that defines a component, from the repository's root."""
    return component.__module__.replace(".", "/") + ".py"


def stage_facts(stage: type[Stage]) -> str:
    """Return when a stage is performed."""
    when = "always" if stage.always else "if the recipe has this section"
    needs = ", ".join(f"`{name}`" for name in stage.needs) or "nothing"
    return f"Performed by `luban run`: {when}. Needs: {needs}."


def argument_row(action: argparse.Action) -> tuple[str, str, str]:
    """Return a table row for one command line argument."""
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    value = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
    choices = f" ({', '.join(map(str, action.choices))})" if action.choices else ""
    shown = names or f"`{action.metavar or action.dest}`"
    if names and action.nargs != 0:
        shown += f" {value}"
    empty = action.default in (None, "", []) or action.default is False
    return shown, "" if empty else f"`{action.default}`", (action.help or "") + choices


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = (re.sub(r"(?<!\\)\|", r"\\|", " ".join(cell.split())) for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Write the pages, or say which are stale."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    check = parser.parse_args().check
    stale = []
    for name, text in pages().items():
        path = (FOLDER / name).resolve()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(FOLDER.parents[1])))
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"stale: {', '.join(stale)}; run `make docs`", file=sys.stderr)
    return int(bool(check and stale))


if __name__ == "__main__":
    sys.exit(main())
