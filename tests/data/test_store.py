"""The store: what goes in comes out, memory-mapped; half a store or a stale one is never read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luban.core import files
from luban.core.code_files import encoding_code
from luban.core.contracts import Example, Record, TargetSummary, Tokenizer
from luban.core.errors import CapacityError, ContractError, DataError
from luban.data import cache, store
from luban.data.cache import cache_key, encoded
from luban.data.dataset import Data
from luban.data.store import Store, build
from tests.data.toy import ToyTask, toy


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUBAN_CACHE", str(tmp_path / "cache"))


class Shaped(ToyTask):
    """Examples are whatever the records hold."""

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        return [record["example"] for record in records]

    def target_summary(self, example: Example) -> TargetSummary:
        return TargetSummary(1)


def shaped(*examples: Any) -> tuple[Shaped, list[dict[str, Any]]]:
    task = Shaped(tokenizer=toy(["a"]).tokenizer)
    return task, [{"example": e, "_where": f"f.txt:{i}"} for i, e in enumerate(examples, 1)]


TEXTS = st.lists(st.text("ab汉\n", min_size=1, max_size=9), min_size=1, max_size=30)


@given(texts=TEXTS, most=st.integers(1, 40))
@settings(max_examples=40)
def test_what_goes_in_comes_out(
    texts: list[str], most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("store") / "s"
    task = toy(["ab汉\n"])
    records = [{"text": text, "_where": f"f:{i}"} for i, text in enumerate(texts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_BATCH_CHARACTERS", most)
        found = build(task, iter(records), folder)
    assert len(found) == len(texts)
    for index, (example, record) in enumerate(zip(found, records, strict=True)):  # type: ignore[call-overload]
        expected = task.encode(record)
        assert example.keys() == expected.keys()
        for name, array in expected.items():
            assert np.array_equal(example[name], array)
            assert example[name].dtype == array.dtype
            assert example[name].shape == array.shape
        assert found.where(index) == record["_where"]
    flat = found.flat("ids")
    assert flat.tolist() == [i for text in texts for i in task.tokenizer.encode(text)]
    assert isinstance(flat, np.memmap) or flat.size == 0
    assert found.meta["totals"] == {"characters": sum(map(len, texts))}


def test_images_and_scalars_keep_their_shape(tmp_path: Path) -> None:
    images = [np.arange(n * 6, dtype=np.uint8).reshape(n, 2, 3) for n in (2, 0, 5)]
    examples = [{"pixels": p, "label": np.array(i, np.int16)} for i, p in enumerate(images)]
    task, records = shaped(*examples)
    found = build(task, records, tmp_path / "s")
    assert [found[i]["pixels"].shape for i in (0, 1, -1)] == [(2, 2, 3), (0, 2, 3), (5, 2, 3)]
    assert np.array_equal(found[2]["pixels"], images[2])
    assert [int(found[i]["label"]) for i in range(3)] == [0, 1, 2]
    assert found[0]["label"].shape == ()
    assert found.flat("pixels").shape == (7, 2, 3)
    with pytest.raises(IndexError):
        found[3]


def test_wheres_without_a_row(tmp_path: Path) -> None:
    task, records = shaped({"x": np.zeros(1)}, {"x": np.zeros(1)})
    records[0]["_where"], records[1]["_where"] = "pydoc_data.topics: assert", ""
    found = build(task, records, tmp_path / "s")
    assert [found.where(i) for i in range(2)] == ["pydoc_data.topics: assert", ""]


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"y": np.zeros(2)}, "same fields"),
        ({"x": np.zeros(2, np.float32)}, "one dtype"),
        ({"x": np.zeros((2, 2))}, "one dtype and shape"),
    ],
)
def test_unequal_examples_are_refused(tmp_path: Path, second: Any, said: str) -> None:
    task, records = shaped({"x": np.zeros(2)}, second)
    with pytest.raises(ContractError, match=said) as error:
        build(task, records, tmp_path / "s")
    assert error.value.where == "f.txt:2"
    assert list(tmp_path.iterdir()) == []


def test_objects_and_empty_splits_are_refused(tmp_path: Path) -> None:
    task, records = shaped({"x": np.array(["a"], dtype=object)})
    with pytest.raises(ContractError, match="array of objects"):
        build(task, records, tmp_path / "s")
    with pytest.raises(DataError, match="this split is empty"):
        build(task, [], tmp_path / "s")


def test_progress_reaches_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_BATCH_CHARACTERS", 4)
    seen: list[tuple[int, int]] = []
    build(toy(["ab"]), [{"text": "ab"}] * 9, tmp_path / "s", lambda *done: seen.append(done))
    assert seen[-1] == (9, 18)
    assert seen == sorted(seen)
    assert len(seen) > 3


def test_what_the_source_sets_apart_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a"}\n' * 3 + "oops")
    data = Data.from_dict(
        {"source": {"name": "jsonl", "path": str(path)}, "split": {"validation": 0.0, "test": 0.0}}
    )
    built = build(toy(["a"]), data.entries("train"), tmp_path / "s")
    assert (len(built), built.apart.reasons) == (3, {"this line is not JSON": 1})
    assert built.apart.lines[0].startswith(f"{path}:4: this line is not JSON")


def test_errors_of_a_source_without_any_record_come_through(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("oops\n")
    data = Data.from_dict(
        {"source": {"name": "jsonl", "path": str(path)}, "split": {"validation": 0.0, "test": 0.0}}
    )
    with pytest.raises(DataError, match=r"x\.jsonl:1: this line is not JSON"):
        build(toy(["a"]), data.entries("train"), tmp_path / "s")


def test_errors_of_the_encoder_come_through(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        build(toy(["ab"]), [{"text": "ab"}, {"txt": "ab"}], tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_the_row_that_cannot_be_encoded_is_named(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_dict({"name": "char", "unknown": "error"}).learn(["ab"])
    records = [{"text": t, "_where": f"f.txt:{i}"} for i, t in enumerate(["ab", "abc", "d"], 1)]
    task = ToyTask(tokenizer=tokenizer)
    built = build(task, records, tmp_path / "s")
    assert [built.where(i) for i in range(len(built))] == ["f.txt:1"]
    assert [line.split(": ")[0] for line in built.apart.lines] == ["f.txt:2", "f.txt:3"]
    assert len(built.apart) == 2
    (fault,) = built.apart.first.values()
    assert "f.txt:2: character 2 of the text" in str(fault)
    assert "'c'" in str(fault)
    with pytest.raises(DataError, match=r"f\.txt:2: character 2 of the text: .*'c'"):
        build(task, records[1:], tmp_path / "none")  # then it is not the rows that are wrong


@pytest.mark.parametrize("damage", ["cut", "gone", "format", "no meta"])
def test_a_damaged_store_is_not_read_but_built_again(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, task = _data(tmp_path, "abc"), toy(["abc"])
    good = encoded(task, data, "train")
    file = good.folder / "ids.npy"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "gone":
        file.unlink()
    elif damage == "format":
        monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    else:
        (good.folder / "meta.json").unlink()
    with pytest.raises(DataError, match="not a whole store"):
        Store(good.folder)
    again = encoded(task, data, "train")
    assert again.flat("n").tolist() == [3]
    assert not [p for p in files.cache_root().rglob("*damaged*")]


def test_a_store_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, task = _data(tmp_path, "abc"), toy(["abc"])
    first = encoded(task, data, "train")
    monkeypatch.setattr(store, "build", None)
    assert encoded(task, data, "train").folder == first.folder


def test_everything_that_matters_is_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, task = _data(tmp_path, "abc"), toy(["abc"])
    keys = [cache_key(task, data, "train"), cache_key(task, data, "test")]
    keys.append(cache_key(toy(["abcd"]), data, "train"))
    keys.append(cache_key(task, data.replace(cleaners=("unicode",)), "train"))
    keys.append(cache_key(task, _data(tmp_path, "abc", salt="x"), "train"))
    keys.append(cache_key(task, _data(tmp_path, "abd"), "train"))
    with monkeypatch.context() as patch:
        patch.setattr(store, "FORMAT", store.FORMAT + 1)
        keys.append(cache_key(task, data, "train"))
    with monkeypatch.context() as patch:
        patch.setattr(ToyTask, "code_digest", lambda self: "edited")
        keys.append(cache_key(task, data, "train"))
    for name, digest in encoding_code().items():  # every file of code that encoding rests on
        with monkeypatch.context() as patch:
            edited = {**encoding_code(), name: digest[::-1]}
            patch.setattr(cache, "encoding_code", lambda edited=edited: edited)
            keys.append(cache_key(task, data, "train"))
    assert len(set(keys)) == len(keys)
    data = _data(tmp_path, "abc")
    assert cache_key(task, data.replace(max_overlap=0.5), "train") == keys[0]
    task.save(tmp_path / "task")
    assert cache_key(task.load(tmp_path / "task"), data, "train") == keys[0]


def test_data_that_change_while_they_are_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, task = _data(tmp_path, "abc"), toy(["abc"])
    whole = store.build

    def slow(*given: Any) -> Store:
        built = whole(*given)
        _data(tmp_path, "abcd")
        return built

    monkeypatch.setattr(store, "build", slow)
    with pytest.raises(DataError, match="changed while they were read"):
        encoded(task, data, "train")


def test_code_that_changes_meanwhile_is_no_change_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, task = _data(tmp_path, "abc"), toy(["abc"])
    versions = iter(range(9))
    monkeypatch.setattr(ToyTask, "code_digest", lambda self: str(next(versions)))
    assert len(encoded(task, data, "train")) == 1


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._Growing, "append", full)
    with pytest.raises(CapacityError, match="disk is full"):
        build(toy(["a"]), [{"text": "a"}], tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_build_leaves_no_store(tmp_path: Path) -> None:
    """A process is killed half-way; its folder never appears, and the next one builds it."""
    code = f"""
