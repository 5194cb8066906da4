"""Records with files encoded on all cores: decoders let other threads run while they work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import TypeVar

from luban.core.contracts import Record
from luban.data.files.records import size_of

_In = TypeVar("_In")
_Out = TypeVar("_Out")

#: Mean bytes of files below which threads wait for each other longer than for the decoder.
_SMALL = 8192


def encode_files(encode: Callable[[Record], _Out], records: Sequence[Record]) -> list[_Out]:
    """Return what ``encode`` makes of each record, in order; an error of one is raised.

    Threads decode large files faster than processes, which must hand arrays over; small ones are
    best decoded one by one (``benchmarks/decoding.py``).
    """
    size = sum(size_of(record)[1] for record in records)
    if size < _SMALL * len(records):
        return [encode(record) for record in records]
    return in_threads(encode, records)


def in_threads(work: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
    """Return what ``work`` makes of each item, in order, a thread for each core."""
    cores = min(cpu_count() or 1, len(items))
    if cores < 2:
        return [work(item) for item in items]
    parts = [items[at::cores] for at in range(cores)]
    with ThreadPoolExecutor(cores, thread_name_prefix="decode") as pool:
        found = list(pool.map(lambda part: [work(item) for item in part], parts))
    return [found[at % cores][at // cores] for at in range(len(items))]
