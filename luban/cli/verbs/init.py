"""Write a commented first recipe for a file or folder of data."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from luban.core.errors import LubanError
from luban.core.files import write_atomic
from luban.data.guess import guess

#: Up to so many characters: (context, hidden size, layers, heads, batch size, steps).
SIZES = (
    (3_000_000, (256, 128, 4, 2, 16, 1500)),
    (30_000_000, (256, 256, 6, 4, 32, 4000)),
    (float("inf"), (512, 512, 8, 8, 64, 10_000)),
)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("path", help="a file, folder or glob")
    parser.add_argument("--output", "-o", help="the recipe file; <name of the data>.yaml")
    parser.add_argument("--force", action="store_true", help="overwrite the recipe file")


def perform(args: argparse.Namespace) -> int:
    """Look at the data, write the recipe and say what was found."""
    found = guess(args.path)
    name = re.sub(r"[^\w.-]+", "-", Path(args.path).name.split(".")[0]).strip("-") or "model"
    output = Path(args.output or f"{name}.yaml")
    if output.exists() and not args.force:
        raise LubanError(
            "there is a file by that name.", where=output, fix="--output FILE, or --force."
        )
    text = recipe_for(name, found["source"], found["facts"])
    write_atomic(output, text)
    if args.json:
        print(json.dumps({"recipe": str(output), **found}, ensure_ascii=False))
        return 0
    lines = [f"{key:<12} {_shown(value)}" for key, value in found["facts"].items()]
    lines += ["", f"Wrote {output}. Next:", f"  luban validate {output}", f"  luban run {output}"]
    Console(highlight=False, markup=False).print("\n".join(lines), soft_wrap=True)
    return 0


def recipe_for(name: str, source: dict[str, Any], facts: dict[str, Any]) -> str:
    """Return a recipe of under 30 lines for text data."""
    characters = facts["characters"]
    shape = next(shape for bound, shape in SIZES if characters < bound)
    context, hidden, layers, heads, batch, steps = shape
    chinese = facts["scripts"].get("cjk", 0) > 0.3
    small = characters < SIZES[0][0]
    if small and not chinese:
        tokenizer = "char  # or {name: bpe, vocab_size: 2048}: longer units, faster text"
    else:
        tokenizer = f"{{name: bpe, vocab_size: {6000 if small else 16_000}}}  # or char"
    described = yaml.safe_dump(
        source, default_flow_style=True, width=1000, allow_unicode=True, sort_keys=False
    ).strip()
    records = f"{facts['records']:,} records, {characters:,} characters"
    return f"""\
# {records} ({facts["format"]}); luban validate checks this file, luban run does it all.
name: {name}
description: ""  # what the model is for: the first section of its card
seed: 0
data:
  source: {described}
  cleaners: [unicode, exact-duplicates]
  split: {{validation: 0.05, test: 0.05}}  # by: auto; record, file, group or position
task:
  name: text-generation
  context: {context}  # tokens the model sees at once
  tokenizer: {tokenizer}
model:
  name: gpt  # or rnn
  hidden_size: {hidden}
  num_hidden_layers: {layers}
  num_attention_heads: {heads}
  zero_init_output: true
train:
  max_steps: {steps}  # or num_train_epochs, max_tokens, max_minutes
  batch_size: {batch}
  optimizer: {{name: muon, learning_rate: 0.02}}  # or adamw with 0.001
  schedule: warmup-stable-decay
  eval_steps: {max(50, steps // 10)}
"""


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
