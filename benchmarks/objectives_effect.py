"""What do auxiliary objectives and adapters change on SST-2 (English film reviews, two classes)?

A small model from scratch, plain and with each objective; a pretrained encoder with all, few or no
parameters of its body trained. Every variant has the same steps, batches and seeds; the test split
decides, and the mean difference to the plain variant is told with its standard error over seeds.

    python -m benchmarks.objectives_effect --encoder FOLDER   # a Hugging Face BERT directory
    python -m benchmarks.objectives_effect --quick            # one seed, few steps, no encoder

Runs are kept in ``--runs``: started again, it goes on. Needs LUBAN_DATA. Writes
``benchmarks/out/objectives_effect.json`` and prints the tables.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks._common import data_folder, publish
from luban.cli.main import main as luban
from luban.core.files import write_json
from luban.run import Run

MODELS: dict[str, dict[str, Any]] = {
    "bert": {
        "name": "bert", "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 256, "pooling": "mean", "norm_first": True,
    },
    "textcnn": {"name": "textcnn"},
}  # fmt: skip
#: The second task: topics of AG News.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "fgm": {"name": "adversarial", "method": "fgm", "epsilon": 0.02},
    "pgd": {"name": "adversarial", "method": "pgd", "epsilon": 0.02},
    "vat": {"name": "adversarial", "method": "vat", "epsilon": 0.02},
    "denoising": {"name": "denoising", "weight": 0.2},
    "multi-task": {
        "name": "multi-task", "weight": 0.2, "source": {"name": "catalogue", "dataset": "ag-news"},
        "task": {"name": "text-classification", "tokenizer": "char", "max_length": 64},
    },
}  # fmt: skip
#: Those that need no features of the model.
_PLAIN = ("fgm", "pgd", "vat")
ADAPTERS: dict[str, tuple[dict[str, Any] | None, float]] = {
    "full": (None, 5e-5),
    "lora": ({"name": "lora", "r": 8}, 1e-3),
    "frozen": ({"name": "freeze"}, 1e-2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one seed, few steps")
    parser.add_argument("--encoder", type=Path, help="a Hugging Face directory of a BERT")
    parser.add_argument("--runs", type=Path, default=Path("runs/objectives-effect"))
    parser.add_argument("--model", choices=sorted(MODELS), default="bert", help="from scratch")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=430, help="from scratch")
    parser.add_argument("--encoder-steps", type=int, default=216)
    parser.add_argument("--only", nargs="*", default=[], help="variants, such as plain fgm lora")
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.steps, given.encoder_steps, given.runs = 1, 20, 5, given.runs / "quick"
    write_records(given.runs)
    found: dict[str, list[dict[str, float]]] = {}
    for name, recipe in variants(given):
        if not given.only or name in given.only:
            found[name] = [
                measured(given.runs, f"{name}-{seed}", seed, recipe)
                for seed in range(1, given.seeds + 1)
            ]
    rows = [row(name, found) for name in found]
    print(table(rows))
    publish("objectives_effect", {"settings": settings(given), "rows": rows})


def variants(given: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the recipe of each variant; the teacher is the encoder's first run."""
    train = {"max_steps": given.steps, "optimizer": {"name": "adamw", "learning_rate": 1e-3}}
    tokenizer: Any = {"name": "bpe", "vocab_size": 8000}
    if given.encoder:
        tokenizer = {"name": "pretrained", "path": str(given.encoder)}
        for name, (adapter, rate) in ADAPTERS.items():
            optimizer = {"name": "adamw", "learning_rate": rate}
            yield (
                name,
                {
                    "task": {"tokenizer": tokenizer},
                    "model": {"name": "bert", "pretrained": str(given.encoder), "pooling": "mean"},
                    "train": {
                        "max_steps": given.encoder_steps,
                        "optimizer": optimizer,
                        "adapter": adapter,
                    },
                },
            )
    small = {"task": {"tokenizer": tokenizer}, "model": MODELS[given.model]}
    yield "plain", {**small, "train": train}
    fitting = (name for name in OBJECTIVES if name in _PLAIN or given.model == "bert")
    for name in fitting:
        yield name, {**small, "train": {**train, "objectives": [OBJECTIVES[name]]}}
    if given.encoder:
        taught = {"name": "distillation", "teacher": str(given.runs / "full-1")}
        yield "distilled", {**small, "train": {**train, "objectives": [taught]}}


def write_records(folder: Path) -> None:
    """Write the three splits as JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, file in (("train", "train"), ("validation", "dev"), ("test", "test")):
        lines = (data_folder() / "sst2" / f"stsa.binary.{file}").read_text(encoding="utf-8")
        rows = [{"label": line[0], "text": line[2:]} for line in lines.splitlines()]
        text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


def measured(folder: Path, name: str, seed: int, recipe: dict[str, Any]) -> dict[str, float]:
    """Train and evaluate one run, if that has not been done, and return its figures."""
    splits = ("train", "validation", "test")
    source = {"name": "jsonl", "path": {s: str(folder / f"{s}.jsonl") for s in splits}}
    whole = {
        "name": name,
        "seed": seed,
        "runs": str(folder),
        "data": {"source": source, "max_overlap": 1.0},
        "task": {"name": "text-classification", "max_length": 64, **recipe["task"]},
        "model": recipe["model"],
        "train": {
            "batch_size": 32,
            "eval_steps": 72,
            "schedule": {"name": "linear", "warmup_ratio": 0.1},
            **recipe["train"],
        },
        "evaluate": {"bootstrap_rounds": 100, "baselines": False},
    }
    path = folder / f"{name}.yaml"
    write_json(path, whole)  # JSON is YAML
    for verb in ("train", "evaluate"):
        if luban([verb, str(path)]):
            raise SystemExit(f"{verb} {path} failed")
    run = Run.open(folder / name)
    return {
        "accuracy": float(run.report("evaluate").claims["test/accuracy"].value),
        "minutes": float(run.report("train").claims["training time"].value),
    }


def row(name: str, found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return a variant's mean over seeds and its mean difference to what it is compared with."""
    base = found.get("full" if name in ADAPTERS else "plain", [])
    ours = [one["accuracy"] for one in found[name]]
    apart = [a - b["accuracy"] for a, b in zip(ours, base, strict=False)]
    error = statistics.stdev(apart) / len(apart) ** 0.5 if len(apart) > 1 else None
    return {
        "variant": name,
        "accuracy": statistics.mean(ours),
        "each": ours,
        "difference": statistics.mean(apart) if apart else None,
        "standard_error": error,
        "minutes": statistics.mean(one["minutes"] for one in found[name]),
    }


def settings(given: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    kept = {key: str(v) if isinstance(v, Path) else v for key, v in vars(given).items()}
    return {**kept, "runs": None, "objectives": OBJECTIVES, "adapters": ADAPTERS, "models": MODELS}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, as docs/benchmarks.md has them."""
    lines = ["| variant | test accuracy | difference | minutes |", "|---|---:|---:|---:|"]
    for one in rows:
        gap, error = one["difference"], one["standard_error"]
        told = "" if gap is None else f"{100 * gap:+.1f}"
        told += f" ± {100 * error:.1f}" if error else ""
        lines.append(
            f"| {one['variant']} | {100 * one['accuracy']:.1f} % | {told} | {one['minutes']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
