"""Encoded examples on disk: flat arrays, memory-mapped, written whole or not at all.

A store is a folder: for each field ``<field>.npy`` (all examples joined end to end) and
``<field>.offsets.npy`` (where each example starts; absent for scalars), ``_rows.npy`` (where
each example came from), and ``meta.json``, without which nothing is read. It holds the SHA-256
of every other file. They are compared when a store is opened, unless ``checked.json`` says that
this was done and that no file was written since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property, partial
from os import cpu_count
from pathlib import Path
from typing import IO, Any, Self, TypeAlias

import numpy as np

from luban.core.contracts import Example, Record, Task
from luban.core.errors import ContractError, DataError, UnfitError, UnknownLabelError
from luban.core.files import folder_atomic, sha256_of, write_json
from luban.core.yaml_json import json_of
from luban.data.checks.set_apart import Apart, empty, usable
from luban.data.files.records import size_of
from luban.data.media.parallel_encoding import encode_files
from luban.data.store_integrity import damaged_file, digest_of_meta, remember

Array: TypeAlias = "np.ndarray[Any, Any]"
#: Called with records, and with characters and bytes of files, encoded so far.
Progress: TypeAlias = Callable[[int, int], None]
_Made: TypeAlias = "list[Example | DataError]"

FORMAT = 5
_BATCH_RECORDS = 4096
#: Characters per encoding job: enough pieces for every core, bounded memory on any machine.
_BATCH_CHARACTERS = min(max(4, 2 * (cpu_count() or 1)), 32) << 18


class Store:
    """The encoded examples of one split (``core.contracts.Examples``), never loaded whole.

    Args:
        folder: What ``build`` wrote.
        thorough: Compare all digests, also where that was done before.

    Raises:
        DataError: if the folder is not a whole store of this format; it names the file.
    """

    def __init__(self, folder: Path, *, thorough: bool = False) -> None:
        self.folder = folder
        damaged = "meta.json"
        try:
            self.meta = json_of((folder / "meta.json").read_text(encoding="utf-8"))
            if self.meta["format"] == FORMAT and self.meta["self"] == digest_of_meta(self.meta):
                damaged = damaged_file(folder, self.meta["digests"], thorough=thorough)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        if damaged:
            raise DataError(
                "this is not a whole store of encoded examples.",
                where=folder / damaged,
                fix="delete the folder and prepare again.",
            )

    def __len__(self) -> int:
        return int(self.meta["count"])

    def __getitem__(self, index: int, /) -> Example:
        if not -len(self) <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        index %= len(self)
        return {name: self._one(name, index) for name in self.meta["fields"]}

    def flat(self, name: str) -> Array:
        """Return one field of all examples joined end to end, memory-mapped."""
        return self._arrays[name][0]

    def lengths(self, name: str) -> Array:
        """Return the length of one field in every example, int64 (N,); scalars have 1."""
        offsets = self._arrays[name][1]
        return np.ones(len(self), np.int64) if offsets is None else np.diff(offsets)

    @cached_property
    def apart(self) -> Apart:
        """The records of which no example could be made, or one that teaches nothing."""
        found = self.meta["apart"]
        first = {reason: UnfitError(**error) for reason, error in found["first"].items()}
        return Apart(Counter(found["reasons"]), first, list(found["lines"]))

    def where(self, index: int) -> str:
        """Return where an example came from: ``file:row``."""
        prefix, row = self._rows[index].tolist()
        name = str(self.meta["prefixes"][prefix])
        return f"{name}:{row}" if row >= 0 else name

    def _one(self, name: str, index: int) -> Array:
        flat, offsets = self._arrays[name]
        if offsets is None:
            return np.asarray(flat[index])
        return np.asarray(flat[offsets[index] : offsets[index + 1]])

    @cached_property
    def _arrays(self) -> dict[str, tuple[Array, Array | None]]:
        return {
            name: (self._map(name), None if scalar else self._map(f"{name}.offsets"))
            for name, scalar in self.meta["fields"].items()
        }

    @cached_property
    def _rows(self) -> Array:
        return self._map("_rows")

    def _map(self, name: str) -> Array:
        array: Array = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return array


def build(
    task: Task,
    records: Iterable[Record],
    folder: Path,
    progress: Progress | None = None,
    key: str = "",
) -> Store:
    """Encode records into a new store and return it; memory stays bounded on any amount.

    Args:
        task: What encodes; it has learned.
        records: The records, streamed once; those that the source set apart are counted.
        folder: Where the store appears when it is whole; absent or empty.
        progress: Told how far it is.
        key: Kept in ``meta.json``: the content key the folder goes by.

    Raises:
        DataError: if there is no record, or none can be encoded.
        ContractError: if examples differ in fields, dtype or trailing shape.
        CapacityError: if the disk is full.
    """
    with folder_atomic(folder) as aside, _Writer(aside) as writer:
        done, characters, size = 0, 0, 0
        apart = Apart()
        for batch, examples in encoded_batches(task, usable(records, apart), apart):
            if examples:
                writer.add(examples, [str(record.get("_where", "")) for record in batch])
            done += len(batch)
            for record in batch:
                one = size_of(record)
                characters, size = characters + one[0], size + one[1]
            if progress is not None:
                progress(done, characters + size)
        # What labels and file names are beside files is not worth a number.
        writer.finish(key, apart, **({"bytes": size} if size else {"characters": characters}))
    return Store(folder)


def encoded_batches(
    task: Task,
    records: Iterable[Record],
    apart: Apart,
    unknown: Apart | None = None,
) -> Iterator[tuple[Sequence[Record], list[Example]]]:
    """Yield batches of the records that can be encoded with their examples, in order.

    Two jobs run ahead in threads: tokenizers release the lock, so that one encodes on all
    cores while the other turns lists into arrays and this one reads and writes.

    Args:
        task: It has learned.
        records: What is encoded.
        apart: Takes what is wrong with the records that cannot be encoded, or teach nothing.
        unknown: Takes what concerns labels that no training record has.

    Raises:
        UnknownLabelError: for such a label, if there is no ``unknown``.
    """
    waiting: list[tuple[Sequence[Record], Future[_Made]]] = []
    with ThreadPoolExecutor(2, thread_name_prefix="encode") as pool:
        try:
            for batch in _batches(records):
                waiting.append((batch, pool.submit(_made, task, batch)))
                if len(waiting) > 2:
                    yield _done(task, *waiting.pop(0), apart, unknown)
            while waiting:
                yield _done(task, *waiting.pop(0), apart, unknown)
        finally:
            for _, future in waiting:
                future.cancel()


def _done(
    task: Task,
    batch: Sequence[Record],
    future: Future[_Made],
    apart: Apart,
    unknown: Apart | None,
) -> tuple[Sequence[Record], list[Example]]:
    """Return a batch with its examples, without the records that are set apart.

    Whatever is wrong with one record concerns it alone: how many are bearable is for the stage to
    say that asked for them.
    """
    failed: DataError | None = None
    made: Iterable[Example | DataError]
    try:
        made = future.result()
    except DataError as error:
        failed, made = error, encode_files(partial(_tried, task), batch)
    good, examples = list[Record](), list[Example]()
    for record, found in zip(batch, made, strict=True):
        if isinstance(found, UnknownLabelError):
            if unknown is None:
                raise found from None
            unknown.add(UnfitError.of(found, str(record.get("_where", ""))))
        elif isinstance(found, DataError):
            apart.add(UnfitError.of(found, str(record.get("_where", ""))))
        else:
            examples.append(found)
            good.append(record)
    if failed is not None and len(good) == len(batch):
        raise failed
    return good, examples


def _made(task: Task, batch: Sequence[Record]) -> _Made:
    """Return the example of each record, or that it teaches nothing."""
    return [_taught(task, example) for example in task.encode_batch(batch)]


def _tried(task: Task, record: Record) -> Example | DataError:
    """Return the example of a record, or what is wrong with it."""
    try:
        return _taught(task, task.encode(record))
    except DataError as error:
        return error


def _taught(task: Task, example: Example) -> Example | DataError:
    return example if task.target_summary(example).count else empty("")


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += sum(size_of(record))
        if size >= _BATCH_CHARACTERS or len(batch) >= _BATCH_RECORDS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Writer:
    """Appends examples to the files of a store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fields: dict[str, _Growing] = {}
        self._offsets: dict[str, _Growing] = {}
        self._open = ExitStack()
        self._rows = self._file("_rows", np.dtype(np.int64), (2,))
        self._prefixes: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def add(self, examples: Sequence[Example], wheres: Sequence[str]) -> None:
        if not self._fields:
            self._start(examples[0])
        for example, where in zip(examples, wheres, strict=True):
            if example.keys() != self._fields.keys():
                raise ContractError(
                    "examples must have the same fields.",
                    where=where,
                    expected=", ".join(self._fields),
                    got=", ".join(example),
                )
        for name, file in self._fields.items():
            arrays = [example[name] for example in examples]
            if name in self._offsets:
                lengths = np.array([len(array) for array in arrays])
                self._offsets[name].append([file.count + np.cumsum(lengths)])
                file.append(arrays, wheres)
            else:
                file.append([array[np.newaxis] for array in arrays], wheres)
        self._rows.append([np.array([self._row(where) for where in wheres])])

    def _row(self, where: str) -> tuple[int, int]:
        name, _, row = where.rpartition(":")
        name, row = (name, row) if row.isdecimal() else (where, "-1")
        return self._prefixes.setdefault(name, len(self._prefixes)), int(row)

    def finish(self, key: str, apart: Apart, **totals: int) -> None:
        if not self._rows.count and apart:
            raise next(iter(apart.first.values()))
        if not self._rows.count:
            raise DataError(
                "there is no record to encode: this split is empty.",
                where="data.split",
                fix="give it a larger share, or loosen the cleaners.",
            )
        for file in (self._rows, *self._fields.values(), *self._offsets.values()):
            file.finish()
        digests = {path.name: sha256_of(path) for path in sorted(self._folder.glob("*.npy"))}
        meta = {
            "format": FORMAT,
            "key": key,
            "count": self._rows.count,
            "fields": {name: name not in self._offsets for name in self._fields},
            "totals": totals,
            "apart": {
                "reasons": dict(apart.reasons),
                "first": {reason: error.to_dict() for reason, error in apart.first.items()},
                "lines": apart.lines,
            },
            "digests": digests,
            "prefixes": list(self._prefixes),
        }
        write_json(self._folder / "meta.json", {**meta, "self": digest_of_meta(meta)})
        remember(self._folder, digests)

    def _start(self, example: Example) -> None:
        for name, array in example.items():
            self._fields[name] = self._file(name, array.dtype, array.shape[1:])
            if array.ndim:
                self._offsets[name] = self._file(f"{name}.offsets", np.dtype(np.int64), ())
                self._offsets[name].append([np.zeros(1, np.int64)])

    def _file(self, name: str, dtype: np.dtype[Any], rest: tuple[int, ...]) -> _Growing:
        if dtype.hasobject:
            raise ContractError(f"the field {name} is an array of objects; encode numbers.")
        path = self._folder / f"{name}.npy"
        file = self._open.enter_context(path.open("wb", buffering=1 << 20))
        return _Growing(file, name, dtype, rest)


class _Growing:
    """A ``.npy`` file that grows along axis 0; its header is made right at the end."""

    def __init__(
        self, file: IO[bytes], name: str, dtype: np.dtype[Any], rest: tuple[int, ...]
    ) -> None:
        self._file, self._name, self._dtype, self._rest = file, name, dtype, rest
        self.count = 0
        self._header()

    def append(self, arrays: Sequence[Array], wheres: Sequence[str] = ()) -> None:
        for index, array in enumerate(arrays):
            if array.dtype != self._dtype or array.shape[1:] != self._rest:
                raise ContractError(
                    f"the field {self._name} must have one dtype and shape in all examples.",
                    where=wheres[index] if wheres else "",
                    expected=f"{self._dtype} (n, {', '.join(map(str, self._rest))})",
                    got=f"{array.dtype} {array.shape}",
                )
        joined = np.concatenate(arrays)
        self._file.write(joined.tobytes())
        self.count += len(joined)

    def finish(self) -> None:
        self._file.seek(0)
        self._header()
        self._file.close()

    def _header(self) -> None:
        # numpy pads headers so that a longer axis 0 still fits in the same bytes.
        shape = (self.count, *self._rest)
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
