"""Errors say what, where, expected, got and fix; the tree in the docstring is complete."""

from __future__ import annotations

import inspect
import re

import pytest

from luban.core import errors
from luban.core.errors import (
    ContractError,
    DataError,
    LubanError,
    MissingExtra,
    UnfitError,
    UnknownLabelError,
    UnreadableError,
)

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, LubanError)
]


def test_the_tree_names_every_class_once() -> None:
    drawn = re.findall(r"[*-] (\w+)", errors.__doc__ or "")
    assert sorted(drawn) == sorted(found.__name__ for found in CLASSES)


def test_the_tree_is_the_one_in_the_text() -> None:
    parents: dict[type[LubanError], type[LubanError]] = {
        UnfitError: DataError,
        UnreadableError: UnfitError,
        UnknownLabelError: DataError,
    }
    for found in CLASSES:
        assert found is LubanError or parents.get(found, LubanError) in found.__bases__


@pytest.mark.parametrize("kind", CLASSES)
def test_exit_codes(kind: type[LubanError]) -> None:
    assert kind.exit_code == (1 if kind is ContractError else 2)


def test_the_message_has_every_part_in_order() -> None:
    error = LubanError("it broke.", where="a.yaml:3", expected="a cat", got="a dog", fix="swap.")
    assert str(error) == "a.yaml:3: it broke.\n  expected: a cat\n  got: a dog\n  fix: swap."


def test_parts_that_are_not_there_take_no_line() -> None:
    assert str(LubanError("it broke.")) == "it broke."
    assert str(LubanError("it broke.", got=0)) == "it broke.\n  got: 0"


def test_a_long_value_is_cut() -> None:
    text = str(LubanError("long.", got="x" * 5000))
    assert len(text) < 400
    assert "(5,000 characters)" in text


def test_the_place_can_be_filled_in_later() -> None:
    error = LubanError("it broke.")
    error.where = "a.yaml:3"
    assert str(error).startswith("a.yaml:3: it broke.")


def test_a_missing_extra_says_what_to_install() -> None:
    error = MissingExtra("pyarrow", "data")
    assert "pip install 'luban[data]'" in str(error)
    assert isinstance(error, ImportError)


@pytest.mark.parametrize("name", ["DataError", "RecipeError", "RequestError"])
def test_bad_values_are_value_errors(name: str) -> None:
    assert issubclass(getattr(errors, name), ValueError)
