"""YAML and JSON as this project reads them: a key that stands twice is an error, words stay words.

YAML is read by the rules of version 1.2: ``no``, ``on``, ``0123`` and ``12:30`` are words, which
version 1.1 takes for false, true, 83 and 750; ``1e-3`` is a number, which it takes for a word.
"""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import Any, TypeAlias

import yaml

from luban.core.errors import DataError, LubanError

#: The path of a key to the line on which it stands.
Lines: TypeAlias = dict[tuple[str, ...], int]

_VALUES = 2_000_000  #: in one file: a short one could repeat a value without end
_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: ``1e-3`` is a number; ``no``, ``010`` and ``2020-01-01`` are words."""


class _Dumper(yaml.SafeDumper):
    """Quotes every text that the loader would take for something else."""


_SCALARS = {
    "bool": (r"^(true|false)$", "tf"),
    "int": (r"^([-+]?(0|[1-9][\d_]*)|0x[\da-fA-F]+)$", "-+0123456789"),
    "float": (
        r"^[-+]?(\d[\d_]*\.\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.inf)$",
        "-+0123456789.",
    ),
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, (_pattern, _first) in _SCALARS.items():
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(_pattern), list(_first)
        )


def parse_yaml(
    text: str, file: object, error: type[LubanError] = DataError, *, words: bool = False
) -> tuple[Any, Lines]:
    """Return what a YAML text says, and the line of every key and item.

    Args:
        text: One document.
        file: Its name, for messages.
        error: The type of error to raise.
        words: Whether every scalar is a text as it is written: names of classes are no numbers.

    Raises:
        LubanError: of the given type, if the text is no YAML, a table repeats a key, or a value
            holds itself.
    """
    loader = yaml.BaseLoader if words else _Loader
    try:
        root = yaml.compose(text, Loader=loader)
        if _size(root, {}) > _VALUES:
            raise error(
                f"more than {_VALUES:,} values, counting what aliases (*name) repeat.", where=file
            )
        lines: Lines = {}
        _index_lines(root, (), lines, file, error)
        return _constructed(text, loader, file, error), lines
    except yaml.YAMLError as found:
        mark = getattr(found, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(found, "problem", None) or str(found)
        raise error(f"not valid YAML: {problem}.", where=f"{file}{line}") from None
    except RecursionError:
        raise error(
            "a value of this file holds itself, or lists and tables are nested too deep.",
            where=file,
        ) from None


def _constructed(text: str, loader: Any, file: object, error: type[LubanError]) -> Any:
    try:
        return yaml.load(text, Loader=loader)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as found:
        # ``!!int x``, ``!!binary ä``, long numbers: whatever a tag makes the library stumble over
        raise error(f"not valid YAML: {found}.", where=file) from None


def _size(node: yaml.Node | None, known: dict[int, int]) -> int:
    """Return how many values a node holds, its aliases written out."""
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = 1  # met again below itself: it holds itself, which others tell
        parts = (
            chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
        )
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def is_yaml(text: str) -> bool:
    """Return whether a text is YAML, be it wise or not."""
    try:
        yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError:
        return False
    except RecursionError:  # ``parse_yaml`` tells what is wrong with it
        return True
    return True


def dump_yaml(value: Any, **form: Any) -> str:
    """Return a value as YAML that ``parse_yaml`` reads back the same.

    Args:
        value: Plain data.
        form: Arguments of ``yaml.dump``.
    """
    given = {"sort_keys": False, "allow_unicode": True, "width": 100, **form}
    text: str = yaml.dump(value, Dumper=_Dumper, **given)
    return text


def parse_json(text: str, where: object, *, line: bool = False, fix: str = "") -> Any:
    """Return what a JSON text says.

    Args:
        text: One value.
        where: Its file, and the line where it is one line of several, for messages.
        line: Whether it is one line of several.
        fix: What to do if it is no JSON, for the message.

    Raises:
        DataError: if it is no JSON or too deep, if a text holds half a character, or if an object
            repeats a key: readers disagree about which one counts.
    """
    try:
        value = _DECODER.decode(text)
        if _HALF.search(text):  # rare, so that only then all texts are looked at
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        raise DataError(
            "a text holds half a character (a surrogate), which no file can hold.",
            where=where,
            got=ascii(error.object[error.start]),
            fix="write the character itself, or both halves.",
        ) from None
    except _TwiceError as error:
        key = str(error)
    except (ValueError, RecursionError) as error:  # a number may be too long, too
        why, what = str(error), "line" if line else "file"
        if isinstance(error, json.JSONDecodeError):
            why = f"{error.msg}, column {error.colno}"
            where = where if line else f"{where}:{error.lineno}"
        raise DataError(
            f"this {what} is not JSON ({why}).",
            where=where,
            got=text.strip() if line else None,
            fix=fix,
        ) from None
    first, second = _places(text, key)
    if line:  # which one, ``where`` tells
        first, second = (place.removeprefix("line 1, ") for place in (first, second))
    raise DataError(
        f"the key {key!r} stands twice in one object.",
        where=where,
        got=f"{first} and {second}",
        fix="remove one of them, or give it a name of its own.",
    )


def json_of(text: str | bytes) -> Any:
    """Return what a JSON text says, as ``json.loads``, for files that programs wrote.

    Raises:
        ValueError: if it is no JSON, also where lists and tables are nested too deep.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists or tables are nested too deep") from None


class _TwiceError(Exception):
    """A key that an object repeats."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(next(key for key in keys if keys.count(key) > 1))
    return table


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _places(text: str, key: str) -> tuple[str, str]:
    """Return where a key stands twice in the same object of a JSON text."""
    tables: list[dict[str, int]] = []
    word = None
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "{[":
            tables.append({})
        elif mark in "}]":
            tables.pop()
        elif mark == ":" and word is not None:
            name = str(json.loads(word[0]))
            if name == key and name in tables[-1]:
                return _place(text, tables[-1][name]), _place(text, word.start())
            tables[-1][name] = word.start()
        word = token if mark[0] == '"' else None
    return "?", "?"  # not reached: the decoder has seen it


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f"line {line}, column {at - text.rfind(chr(10), 0, at)}"


def _index_lines(
    node: yaml.Node | None,
    path: tuple[str, ...],
    lines: Lines,
    file: object,
    error: type[LubanError],
) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            line = key.start_mark.line + 1
            if here in lines:
                raise error(
                    f"the key {key.value!r} stands twice.",
                    where=f"{file}:{line}",
                    got=f"line {lines[here]} and line {line}",
                    fix=f"remove it here or at line {lines[here]}.",
                )
            lines[here] = line
            _index_lines(value, here, lines, file, error)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*path, str(index))] = value.start_mark.line + 1
            _index_lines(value, (*path, str(index)), lines, file, error)
