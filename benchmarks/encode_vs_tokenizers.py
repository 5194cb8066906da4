"""Encode a text into a store, beside the `tokenizers` library's own batch encode.

Both use the same byte-level BPE on the same cores and the same file. The library's time is
`Tokenizer.encode_batch` over the text's pieces, already in memory, ids taken out (and, beside
it, `encode_batch_fast`, which leaves out offsets and is what we call); ours is the whole way
from the file on disk to the memory-mapped store. Each side runs in a process of its
own, so that its peak memory is its own; runs alternate, and the best of each side counts.

    python -m benchmarks.encode_vs_tokenizers --megabytes 64
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from benchmarks._common import data_folder
from luban.core.contracts import Source, Tokenizer
from luban.core.files import write_json
from luban.data.store import build
from luban.tasks.text_generation import TextGeneration

OUT = Path(__file__).parent / "out"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="little text, once")
    parser.add_argument("--vocab-size", type=int, default=8192)
    parser.add_argument("--sides", nargs="*", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.megabytes, options.repeats = 2, 1
    if options.side:
        print(json.dumps(SIDES[options.side](options.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        report(options, Path(folder))


def report(options: argparse.Namespace, folder: Path) -> None:
    write_text(folder / "text.txt", options.megabytes * 1_000_000)
    tokenizer = Tokenizer.from_dict({"name": "bpe", "vocab_size": options.vocab_size})
    tokenizer.learn(seed_texts()).save(folder / "tokenizer")
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in options.sides}
    for _ in range(options.repeats):
        for side, found in runs.items():
            command = [
                sys.executable,
                "-m",
                "benchmarks.encode_vs_tokenizers",
                "--side",
                side,
                "--folder",
                str(folder),
            ]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(json.loads(done.stdout))
    size = (folder / "text.txt").stat().st_size
    rows = {side: row(found, size) for side, found in runs.items()}
    speeds = {side: one["megabytes_per_second"] for side, one in rows.items()}
    result = {
        "text_megabytes": size / 1e6,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "vocab_size": options.vocab_size,
        "sides": rows,
        "luban_over": {
            side: speeds["luban"] / speed for side, speed in speeds.items() if side != "luban"
        },
        "same_token_count": len({one["tokens"] for one in rows.values()}) == 1,
    }
    write_json(OUT / f"encode_vs_tokenizers-{options.megabytes}mb.json", result)
    show(result)


def row(found: list[dict[str, Any]], size: int) -> dict[str, Any]:
    best = min(found, key=lambda one: one["seconds"])
    return {
        **best,
        "all_seconds": [one["seconds"] for one in found],
        "megabytes_per_second": size / 1e6 / best["seconds"],
    }


def show(result: dict[str, Any]) -> None:
    print(f"{result['text_megabytes']:.0f} MB of text, {result['cores']} cores")
    print(f"{'side':18} {'seconds':>9} {'CPU s':>9} {'MB/s':>7} {'peak MiB':>9} {'tokens':>13}")
    for side, one in result["sides"].items():
        speed = one["megabytes_per_second"]
        print(
            f"{side:18} {one['seconds']:9.2f} {one['cpu_seconds']:9.2f} {speed:7.2f}"
            f" {one['peak_mib']:9.0f} {one['tokens']:13,}"
        )
    for side, ratio in result["luban_over"].items():
        print(f"luban's speed over {side}: {ratio:.2f}")


def luban(folder: Path) -> dict[str, Any]:
    """From the file on disk to the store."""
    tokenizer = Tokenizer.from_dict("bpe").load(folder / "tokenizer")
    task = TextGeneration(tokenizer=tokenizer)
    source = Source.from_dict({"name": "text", "path": str(folder / "text.txt")})
    with tempfile.TemporaryDirectory(dir=folder) as out:
        start = time.perf_counter()
        store = build(task, source.read("train"), Path(out) / "store")
        seconds = time.perf_counter() - start
        return measured(seconds, len(store.flat("input_ids")) - 1)  # less the end token


def library(folder: Path, method: str = "encode_batch") -> dict[str, Any]:
    """The library's batch encode alone, over the same pieces, a bounded number at a time."""
    fast = tokenizers.Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    fast.encode_special_tokens = True
    encode = getattr(fast, method)
    seconds, tokens = 0.0, 0
    for pieces in batches(folder / "text.txt"):
        start = time.perf_counter()
        ids = [encoding.ids for encoding in encode(pieces, add_special_tokens=False)]
        seconds += time.perf_counter() - start
        tokens += sum(map(len, ids))
    return measured(seconds, tokens)


SIDES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "luban": luban,
    "encode_batch": library,
    "encode_batch_fast": partial(library, method="encode_batch_fast"),
}


def batches(path: Path, count: int = 16) -> Iterator[list[str]]:
    batch: list[str] = []
    for record in Source.from_dict({"name": "text", "path": str(path)}).read("train"):
        batch.append(record["text"])
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch


def measured(seconds: float, tokens: int) -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "tokens": tokens,
        "peak_mib": used.ru_maxrss / 1024,
    }


def seed_texts() -> list[str]:
    """Real text: LUBAN_DATA's novel and play where there are, the Python reference always."""
    texts = [record["text"] for record in Source.from_dict("python-reference").read("train")]
    data = data_folder()
    for path in (data / "tinyshakespeare/input.txt", data / "sanguo/sanguoyanyi.txt.gz"):
        if path.is_file():
            source = Source.from_dict({"name": "text", "path": str(path)})
            texts += [record["text"] for record in source.read("train")]
    return texts


def write_text(path: Path, size: int) -> None:
    """Write ``size`` bytes of real lines in random order: as varied as the texts they are from."""
    lines = [line + "\n" for text in seed_texts() for line in text.splitlines() if line.strip()]
    order = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        written = 0
        while written < size:
            block = "".join(lines[i] for i in order.integers(0, len(lines), 20_000))
            file.write(block)
            written += len(block.encode())


if __name__ == "__main__":
    main()
