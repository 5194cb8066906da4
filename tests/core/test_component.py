"""A component is its own configuration: strict, frozen, comparable, the same after a round trip."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.core.component import Component, Settings, digest_of
from luban.core.contracts import Cleaner, Model, Optimizer, Source, Stage, Task
from luban.core.errors import RecipeError
from luban.data.dataset import Data

GPT = {"name": "gpt", "hidden_size": 32, "num_attention_heads": 4}
TASK = {"name": "text-generation", "tokenizer": {"name": "bpe", "vocab_size": 300}}


def error_of(kind: type[Settings], data: Any, where: str = "r.yaml") -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        kind.from_dict(data, where)
    return caught.value


def test_a_bare_name_is_a_component_with_its_defaults() -> None:
    assert Optimizer.from_dict("adamw") == Optimizer.from_dict({"name": "adamw"})
    assert Optimizer.from_dict("adamw").name == "adamw"


def test_a_field_of_a_kind_takes_a_name_a_table_or_the_component() -> None:
    made = [Stage.from_dict({"name": "train", "optimizer": o}) for o in ("sgd", {"name": "sgd"})]
    assert made[0] == made[1]
    replaced = made[0].replace(optimizer=Optimizer.from_dict("adamw"))
    assert replaced.to_dict()["optimizer"]["name"] == "adamw"


@pytest.mark.parametrize(
    ("kind", "data", "what", "where"),
    [
        (Model, {**GPT, "hidden_siz": 8}, "no field 'hidden_siz'", "r.yaml"),
        (Model, {**GPT, "hidden_size": "32"}, "valid integer", "r.yaml: hidden_size"),
        (Model, {**GPT, "hidden_size": 32.0}, "valid integer", "r.yaml: hidden_size"),
        (Model, {**GPT, "tie_word_embeddings": 1}, "valid boolean", "tie_word_embeddings"),
        (Model, {**GPT, "hidden_size": 0}, "greater than or equal to 1", "hidden_size"),
        (Model, {**GPT, "hidden_size": 30}, "multiple of num_attention_heads", "r.yaml"),
        (Model, "gtp", "no model named 'gtp'", "r.yaml"),
        (Model, {"hidden_size": 8}, "a name, or a table with a name", "r.yaml"),
        (Model, None, "a name, or a table with a name", "r.yaml"),
        (Model, ["gpt"], "a name, or a table with a name", "r.yaml"),
        (Task, {**TASK, "tokenizer": "bep"}, "no tokenizer named 'bep'", "r.yaml: tokenizer"),
        (
            Task,
            {**TASK, "tokenizer": {"name": "bpe", "vocab_siz": 1}},
            "no field 'vocab_siz'",
            "r.yaml: tokenizer",
        ),
        (
            Data,
            {"source": {"name": "text", "path": "a"}, "cleaners": ["unicode", {"name": "regx"}]},
            "no cleaner named 'regx'",
            "r.yaml: cleaners.1",
        ),
        (
            Data,
            {"source": {"name": "text", "path": "a"}, "split": {"test": -0.1}},
            "shares of 1",
            "split",
        ),
        (Data, {}, "Field required", "r.yaml: source"),
    ],
    ids=lambda case: str(case)[:40],
)
def test_a_fault_names_its_path(kind: type[Settings], data: Any, what: str, where: str) -> None:
    error = error_of(kind, data)
    assert what in error.what
    assert where in str(error.where)


@pytest.mark.parametrize(
    ("kind", "data", "near"),
    [
        (Model, {**GPT, "hidden_siz": 8}, "hidden_size"),
        (Model, "gtp", "gpt"),
        (Optimizer, {"name": "adamw", "lerning_rate": 1.0}, "learning_rate"),
        (Stage, {"name": "train", "optimizer": "adam-w"}, "adamw"),
        (Cleaner, "exact-duplicate", "exact-duplicates"),
    ],
)
def test_a_misspelt_word_gets_the_nearest(kind: type[Settings], data: Any, near: str) -> None:
    error = error_of(kind, data)
    assert error.fix == f"did you mean {near!r}?"
    assert near in str(error.expected)


def test_a_component_is_frozen() -> None:
    model = Model.from_dict(GPT)
    with pytest.raises(ValueError, match="frozen"):
        model.hidden_size = 8  # type: ignore[attr-defined]


def test_replace_checks_like_the_original() -> None:
    model = Model.from_dict(GPT)
    assert model.replace(hidden_size=64).to_dict()["hidden_size"] == 64
    assert model.to_dict()["hidden_size"] == 32
    with pytest.raises(ValueError, match="hidden_size"):
        model.replace(hidden_size=0)


def test_lists_become_tuples_so_that_a_value_stays_a_value() -> None:
    stage = Stage.from_dict({"name": "export", "formats": ["huggingface", "onnx"]})
    assert isinstance(stage.formats, tuple)  # type: ignore[attr-defined]
    assert stage == Stage.from_dict(stage.to_dict())


shares = st.floats(0, 1, exclude_max=True)
rates = st.floats(1e-12, 1e3)


@given(
    st.fixed_dictionaries(
        {"name": st.just("adamw"), "learning_rate": rates},
        optional={
            "weight_decay": st.floats(0, 10),
            "betas": st.lists(shares, min_size=2, max_size=2),
        },
    )
)
def test_round_trip_of_an_optimizer(data: dict[str, Any]) -> None:
    made = Optimizer.from_dict(data)
    again = Optimizer.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.digest() == made.digest()
    assert made.to_dict()["learning_rate"] == data["learning_rate"]


@given(
    path=st.text(min_size=1),
    cleaners=st.lists(st.sampled_from(["unicode", "exact-duplicates", "length"])),
    validation=st.floats(0, 0.49),
    test=st.floats(0, 0.49),
)
def test_round_trip_of_nested_parts(
    path: str, cleaners: list[str], validation: float, test: float
) -> None:
    made = Data.from_dict(
        {
            "source": {"name": "text", "path": path},
            "cleaners": cleaners,
            "split": {"validation": validation, "test": test},
        }
    )
    again = Data.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.digest() == made.digest()


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.lists(st.floats())))
def test_a_digest_does_not_depend_on_the_order_of_keys(data: dict[str, Any]) -> None:
    assert digest_of(data) == digest_of(dict(reversed(data.items())))


def test_a_digest_tells_values_apart() -> None:
    made = [Model.from_dict({**GPT, "hidden_size": size}) for size in (32, 64)]
    made += [Model.from_dict({"name": "rnn", "hidden_size": 32})]
    assert len({model.digest() for model in made}) == 3


def test_a_default_and_the_same_value_given_have_one_digest() -> None:
    assert Optimizer.from_dict({"name": "adamw"}).digest() == (
        Optimizer.from_dict(Optimizer.from_dict("adamw").to_dict()).digest()
    )


def test_the_code_digest_covers_parts_and_bases() -> None:
    plain = Data.from_dict({"source": {"name": "text", "path": "a"}})
    cleaned = plain.replace(cleaners=(Cleaner.from_dict("unicode"),))
    assert plain.code_digest() != cleaned.code_digest()
    assert plain.code_digest() == plain.replace(max_overlap=0.5).code_digest()


def test_kinds_are_abstract() -> None:
    kinds: tuple[Any, ...] = (Model, Source, Task)
    for kind in kinds:
        assert issubclass(kind, Component)
        with pytest.raises(TypeError, match="abstract"):
            kind()
