"""A record with nothing to learn from is set apart by name, and does not stop the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.life import done, luban

pytestmark = pytest.mark.usefixtures("here")
PIECES, EMPTY = 1_980, 26  #: as 128 of 9,900


def language_model(**sections: Any) -> Path:
    """Write the recipe of a small language model over ``pieces.jsonl``."""
    recipe: dict[str, Any] = {
        "name": "pieces",
        "data": {
            "source": {"name": "jsonl", "path": "pieces.jsonl"},
            "split": {"validation": 0.1, "test": 0.1},
            "max_overlap": 1.0,
        },
        "task": {"name": "text-generation", "context": 16, "tokenizer": "char"},
        "model": {"name": "gpt", "hidden_size": 16, "num_hidden_layers": 1,
                  "num_attention_heads": 2},
        "train": {"max_steps": 2, "batch_size": 4, "optimizer": {"name": "adamw"}},
        **sections,
    }  # fmt: skip
    path = Path("pieces.yaml")
    path.write_text(yaml.safe_dump(recipe))
    return path


def write_pieces(count: int, empty: int) -> None:
    """Write texts of which some, from all over them, are empty."""
    every = count // empty
    texts = ["" if n % every == 0 and n // every < empty else f"piece {n}" for n in range(count)]
    assert texts.count("") == empty
    Path("pieces.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def test_a_few_empty_pieces_of_many() -> None:
    write_pieces(PIECES, EMPTY)
    recipe = language_model()
    reason = "there is nothing to learn from"
    seen = json.loads(done("validate", recipe, "--json").out)
    said = done("prepare", recipe)
    assert f"train: set apart: pieces.jsonl:1: {reason}" in said.out + said.err
    claims = json.loads(Path("runs/pieces/reports/prepare.json").read_text())["claims"]
    splits = ("train", "validation", "test")
    apart = {split: claims[f"{split}/set apart: {reason}"]["value"] for split in splits}
    kept = {split: claims[f"{split}/examples"]["value"] for split in splits}
    assert (sum(apart.values()), sum(kept.values())) == (EMPTY, PIECES - EMPTY)
    for split in splits:  # validate sees the same, and says it beforehand
        told = seen.get(f"{split} set apart", "0: ")
        assert told.split(": ")[0] == str(apart[split])
    done("run", recipe)
    assert reason in Path("runs/pieces/README.md").read_text()


def test_too_many_are_refused_by_their_own_bound() -> None:
    write_pieces(100, 8)
    recipe = language_model()
    done("validate", recipe)
    for verb in ("validate", "prepare"):
        said = luban(verb, recipe, "prepare.max_empty=0.05")
        assert said.code == 2
        for part in ("8 of 100 records", "a share of 0.05 (prepare.max_empty)", "pieces.jsonl:1"):
            assert part in said.err, said.err
