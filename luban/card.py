"""The model card: README.md of a run, rendered from its reports alone."""

from __future__ import annotations

from collections.abc import Mapping

from luban.core.report import Claim, Report
from luban.run import Run

#: Section titles in the order of a model's life; other stages follow under their own name.
SECTIONS = {
    "prepare": "Data",
    "train": "Training",
    "evaluate": "Quality",
    "explain": "Explanation",
    "audit": "Privacy",
    "compress": "Compression",
    "export": "Deployment",
}


def render(run: Run) -> str:
    """Return the card as Markdown; the same reports always give the same text."""
    reports = {name: report for name, report in run.reports().items() if name != "card"}
    order = [name for name in SECTIONS if name in reports]
    order += [name for name in sorted(reports) if name not in SECTIONS]
    recipe = run.recipe
    parts = [
        f"# {recipe.name}",
        f"A `{recipe.model.name}` model for `{recipe.task.name}`, made with Luban. Every number "
        "below is evidence: it stands in `reports/` with the command that recomputes it, and "
        f"`luban verify {run.path}` recomputes them all.",
        "## Intended use",
        recipe.description or "Not stated in the recipe (`description:`).",
    ]
    for name in order:
        parts += [f"## {SECTIONS.get(name, name.capitalize())}", *_section(run, reports[name])]
    parts += ["## Limits", *_limits(reports), "## How to reproduce", _reproduce(run)]
    return "\n\n".join(parts) + "\n"


def _section(run: Run, report: Report) -> list[str]:
    parts = [str(text) for text in report.details.get("text", ())]
    parts.append(_table(report.claims))
    for file in report.details.get("figures", ()):
        parts.append(f"![{file}]({file})")
    for index, sample in enumerate(report.details.get("samples", ()), 1):
        parts += [f"Sample {index}:", _quoted(sample)]
    return parts


def _table(claims: Mapping[str, Claim]) -> str:
    rows = ["| claim | value | 95 % interval | unit | n | how |", "|---|---:|---|---|---:|---|"]
    for name, claim in claims.items():
        value, _, interval = str(claim).removesuffix(claim.unit).strip().partition(" [")
        size = "" if claim.n is None else f"{claim.n:,}"
        cells = (name, value, f"[{interval}" if interval else "", claim.unit, size, claim.note)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _quoted(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text.strip()}\n{fence}"


def _limits(reports: Mapping[str, Report]) -> list[str]:
    lines = [str(text) for report in reports.values() for text in report.details.get("limits", ())]
    missing = [title for name, title in SECTIONS.items() if name not in reports]
    if missing:
        lines.append(f"Not measured for this model: {', '.join(missing).lower()}.")
    return ["\n".join(f"- {line}" for line in lines)]


def _reproduce(run: Run) -> str:
    manifest = run.read_json("manifest.json")
    environment = ", ".join(f"{name} {value}" for name, value in manifest["environment"].items())
    return (
        f"```sh\nluban run {run.path}/recipe.yaml   # the same recipe, from data to card\n"
        f"luban verify {run.path}            # recompute every number above\n```\n\n"
        f"Data digest `{manifest['data']}`. Made with {environment}."
    )
