"""The page of results: what each recipe reached, from the verified runs in ``docs/measured``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from luban.core.report import Claim

DOCS = Path(__file__).parent
MEASURED = DOCS / "measured"
RECIPES = DOCS.parent / "recipes"
_METRICS = 3  #: of each recipe, in the order of its report
_LEVELS = ("test", "samples", "validation")  #: what a model is judged by, the best first


def results_page() -> Iterator[str]:
    """Yield the paragraphs and tables of the page."""
    measured = _by_recipe()
    yield "# What the recipes reach"
    yield (
        "`make results` runs the recipes, lets `luban verify` recompute every number, and keeps "
        "what came of it in `docs/measured`; this page is written from these files "
        "alone. Brackets are 95 % bootstrap intervals over the test examples. Baselines are "
        "measured on the same examples. Minutes are those of training, as the card states them; a "
        "machine that is busy with other work needs more."
    )
    by_task: dict[str, list[str]] = {}
    for name, runs in measured.items():
        by_task.setdefault(runs[0]["task"], []).append(name)
    for task in sorted(by_task):
        yield f"## {task}"
        heads = ("recipe", "model", "seed", "metric", "result", "baselines", "minutes", "from")
        runs = [(name, run) for name in by_task[task] for run in measured[name]]
        yield _table(heads, [row for name, run in runs for row in _rows(name, run)])
    yield from _shortfalls(measured)
    missing = sorted({path.stem for path in RECIPES.glob("*.yaml")} - measured.keys())
    if missing:
        yield "## Not measured"
        names = ", ".join(f"`{name}`" for name in missing)
        yield (
            f"Not yet run since this page is rendered: {names}. Figures of earlier versions, "
            "copied by hand from the cards, stand on "
            "[the page of earlier results](results-earlier.md)."
        )
    yield "## Machines"
    yield from _machines(measured)


def _by_recipe() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(MEASURED.glob("*.json")):
        recipe = path.stem.rpartition("-seed")[0]
        found.setdefault(recipe, []).append(json.loads(path.read_text(encoding="utf-8")))
    return found


def _rows(name: str, run: dict[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each of the first metrics of a run."""
    claims = {key: Claim(**claim) for key, claim in run["quality"].items()}
    time = run["training"].get("training time")
    minutes = "" if time is None else str(Claim(**time)).removesuffix(" minutes")
    first = (f"[{name}](../recipes/{name}.yaml)", run["model"], str(run["seed"]))
    last = (minutes, f"{run['date']}, {run['commit']}")
    for metric, group in list(_metrics(claims))[:_METRICS]:
        others = [
            f"{key.removeprefix(f'{group}/').removesuffix(f'/{metric}')} {_plain(claim)}"
            for key, claim in claims.items()
            if key.endswith(f"/{metric}") and key != f"{group}/{metric}"
        ]
        yield (*first, metric, f"**{claims[f'{group}/{metric}']}**", ", ".join(others), *last)
        first, last = ("", "", ""), ("", "")


def _metrics(claims: dict[str, Claim]) -> Iterator[tuple[str, str]]:
    """Yield each metric of the model itself, with the group it stands in."""
    for group in _LEVELS:
        names = [key.removeprefix(f"{group}/") for key in claims if key.startswith(f"{group}/")]
        found = [name for name in names if "/" not in name]
        yield from ((name, group) for name in found)


def _plain(claim: Claim) -> str:
    return str(Claim(claim.value))


def _shortfalls(measured: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    lines = [
        f"- `{name}`, seed {run['seed']}: {warning}"
        for name, runs in measured.items()
        for run in runs
        for warning in run["warnings"]
    ]
    if lines:
        yield "## Shortfalls"
        yield "What the cards of these runs say in their first lines:"
        yield "\n".join(lines)


def _machines(measured: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    shown = ("processor", "instructions", "cores", "accelerator", "torch", "python", "system")
    found: dict[tuple[str, ...], list[str]] = {}
    for name, runs in measured.items():
        for run in runs:
            facts = tuple(str(run["machine"].get(key, "")) for key in shown)
            found.setdefault(facts, []).append(name)
    rows = [(*facts, ", ".join(dict.fromkeys(names))) for facts, names in found.items()]
    yield _table((*shown, "recipes"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
