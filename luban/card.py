"""The model card: README.md of a run, rendered from its reports alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

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
#: What figures show, by the names of their files; others go by the metric that drew them.
CAPTIONS = {
    "examples": "Examples chosen by chance, and what the model makes of them",
    "loss": "The course of training",
    "macro-f1": "Confusion matrix",
    "map@50": "Precision over recall, of each class",
    "samples": "Samples",
    "worst": "The worst mistakes, the worst first",
}

_LONGEST = 600  #: characters of a text that are quoted


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
        f"`luban verify {_place(run)}` recomputes them all.",
        *_warnings(reports),
        "## Intended use",
        recipe.description or "Not stated in the recipe (`description:`).",
    ]
    for name in order:
        parts += [f"## {SECTIONS.get(name, name.capitalize())}", *_section(run, reports[name])]
    parts += ["## Limits", *_limits(reports), "## How to reproduce", _reproduce(run)]
    return "\n\n".join(parts) + "\n"


def tables(claims: Mapping[str, Claim]) -> list[list[list[str]]]:
    """Return claims as tables of text, the first row of each being its header.

    Things measured alike (splits, a model and its baselines) stand side by side; the rest
    follows one claim a line.
    """
    groups: dict[str, dict[str, Claim]] = {}
    for name, claim in claims.items():
        subject, _, leaf = name.rpartition("/")
        groups.setdefault(subject, {})[leaf] = claim
    alike: dict[tuple[str, ...], list[str]] = {}
    for subject, group in groups.items():
        alike.setdefault(tuple(sorted(group)), []).append(subject)
    found, single = [], dict(claims)
    for leaves, subjects in alike.items():
        if len(subjects) > 1:
            found.append(_side_by_side(subjects, groups))
            single = {
                name: claim
                for name, claim in single.items()
                if name not in {f"{subject}/{leaf}" for subject in subjects for leaf in leaves}
            }
    return [*found, _one_a_line(single)] if single else found


def _side_by_side(subjects: list[str], groups: dict[str, dict[str, Claim]]) -> list[list[str]]:
    rows = [["", *subjects, "unit", "n", "how"]]
    for leaf, first in groups[subjects[0]].items():
        column = [groups[subject][leaf] for subject in subjects]
        sizes = list(dict.fromkeys("" if c.n is None else f"{c.n:,}" for c in column))
        values = [str(claim).removesuffix(claim.unit).strip() for claim in column]
        rows.append([leaf, *values, first.unit, " / ".join(sizes), first.note])
    return rows


def _one_a_line(claims: Mapping[str, Claim]) -> list[list[str]]:
    rows = [["", "value", "unit", "n", "how"]]
    for name, claim in claims.items():
        value = str(claim).removesuffix(claim.unit).strip()
        rows.append(
            [name, value, claim.unit, "" if claim.n is None else f"{claim.n:,}", claim.note]
        )
    return rows


def _section(run: Run, report: Report) -> list[str]:
    parts = ["\n".join(f"- {text}" for text in report.details.get("text", ()))]
    parts += [_markdown(rows) for rows in tables(report.claims)]
    for file in report.details.get("figures", ()):
        parts += [f"{_caption(file)}:", f"![{file}]({file})"]
    for index, words in enumerate(report.details.get("examples", ()), 1):
        lines = "\n".join(f"{name}: {_shortened(text)}" for name, text in words.items())
        parts += [f"Example {index}, chosen by chance:", _quoted(lines)]
    for index, sample in enumerate(report.details.get("samples", ()), 1):
        parts += [f"Sample {index}:", _quoted(sample)]
    return [part for part in parts if part]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def _caption(file: str) -> str:
    stem = PurePosixPath(file).stem
    words = stem.replace("-", " ").replace("_", " ")
    return CAPTIONS.get(stem, words[:1].upper() + words[1:])


def _warnings(reports: Mapping[str, Report]) -> list[str]:
    """Return what a reader must know before all else, as a quotation in Markdown."""
    told = [text for report in reports.values() for text in report.details.get("warnings", ())]
    return ["\n>\n".join(f"> **Note:** {text}" for text in told)] if told else []


def _markdown(rows: list[list[str]]) -> str:
    used = [i for i in range(len(rows[0])) if i == 0 or any(row[i] for row in rows[1:])]
    lines = [[row[i].replace("|", "\\|") for i in used] for row in rows]
    lines.insert(1, [":---" if i == 0 else "---:" for i in used])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


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


def _place(run: Run) -> str:
    """Return where the recipe puts the run, so that a moved run keeps its card."""
    return f"{run.recipe.runs}/{run.recipe.name}"


def _reproduce(run: Run) -> str:
    manifest = run.read_json("manifest.json", "data", "environment")
    environment = ", ".join(f"{name} {value}" for name, value in manifest["environment"].items())
    return (
        f"```sh\nluban run {_place(run)}/recipe.yaml   # the same recipe, from data to card\n"
        f"luban verify {_place(run)}             # recompute every number above\n```\n\n"
        f"Data digest `{manifest['data']}`. Made with {environment}."
    )
