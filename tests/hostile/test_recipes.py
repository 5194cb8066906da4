"""Recipes of strangers: whatever they say, a command ends with one error, in time and memory."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from luban.recipe import json_schema
from tests.hostile.bounded import Worst, bounded
from tests.hostile.mutations import mutated_recipe
from tests.life import RECIPE, ROOT, changed, luban, write_life

#: Recipes of ``make torture``, in ten parts.
RECIPES = int(os.environ.get("LUBAN_RECIPES", "3000"))
BASE = """\
data: {source: {name: text, path: text.txt}}
task: {name: text-generation, tokenizer: char, context: 16}
model: {name: gpt, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}
train: {max_steps: 2}
"""


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    """Import what verbs need, once for all children; let no recipe find the real data sets."""
    json_schema()
    luban("validate", "none.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LUBAN_DATA", raising=False)
        yield


def _bomb(first: str, item: str) -> str:
    lines = [f"a0: &a0 {first}"]
    for level in range(1, 9):
        inner = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} {item.format(inner)}")
    return "\n".join(lines) + "\n"


TEXTS = {
    "a tag of Python": BASE + "seed: !!python/object/apply:os.system ['touch executed']\n",
    "an unknown tag": BASE + "seed: !mine 3\n",
    "a number of 5,000 digits": BASE + f"seed: {'9' * 5000}\n",
    "a hexadecimal number of 5,000 digits": BASE + f"seed: 0x{'F' * 5000}\n",
    "a number of 20 digits": BASE + f"seed: {'9' * 20}\n",
    "an empty integer": BASE + "seed: !!int ''\n",
    "an empty float": BASE + "seed: !!float ''\n",
    "a date": BASE + "description: !!timestamp x\n",
    "base 64": BASE + 'description: !!binary "ä"\n',
    "deep lists": BASE + f"description: {'[' * 5000}{']' * 5000}\n",
    "deep tables": BASE + f"description: {'{a: ' * 5000}1{'}' * 5000}\n",
    "tables of some depth": BASE + f"description: {'[' * 60}{']' * 60}\n",
    "half a character": BASE + 'description: "\\ud800"\n',
    "half a character as a key": BASE + '"\\ud800": 1\n',
    "aliases of lists": _bomb("[x, x]", "[{}]") + BASE,
    "aliases of merged tables": _bomb("{x: 1}", "{{<<: [{}]}}") + BASE,
    "a value that holds itself": "a: &a [*a]\n" + BASE,
    "a key that is a list": "? [a, b]\n: 1\n" + BASE,
    "a key that is nothing": "null: 1\n" + BASE,
    "two documents": BASE + "---\n" + BASE,
    "a zero byte": BASE + "seed: \0\n",
    "a name of a file that is too long": BASE + f"runs: {'a' * 5000}\n",
}


@pytest.mark.parametrize("what", TEXTS)
def test_a_text_that_is_no_recipe(what: str, here: Path) -> None:
    write_life(here)
    Path("r.yaml").write_text(TEXTS[what], errors="surrogatepass")
    outcome = bounded(lambda: said("validate", "r.yaml"))
    assert not outcome.problem(), outcome.problem()
    assert "\nluban: " in f"\n{outcome.said}"
    assert outcome.seconds < 8
    assert not Path("executed").exists()


IMAGES = {"name": "image-classification"}


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"model.hidden_size": 10**9}, "model.hidden_size"),
        ({"model.hidden_size": 2**20}, "model"),
        ({"model.num_hidden_layers": 10**9}, "model.num_hidden_layers"),
        ({"model.hidden_size": 2**14, "model.num_hidden_layers": 1024}, "model"),
        ({"model.vocab_size": 2**24, "model.hidden_size": 2**14}, "model"),
        ({"model.intermediate_size": 10**12}, "model.intermediate_size"),
        ({"task.context": 10**12}, "task.context"),
        ({"task": IMAGES | {"image_size": 10**9}}, "task.image_size"),
        ({"task": IMAGES | {"image_size": [2**14, 2**14]}}, "task.image_size"),
        ({"model": {"name": "cnn", "hidden_sizes": [10**9]}}, "model.hidden_sizes"),
        ({"model": {"name": "cnn", "depths": [10**9, 1, 1]}}, "model.depths"),
        ({"model": {"name": "resnet", "depths": [10**9, 1, 1, 1]}}, "model.depths"),
        ({"model": {"name": "textcnn", "kernel_sizes": [10**9]}}, "model.kernel_sizes"),
        ({"model": {"name": "bag", "ngrams": [*range(2, 5000)]}}, "model.ngrams"),
        ({"model": {"name": "unet", "block_out_channels": [2**30]}}, "model.block_out_channels"),
        ({"train.batch_size": 10**12}, "train.batch_size"),
        ({"evaluate.bootstrap_rounds": 10**12}, "evaluate.bootstrap_rounds"),
    ],
)
@pytest.mark.parametrize("verb", ["validate", pytest.param("run", marks=pytest.mark.slow)])
def test_sizes_are_counted_before_memory_is_taken(
    verb: str, changes: dict[str, Any], where: str, here: Path
) -> None:
    recipe = write_life(here, changes)
    outcome = bounded(lambda: said(verb, recipe))
    assert not outcome.problem(), outcome.problem()
    assert where in outcome.said
    assert not outcome.fault


#: What may be any number: a seed, numbers of columns, and what a label stands for.
_NO_SIZE = {"seed", "tokens", "tags", "values"}


def test_every_number_of_a_recipe_is_bounded() -> None:
    assert sorted(set(_unbounded(json_schema(), ""))) == []


def _unbounded(schema: Any, where: str) -> Iterator[str]:
    """Yield where an integer of a JSON Schema may be as large as one likes."""
    if isinstance(schema, list):
        for one in schema:
            yield from _unbounded(one, where)
    if not isinstance(schema, dict):
        return
    bounds = {"maximum", "exclusiveMaximum", "enum", "const"}
    if schema.get("type") == "integer" and not bounds & schema.keys():
        yield where
    for key, inner in schema.items():
        if key == "properties":
            for name, field in inner.items():
                if name not in _NO_SIZE:
                    yield from _unbounded(field, f"{where}.{name}")
        else:
            yield from _unbounded(inner, where)


def test_a_recipe_that_never_ends(here: Path) -> None:
    assert "this is no recipe" in luban("validate", "/dev/zero").err
    with Path("long.yaml").open("wb") as file:
        file.truncate(10**10)
    assert "this is no recipe" in luban("validate", "long.yaml").err


def said(*arguments: object) -> str:
    """Return what a command that was refused says; empty if it ended well."""
    answer = luban(*arguments)
    return answer.err if answer.code else ""


def bases() -> list[dict[str, Any]]:
    """Recipes of the repository, of data that are not there, and small ones of data that are."""
    found = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "recipes").glob("*"))]
    quick = {"train.max_steps": 0, "evaluate.num_samples": 0}
    small = [changed(RECIPE, quick)]
    rows = {"data.source": {"name": "jsonl", "path": "rows.jsonl"}, "data.split": {"test": 0.3}}
    for name in ("textcnn", "bag", "bert", "rnn"):
        task = {"task": {"name": "text-classification", "tokenizer": "char", "max_length": 8}}
        small.append(changed(RECIPE, {**quick, **rows, **task, "model": {"name": name}}))
    return [*found, *small, *small]


def law(count: int, seed: int, folder: Path) -> Counter[str]:
    """Let ``count`` recipes be validated; fail with the first that breaks the law."""
    write_life(folder, lines=60)
    rows = [f'{{"text": "some text {i}", "label": "{"ab"[i % 2]}"}}\n' for i in range(60)]
    Path("rows.jsonl").write_text("".join(rows))
    every, outcomes, broken, worst = bases(), Counter[str](), list[str](), Worst()
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")
        text = mutated_recipe(draw.choice(every), draw)
        Path("r.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
        outcome = bounded(lambda: said("validate", "r.yaml"))
        worst.note(outcome, f"recipe {seed}/{number}")
        outcomes["refused" if outcome.said else "accepted"] += 1
        if problem := outcome.problem():
            Path(f"broken-{number}.yaml").write_text(text, errors="surrogatepass")
            broken.append(f"recipe {seed}/{number}: {problem}")
            print(broken[-1], file=sys.stderr, flush=True)
    assert not broken, f"{len(broken)} of {count}:\n" + "\n".join(broken[:20])
    print(f"{count} recipes: {dict(outcomes)}, {worst}")
    return outcomes


def test_changed_recipes_end_with_one_error(here: Path) -> None:
    outcomes = law(40, 0, here)
    assert outcomes["refused"] > 20


@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_changed_recipes_end_with_one_error(seed: int, here: Path) -> None:
    outcomes = law(RECIPES // 10, seed, here)
    assert outcomes["accepted"] > 0
