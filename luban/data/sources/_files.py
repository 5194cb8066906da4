"""What sources that read files share: paths, folders, globs and given splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from glob import escape
from itertools import chain, zip_longest
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import BeforeValidator, Field

from luban.core.contracts import Record, Source
from luban.core.errors import DataError
from luban.data.files.reading import bare_suffix, expand, files_in
from luban.data.files.split_names import SPLITS, check_splits

Patterns: TypeAlias = str | tuple[str, ...]


def _numbers_too(values: Any) -> Any:
    """Let YAML's ``{0: negative}`` be written without quotes, but not ``{0: true}``.

    Raises:
        ValueError: if a meaning is true or false: it would become 1 or 0.
    """
    if not isinstance(values, dict):
        return values
    for name, table in values.items():
        if isinstance(table, dict) and any(isinstance(item, bool) for item in table.values()):
            raise ValueError(f'{name}: write "true" or "false" in quotes: a meaning is a text')
    return {
        name: _by_text(table) if isinstance(table, dict) else table
        for name, table in values.items()
    }


def _by_text(table: dict[Any, Any]) -> dict[str, Any]:
    """Return a table with its keys as texts: 1 and "1" are one value, and cannot mean two."""
    found: dict[str, Any] = {}
    for key, item in table.items():
        if str(key) in found:
            raise ValueError(f"the value {str(key)!r} stands twice, as {key!r} and as text")
        found[str(key)] = item
    return found


#: Field to value to what it means.
Meanings: TypeAlias = Annotated[
    dict[str, dict[str, str | int | float]], BeforeValidator(_numbers_too)
]


class FileSource(Source, ABC):
    """A source whose records come from files, one file after the other."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    path: Patterns | dict[str, Patterns] = Field(
        union_mode="left_to_right",
        description=(
            "A file, a folder, a glob or several of them; or a table from split (`train`, "
            "`validation`, `test`) to these."
        ),
    )

    def splits(self) -> tuple[str, ...]:
        """Return the splits that ``path`` names; a plain path is all ``train``."""
        if not isinstance(self.path, dict):
            return ("train",)
        check_splits(self.path)
        return tuple(split for split in SPLITS if split in self.path)

    def read(self, split: str) -> Iterator[Record]:
        """Yield the records of a split, file by file."""
        for path in self._files(split):
            yield from self.read_file(path)

    def files(self) -> tuple[Path, ...]:
        """Return the files of all splits."""
        return tuple(path for split in self.splits() for path in self._files(split))

    def facts(self) -> Mapping[str, str]:
        """Return which files of its folders were left out, if any were."""
        tables = self.path if isinstance(self.path, dict) else {"": self.path}
        patterns = [(p,) if isinstance(p, str) else p for p in tables.values()]
        folders = [Path(p).expanduser() for p in chain.from_iterable(patterns)]
        found = dict.fromkeys(chain.from_iterable(files_in(f) for f in folders if f.is_dir()))
        return skipped(found.keys() - set(self.files())) if found else {}

    @abstractmethod
    def read_file(self, path: Path) -> Iterator[Record]:
        """Yield the records of one file; ``SetApart`` in place of one that cannot be used."""

    def _files(self, split: str) -> tuple[Path, ...]:
        patterns = self.path[split] if isinstance(self.path, dict) else self.path
        return expand(patterns, self.suffixes)


def skipped(files: Collection[Path]) -> Mapping[str, str]:
    """Return the files that are left out as a fact of the data; empty if there are none."""
    if not files:
        return {}
    kinds = Counter(path.suffix.lower() or "without suffix" for path in files)
    said = ", ".join(f"{times:,} {kind}" for kind, times in kinds.most_common(8))
    return {"skipped files": f"{said} ({min(files)})"}


def labelled(patterns: Patterns, suffixes: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Yield (label, file) of folders that hold a folder per label; the labels take turns.

    Raises:
        DataError: if a path is no folder, or a file does not lie in a label's folder.
    """
    files: dict[str, list[Path]] = defaultdict(list)
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        root = Path(pattern).expanduser()
        if root.is_file():
            raise DataError("this is a file, not a folder of labels.", where=root)
        for path in _texts(pattern, root, suffixes):
            inside = path.relative_to(root).parts if root.is_dir() else (path.parent.name, path)
            if len(inside) < 2:
                raise DataError(
                    "this file lies in no label's folder.",
                    where=path,
                    expected=f"{root}/LABEL/{path.name}",
                )
            files[str(inside[0])].append(path)
    turns = ([(label, path) for path in paths] for label, paths in files.items())
    return (pair for pair in chain.from_iterable(zip_longest(*turns)) if pair)


def _texts(pattern: str, root: Path, suffixes: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the files of a folder that end so; where none does, all of them."""
    if root.is_dir() and not any(bare_suffix(path) in suffixes for path in root.rglob("*")):
        return expand(f"{escape(str(root))}/**", ())
    return expand(pattern, suffixes)
