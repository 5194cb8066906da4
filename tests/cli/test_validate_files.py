"""`luban validate` where records are images: damaged ones by name, and memory that is counted."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from luban.cli.verbs import validate
from luban.core.batch import Batch, Losses
from luban.recipe import Recipe
from luban.stages import _preview
from tests.inference.toy_media import Seeing
from tests.life import done, luban
from tests.plugin.shades_life import know_shades, png, write_shades


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    know_shades(monkeypatch)
    return write_shades(tmp_path)


def spoil(*numbers: int) -> None:
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text().splitlines()]
    for number in numbers:
        rows[number - 1]["image"] = base64.b64encode(png(9, seed=number)[:60]).decode()
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))


def test_all_is_well(recipe: Path) -> None:
    facts = done("validate", recipe, "--json").json
    assert facts["batch"] == "pixel_values (1, 8, 8)"
    assert not any("set apart" in name for name in facts)


def test_damaged_files_are_named_and_borne(recipe: Path) -> None:
    spoil(3, 70)
    facts = done("validate", recipe, "--json").json
    told = "; ".join(text for name, text in facts.items() if "set apart" in name)
    assert "rows.jsonl:3: this image is damaged" in told
    assert "rows.jsonl:70: this image is damaged" in told


def test_too_many_damaged_files_are_an_error(recipe: Path) -> None:
    spoil(*range(1, 121, 5))
    said = luban("validate", recipe)
    assert said.code == 2
    assert "rows.jsonl:21: this image is damaged" in said.err
    assert "24 of 120 records cannot be used" in said.err
    assert "more than a share of 0.1 (prepare.max_unreadable)" in said.err
    assert "Traceback" not in said.err


def test_large_files_are_looked_at_in_part(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("photos").mkdir()
    for number in range(9):
        Path(f"photos/{number}.png").write_bytes(png(40 * (number % 2), seed=number))
    source = ["data.source={name: files, path: photos}", "data.split={by: record}"]
    read = Recipe.read(recipe, source)
    assert str(_preview.sample_split(read.data, "train")) == "9"
    most = max(Path(f"photos/{number}.png").stat().st_size for number in range(9))
    monkeypatch.setattr(_preview, "LOOK_BYTES", most * 3)
    looked = _preview.sample_split(read.data, "train")
    assert looked.count == 9
    assert 2 < len(looked.records) < 9
    assert (
        sum(Path(f"{record['_where'].split(':')[0]}").stat().st_size for record in looked.records)
        <= 3 * most
    )


class Twice(nn.Module):
    """Two products with a function between: what is kept on the way is known."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(10, 2000), nn.Linear(2000, 5)

    def forward(self, numbers: Tensor) -> Tensor:
        made: Tensor = self.last(self.first(numbers).relu())
        return made


class Learning(Seeing):
    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        sums = model(**batch.inputs).square().sum(1)
        return Losses(sums, torch.ones_like(sums))


@pytest.mark.parametrize("examples", [2, 4])
def test_memory_is_what_training_keeps(examples: int) -> None:
    batch = Batch({"numbers": torch.randn(examples, 10)}, {})
    losses, kept = validate._forward(Learning(), Twice(), batch)
    # The input, what the function gave and the last product; and the largest twice more.
    assert kept == 4 * (10 + 2000 + 5 + 2 * 2000)
    losses.sums.sum().backward()  # type: ignore[no-untyped-call]


def test_memory_grows_with_the_batch_that_is_held_at_once(recipe: Path) -> None:
    def memory(*more: str) -> float:
        facts = done("validate", recipe, *more, "--json").json
        return float(facts["memory, about"].split()[0])

    large = memory("train.batch_size=400000")
    assert large > memory("train.batch_size=16") == pytest.approx(1.0, abs=0.01)
    assert memory("train.batch_size=400000", "train.gradient_accumulation_steps=100") < large


def test_prepare_bears_some_damaged_files_even_in_a_small_split(recipe: Path) -> None:
    spoil(*range(1, 121, 15))
    said = luban("prepare", recipe, "prepare.max_unreadable=0.05")
    assert said.code == 2
    assert "8 of 120 records cannot be used" in said.err
    done("prepare", recipe)
    claims = json.loads(Path("runs/shades/reports/prepare.json").read_text())["claims"]
    apart = {name: told["value"] for name, told in claims.items() if "/set apart: " in name}
    assert sum(apart.values()) == 8
    assert max(apart.values()) < 8
