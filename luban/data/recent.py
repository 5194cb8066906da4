"""What was made of files, kept while they stay as they are, within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")
_Key: TypeAlias = tuple[str, int, int, Any]


class Recent(Generic[T]):
    """The newest of what was made of files: what was not asked for longest goes first.

    Args:
        limit: Bytes that are kept at most; what is larger than that is made anew each time.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[_Key, tuple[T, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, path: Path, make: Callable[[], tuple[T, int]], also: Any = None) -> T:
        """Return what was made of a file, made now if the file has changed since.

        Args:
            path: The file.
            make: Returns it and about how many bytes it takes.
            also: What else it depends on.
        """
        key = self._key(path, also)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        made, size = make()
        self.keep(path, made, size, also)
        return made

    def keep(self, path: Path, made: T, size: int, also: Any = None) -> None:
        """Keep what was made of a file, if it fits."""
        with self._lock:
            if size > self._limit:
                return
            key = self._key(path, also)
            self._size += size - self._kept.pop(key, (None, 0))[1]
            self._kept[key] = (made, size)
            while self._size > self._limit:
                _, (_, gone) = self._kept.popitem(last=False)
                self._size -= gone

    def found(self, path: Path, also: Any = None) -> T | None:
        """Return what was made of a file as it is now; None if it is not kept."""
        with self._lock:
            kept = self._kept.get(self._key(path, also))
        return kept[0] if kept else None

    def _key(self, path: Path, also: Any) -> _Key:
        stat = path.stat()
        return str(path.absolute()), stat.st_size, stat.st_mtime_ns, also
