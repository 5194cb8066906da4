"""Components are values: frozen, comparable, and the same thing as their own configuration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from luban.core import registry
from luban.core.code_files import digests_of_module
from luban.core.errors import LubanError, RecipeError


class Settings(BaseModel):
    """A frozen record that reads itself from plain data, strictly, and writes itself back."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
        protected_namespaces=(),
        allow_inf_nan=False,  # no quantity of a recipe is infinite
    )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that ``from_dict`` reads back to an equal value."""
        return {key: _plain(getattr(self, key)) for key in type(self).model_fields}

    @classmethod
    def from_dict(cls, data: Any, where: str = "") -> Self:
        """Read settings from plain data.

        Raises:
            RecipeError: for unknown keys, wrong types and values; it names the path.
        """
        try:
            return cls._read(_frozen(data, where))
        except ValidationError as error:
            raise recipe_error(error.errors(), where) from None
        except PydanticCustomError as error:
            raise recipe_error([_nested(error)], where) from None

    @classmethod
    def _read(cls, data: Any) -> Self:
        return cls.model_validate(data)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like the original."""
        fields = {key: getattr(self, key) for key in type(self).model_fields}
        return type(self).model_validate({**fields, **changes})

    def digest(self) -> str:
        """Return a short content hash: equal components, equal digests."""
        return digest_of(self.to_dict())

    def code_digest(self) -> str:
        """Return a hash of every file that defines this value, its bases and its parts."""
        return digest_of(sorted(set(_code_of(self))))

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_field(cls, data: Any) -> Any:
        known = sorted(cls.model_fields)
        for key in data if isinstance(data, dict) else ():
            if key not in known:
                context = {"key": str(key), "known": known}
                raise PydanticCustomError("unknown_field", "unknown field", context)
        return data


class Component(Settings):
    """Settings that are looked up by name and do something.

    A class that sets ``kind`` is a kind (an abstract base). A field typed with a kind takes
    ``{name: …, <fields>}`` or just the name, and becomes the component that goes by it.
    """

    kind: ClassVar[str] = ""
    #: Fields that name a folder or a file whose content decides what this component computes.
    outside: ClassVar[tuple[str, ...]] = ()

    @property
    def name(self) -> str:
        """The name recipes use: the stem of the file that defines the class."""
        return registry.name_of(type(self), self.kind)

    def to_dict(self) -> dict[str, Any]:
        """Return the name and the fields as plain data."""
        return {"name": self.name, **super().to_dict()}

    @classmethod
    def _read(cls, data: Any) -> Self:
        return cls._resolve(data)

    @classmethod
    def _resolve(cls, value: Any) -> Self:
        if isinstance(value, cls):
            return value
        data = {"name": value} if isinstance(value, str) else value
        if not isinstance(data, dict) or not isinstance(data.get("name"), str):
            raise PydanticCustomError(
                "component", "must be a name, or a table with a name", {"known": cls.kind}
            )
        rest = {key: item for key, item in data.items() if key != "name"}
        try:
            return registry.load(cls.kind, data["name"], cls).model_validate(rest)
        except LubanError as error:
            fields = {"what": error.what, "expected": error.expected, "fix": error.fix}
            raise PydanticCustomError("luban", "{what}", fields) from None
        except ValidationError as error:
            raise PydanticCustomError("nested", "invalid", {"errors": error.errors()}) from None

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        if "kind" in cls.__dict__ and cls.kind:
            return core_schema.no_info_plain_validator_function(
                cls._resolve,
                serialization=core_schema.plain_serializer_function_ser_schema(_plain),
            )
        return handler(source)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        if "kind" not in cls.__dict__ or not cls.kind:
            return handler(schema)
        options: list[dict[str, Any]] = [{"enum": registry.names(cls.kind)}]
        if cls.kind in _describing:  # a component made of others of its kind
            return {"anyOf": [*options, {"type": "object", "required": ["name"]}]}
        _describing.add(cls.kind)
        for name in registry.names(cls.kind):
            found = registry.load(cls.kind, name, cls)
            option = handler.resolve_ref_schema(handler(found.__pydantic_core_schema__))
            option = {**option, "required": ["name", *option.get("required", [])]}
            option["properties"] = {"name": {"const": name}, **option.get("properties", {})}
            options.append(option)
        _describing.remove(cls.kind)
        return {"anyOf": options}


_DEPTH = 40  #: tables within tables
_LARGEST = 2**63 - 1
_PLACE = 200  #: characters of a path in a recipe that a message shows
#: Kinds whose JSON Schema is being written.
_describing: set[str] = set()


def digest_of(data: Any) -> str:
    """Return a 16-digit hash of plain data, independent of key order."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _code_of(value: Any) -> Iterator[str]:
    if isinstance(value, Settings):
        for base in type(value).__mro__:
            if issubclass(base, Settings) and base not in (Settings, Component):
                yield from digests_of_module(base.__module__)
        value = [getattr(value, name) for name in type(value).model_fields]
    if isinstance(value, dict):
        value = list(value.values())
    for item in value if isinstance(value, list | tuple) else ():
        yield from _code_of(item)


def recipe_error(errors: list[ErrorDetails] | list[Any], where: str = "") -> RecipeError:
    """Turn the first validation error into a message with path, expectation, value and fix."""
    detail, path = _deepest(errors[0], ())
    context = detail.get("ctx") or {}
    at = ".".join(str(part) for part in path)
    place = ": ".join(part for part in (where, at) if part)
    if detail["type"] == "unknown_field":
        return RecipeError(
            f"there is no field {context['key']!r} here.",
            where=place,
            expected=", ".join(context["known"]),
            fix=registry.nearest(context["key"], context["known"]) or "remove it.",
        )
    if detail["type"] == "luban":
        return RecipeError(
            context["what"], where=place, expected=context["expected"], fix=context["fix"]
        )
    got = None if detail["type"] == "missing" else detail.get("input")
    return RecipeError(detail["msg"].removeprefix("Value error, "), where=place, got=got)


def _deepest(detail: Any, path: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    path = (*path, *detail["loc"])
    if detail["type"] == "nested":
        return _deepest(detail["ctx"]["errors"][0], path)
    return detail, path


def _nested(error: PydanticCustomError) -> dict[str, Any]:
    return {"type": error.type, "loc": (), "msg": error.message(), "ctx": error.context}


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.to_dict()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _frozen(value: Any, where: str, depth: int = 0) -> Any:
    """Lists become tuples, so that strict components can hold what YAML and JSON bring.

    Raises:
        RecipeError: for what no recipe needs and what breaks the programs that read it: tables in
            tables without end, numbers beyond 64 bits, halves of characters.
    """
    if depth > _DEPTH:
        raise RecipeError("tables within tables, too deep.", where=where, expected=f"{_DEPTH}")
    if isinstance(value, dict):
        below = f"{where}." if where else ""
        return {
            _frozen(key, where, depth): _frozen(item, f"{below}{key}"[:_PLACE], depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return tuple(_frozen(item, where, depth + 1) for item in value)
    if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
        raise RecipeError("a number is too large.", where=where, expected=f"at most {_LARGEST:,}")
    if isinstance(value, str) and not is_text(value):
        raise RecipeError(
            "this is no text: it holds half a character (a surrogate), or bytes that are no UTF-8.",
            where=where,
            got=ascii(value),
            fix="rename the file, or write the character itself.",
        )
    return value


def is_text(value: str) -> bool:
    """Return whether a text can be written as UTF-8: without halves of characters."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
