"""Where the data of a run come from, under which licence, and how they were divided, in words."""

from __future__ import annotations

from pathlib import Path

from luban.data.dataset import Data, content_of

_FILES = 5  #: files that are named with their digests
_DIGITS = 12


def provenance(data: Data) -> list[str]:
    """Return sentences about source, files, licence and split."""
    source, facts = data.source, dict(data.source.facts())
    files = source.files()
    named = [f"`{_shown(path)}` ({content_of(path)[:_DIGITS]})" for path in files[:_FILES]]
    more = f" and {len(files) - _FILES:,} more" if len(files) > _FILES else ""
    told = f"{', '.join(named)}{more} (in brackets, the first digits of the SHA-256)"
    lines = [f"source: `{source.name}`: {told if files else 'no files'}"]
    licence = facts.pop("licence", "not stated by the source")
    lines.append(f"licence: {licence}")
    lines += [f"{key}: {value}" for key, value in facts.items()]
    lines.append(f"split: {data.split_rule()}")
    if data.cleaners:
        cleaners = ", ".join(f"`{cleaner.name}`" for cleaner in data.cleaners)
        lines.append(f"cleaned before the split by: {cleaners}")
    return lines


def _shown(path: Path) -> str:
    """Return a path without the folders of whoever made the run."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return path.name if path.is_absolute() else str(path)
