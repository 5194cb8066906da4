"""As much of JSON Schema as the schema of recipes uses; an unknown keyword is an error."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
_SAID = {"title", "description", "default", "$schema", "$defs"}


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "") -> list[str]:
    """Return one line for each way in which plain data break a schema."""
    found: list[str] = []
    for keyword, rule in schema.items():
        if keyword not in _SAID:
            found += _RULES[keyword](value, rule, schema, root, path)
    return found


def _type(value: Any, rule: str, *rest: Any) -> list[str]:
    whole = isinstance(value, int) and not isinstance(value, bool)
    holds = {"integer": whole, "number": whole or isinstance(value, float)}.get(rule)
    if holds is None:
        holds = isinstance(value, _TYPES[rule])
    return [] if holds else [f"{rest[-1]}: {value!r} is not of type {rule}"]


def _ref(value: Any, rule: str, _: Any, root: Any, path: str) -> list[str]:
    target = root
    for part in rule.removeprefix("#/").split("/"):
        target = target[part]
    return faults(value, target, root, path)


def _any_of(value: Any, rule: list[Any], _: Any, root: Any, path: str) -> list[str]:
    tries = [faults(value, option, root, path) for option in rule]
    return [] if any(not t for t in tries) else [f"{path}: {value!r} fits no option"]


def _properties(value: Any, rule: dict[str, Any], _: Any, root: Any, path: str) -> list[str]:
    inner = value if isinstance(value, dict) else {}
    return [
        line
        for key, item in inner.items()
        if key in rule
        for line in faults(item, rule[key], root, f"{path}.{key}")
    ]


def _additional(value: Any, rule: Any, schema: Any, root: Any, path: str) -> list[str]:
    inner = value if isinstance(value, dict) else {}
    extra = [key for key in inner if key not in schema.get("properties", {})]
    if rule is False:
        return [f"{path}: {key!r} is not known" for key in extra]
    rule = {} if rule is True else rule
    return [line for key in extra for line in faults(inner[key], rule, root, f"{path}.{key}")]


def _items(value: Any, rule: dict[str, Any], _: Any, root: Any, path: str) -> list[str]:
    inner = value if isinstance(value, list) else []
    return [line for i, x in enumerate(inner) for line in faults(x, rule, root, f"{path}.{i}")]


def _prefix(value: Any, rule: list[Any], _: Any, root: Any, path: str) -> list[str]:
    inner = value if isinstance(value, list) else []
    pairs = zip(inner, rule, strict=False)
    return [line for i, (x, r) in enumerate(pairs) for line in faults(x, r, root, f"{path}.{i}")]


def _bound(holds: Any) -> Any:
    def check(value: Any, rule: Any, _: Any, __: Any, path: str) -> list[str]:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return [] if not number or holds(value, rule) else [f"{path}: {value} against {rule}"]

    return check


def _size(holds: Any, kind: Any) -> Any:
    def check(value: Any, rule: int, _: Any, __: Any, path: str) -> list[str]:
        fine = not isinstance(value, kind) or holds(len(value), rule)
        return [] if fine else [f"{path}: length {len(value)} against {rule}"]

    return check


def _pattern(value: Any, rule: str, _: Any, __: Any, path: str) -> list[str]:
    fine = not isinstance(value, str) or re.search(rule, value)
    return [] if fine else [f"{path}: {value!r} does not match {rule}"]


def _required(value: Any, rule: list[str], _: Any, __: Any, path: str) -> list[str]:
    inner = value if isinstance(value, dict) else dict.fromkeys(rule)
    return [f"{path}: {key} is missing" for key in rule if key not in inner]


def _among(value: Any, rule: list[Any], _: Any, __: Any, path: str) -> list[str]:
    return [] if value in rule else [f"{path}: {value!r} is none of {rule}"]


_RULES: dict[str, Any] = {
    "type": _type,
    "$ref": _ref,
    "anyOf": _any_of,
    "oneOf": _any_of,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": _required,
    "items": _items,
    "prefixItems": _prefix,
    "enum": _among,
    "const": lambda value, rule, *rest: _among(value, [rule], *rest),
    "minimum": _bound(lambda x, bound: x >= bound),
    "maximum": _bound(lambda x, bound: x <= bound),
    "exclusiveMinimum": _bound(lambda x, bound: x > bound),
    "exclusiveMaximum": _bound(lambda x, bound: x < bound),
    "minItems": _size(lambda n, bound: n >= bound, list),
    "maxItems": _size(lambda n, bound: n <= bound, list),
    "minLength": _size(lambda n, bound: n >= bound, str),
    "minProperties": _size(lambda n, bound: n >= bound, dict),
    "pattern": _pattern,
}
