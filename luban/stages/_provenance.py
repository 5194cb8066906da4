"""Where the data of a run come from, under which licence, and how they were divided, in words."""

from __future__ import annotations

from pathlib import Path

from luban.data.dataset import Data, content_of
from luban.data.split import By, Split

_FILES = 5  #: files that are named with their digests
_DIGITS = 12

#: How records are dealt out, for a reader who has not read the reference.
_DEALT = {
    "position": "by position: the last characters of the running text are held out",
    "order": "in order: the last records are held out",
    "stride": "by stride: every n-th record is held out",
    "record": "by a hash of each record; equal records stay together",
    "file": "by file: all records of a file stay together",
    "group": "by a hash of the group; all records of a group stay together",
}


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
    lines.append(f"split: {_split(data)}")
    if data.cleaners:
        cleaners = ", ".join(f"`{cleaner.name}`" for cleaner in data.cleaners)
        lines.append(f"cleaned before the split by: {cleaners}")
    return lines


def _split(data: Data) -> str:
    by, splits = data.split_by(), data.available_splits()
    if by != "given":
        return _dealt(data.split, by, splits)
    given = data.source.splits()
    told = f"as the source gives them: {', '.join(given)}"
    if missing := [split for split in splits if split not in given]:
        how, by = data.dealing()
        told += f"; {_dealt(how, by, tuple(missing))}, out of train"
    return told


def _dealt(split: Split, by: By, splits: tuple[str, ...]) -> str:
    shares = [f"{getattr(split, name)} for {name}" for name in splits if name != "train"]
    told = f"{_DEALT.get(by, by)} ({', '.join(shares) or 'nothing is held out'}"
    if split.key:
        told += f"; group: the field `{split.key}`"
    if by in ("record", "file", "group"):
        told += f"; salt of the hash: {split.salt!r}"
    return told + ")"


def _shown(path: Path) -> str:
    """Return a path without the folders of whoever made the run."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return path.name if path.is_absolute() else str(path)
