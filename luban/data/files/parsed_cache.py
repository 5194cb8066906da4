"""What was made of files, kept while they stay as they are, within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")
_Key: TypeAlias = tuple[str, int, int]


class Recent(Generic[T]):
    """The newest of what was made of files: what was not asked for longest goes first.

    Args:
        limit: Bytes that are kept at most; what is larger than that is made anew each time.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[_Key, tuple[T, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, path: Path, make: Callable[[], tuple[T, int]]) -> T:
        """Return what was made of a file, made now if the file has changed since.

        Args:
            path: The file.
            make: Returns it and about how many bytes it takes.
        """
        key = _key(path)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        made, size = make()
        if size <= self._limit:
            with self._lock:
                self._size += size - self._kept.pop(key, (None, 0))[1]
                self._kept[key] = (made, size)
                while self._size > self._limit:
                    _, (_, gone) = self._kept.popitem(last=False)
                    self._size -= gone
        return made


def _key(path: Path) -> _Key:
    stat = path.stat()
    return str(path.absolute()), stat.st_size, stat.st_mtime_ns
