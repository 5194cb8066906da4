"""Records with files, encoded by several threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from luban.core.errors import DataError
from luban.data.media import parallel_encoding
from luban.data.media.media_files import Media
from luban.data.media.parallel_encoding import encode_files


def _records(size: int, count: int = 7) -> list[dict[str, object]]:
    return [{"image": Media(f"{at}.jpg", bytes(size)), "at": at} for at in range(count)]


@pytest.mark.parametrize("size", [10, 100_000])
def test_order_is_kept(size: int) -> None:
    assert encode_files(lambda record: record["at"], _records(size)) == list(range(7))


def test_large_files_are_shared_among_threads_and_small_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parallel_encoding, "cpu_count", lambda: 3)
    at_once = threading.Barrier(3, timeout=20)

    def encode(record: object) -> int:
        at_once.wait()  # passes only if three threads come together
        return threading.get_ident()

    assert len(set(encode_files(encode, _records(100_000, 3)))) == 3
    here = encode_files(lambda record: threading.get_ident(), _records(10, 3))
    assert set(here) == {threading.get_ident()}


def test_an_error_in_a_thread_is_raised() -> None:
    def encode(record: Mapping[str, object]) -> int:
        if record["at"] == 5:
            raise DataError("no label.", where="5.jpg")
        return 0

    with pytest.raises(DataError, match="no label"):
        encode_files(encode, _records(100_000))


def test_nothing_makes_nothing() -> None:
    assert encode_files(lambda record: 1, []) == []