import time
from pathlib import Path
from luban.data import store
from tests.data.toy import toy
store._BATCH_CHARACTERS = 10
def records():
    for number in range(1000):
        yield {{"text": "abc" * 9}}
        if number == 500:
            print("half", flush=True)
            time.sleep(60)
store.build(toy(["abc"]), records(), Path({str(tmp_path)!r}) / "s")
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "s").exists()
    assert len(build(toy(["abc"]), [{"text": "abc"}], tmp_path / "s")) == 1


def test_two_at_once_end_with_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, task = _data(tmp_path, "abc"), toy(["abc"])
    real = store.build

    def late(*arguments: Any) -> Store:
        monkeypatch.setattr(store, "build", real)
        encoded(task, data, "train")  # another process finishes first
        return real(*arguments)

    monkeypatch.setattr(store, "build", late)
    assert len(encoded(task, data, "train")) == 1


def test_flat_is_not_read_into_memory(tmp_path: Path) -> None:
    found = build(toy(["abc"]), [{"text": "abc" * 10_000}] * 20, tmp_path / "s")
    start = time.perf_counter()
    assert isinstance(found.flat("ids"), np.memmap)
    assert len(found.flat("ids")) == 600_000
    assert time.perf_counter() - start < 1.0
    assert (found.folder / "ids.npy").stat().st_size == 128 + 2 * 600_000


def _data(folder: Path, text: str, **split: Any) -> Data:
    path = folder / "x.jsonl"
    path.write_text(json.dumps({"text": text}))
    split = {"by": "record", "validation": 0.0, "test": 1e-9, **split}
    return Data.from_dict({"source": {"name": "jsonl", "path": str(path)}, "split": split})
