"""Do threads or processes decode images and recordings faster?

Decoders (libjpeg-turbo, libsndfile, soxr) let other threads run while they work, so threads may do
as well as processes, which have to be started and must hand whole arrays over. Each way decodes the
same files into what the tasks store; processes are started anew, and counted with and without that.

    python -m benchmarks.decoding

Needs no data: photographs and recordings are made. Writes ``benchmarks/out/decoding.json``.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks._common import publish
from luban.data.media.audio import decode as decode_sound
from luban.data.media.audio import to_wav
from luban.data.media.images import decode, fit
from luban.data.media.media_files import Media
from luban.data.media.parallel_encoding import in_threads

#: Name: side of the photographs before and after, how many; or seconds of recordings.
PHOTOGRAPHS = {"JPEG 1024 to 224": (1024, 224, 300), "JPEG 32": (32, 32, 20_000)}
RECORDINGS = ("WAV 8 s, 44.1 to 16 kHz", 8, 200)


def photographs(side: int, count: int) -> list[Media]:
    """Return JPEG files with about as much detail as photographs."""
    from PIL import Image

    draw, files = np.random.default_rng(0), []
    for _ in range(min(count, 20)):
        coarse = draw.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        file = io.BytesIO()
        smooth = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        smooth.save(file, "JPEG", quality=90)
        files.append(Media("made.jpg", file.getvalue()))
    return [files[at % len(files)] for at in range(count)]


def recordings(seconds: int, count: int) -> list[Media]:
    """Return WAV files of noise."""
    draw = np.random.default_rng(0)
    noise = draw.integers(-8000, 8000, seconds * 44_100, dtype=np.int16)
    return [Media("made.wav", to_wav(noise, 44_100))] * count


def pixels(job: tuple[Media, int]) -> np.ndarray[Any, Any]:
    """Decode a photograph and bring it to a size."""
    return fit(decode(job[0], 3), (job[1], job[1]))


def samples(job: Media) -> np.ndarray[Any, Any]:
    """Decode a recording and resample it."""
    return decode_sound(job, 16_000)


def by_processes(work: Callable[[Any], Any], jobs: list[Any]) -> dict[str, float]:
    """Return the seconds that new processes take, with and without their start."""
    cores = os.cpu_count() or 1
    start = time.perf_counter()
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        list(pool.map(work, jobs[:cores] * 4))
        ready = time.perf_counter()
        list(pool.map(work, jobs, chunksize=max(1, len(jobs) // (8 * cores))))
        end = time.perf_counter()
    return {"processes, started": end - ready, "processes": end - start}


def compare(work: Callable[[Any], Any], jobs: list[Any], rounds: int) -> dict[str, Any]:
    """Return the seconds of each way, the median of some rounds in turns."""
    took: dict[str, list[float]] = {}
    ways: dict[str, Callable[[], Any]] = {
        "one thread": lambda: [work(one) for one in jobs],
        "threads": lambda: in_threads(work, jobs),
    }
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            took.setdefault(way, []).append(time.perf_counter() - start)
        for way, seconds in by_processes(work, jobs).items():
            took.setdefault(way, []).append(seconds)
    return {way: round(statistics.median(seconds), 2) for way, seconds in took.items()}


def main() -> None:
    """Compare the ways and publish what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one turn")
    args = parser.parse_args()
    rounds = 1 if args.quick else args.rounds
    result: dict[str, Any] = {"files": {}, "seconds": {}}
    for name, (before, after, count) in PHOTOGRAPHS.items():
        jobs = [(one, after) for one in photographs(before, count)]
        result["files"][name] = count
        result["seconds"][name] = compare(pixels, jobs, rounds)
    name, length, count = RECORDINGS
    result["files"][name] = count
    result["seconds"][name] = compare(samples, recordings(length, count), rounds)
    publish("decoding", result)


if __name__ == "__main__":
    main()
