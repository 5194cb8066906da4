"""What the layouts share: sentences, tables, pictures and recordings, written below this folder."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

WORDS = re.findall(
    r"\w+",
    "the cat sat on a mat and saw one small dog run home again today while rain fell over green "
    "hills where old men told long stories about ships that never came back from northern seas",
)
HANZI = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"
COUNT = range(48)


@dataclass(frozen=True)
class Judged:
    """What ``luban init`` must find.

    Attributes:
        task: The task.
        records: How many records there are.
        classes: How many labels, of tasks that have some.
        source: Fields of the source, of which each must be so.
        splits: The splits that the recipe has, if the data come with several.
        arguments: What the user adds to the command.
    """

    task: str
    records: int
    classes: int = 0
    source: Mapping[str, Any] = field(default_factory=dict)
    splits: tuple[str, ...] = ("train",)
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What the one message of ``luban init`` must say, where it cannot know."""

    words: tuple[str, ...]


Layout = tuple[Callable[[], str], Judged | Asked]


def sentence(number: int, words: int = 8) -> str:
    """A sentence, another for each number."""
    chosen = (WORDS[(number * (k + 3) + k * k) % len(WORDS)] for k in range(words))
    return " ".join(chosen).capitalize() + f" {number}."


def hanzi(number: int, length: int = 18) -> str:
    """A Chinese sentence, another for each number."""
    return "".join(HANZI[(number * (k + 2) + k * k) % len(HANZI)] for k in range(length)) + "。"


def write(name: str, content: str | bytes, encoding: str = "utf-8") -> None:
    """Write a file, packed if it is called so, and the folders above it."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else content.encode(encoding)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


def text(name: str, lines: Iterable[str], encoding: str = "utf-8") -> None:
    """Write lines."""
    write(name, "".join(f"{line}\n" for line in lines), encoding)


def table(
    name: str, rows: Iterable[Sequence[Any]], mark: str = "\t", encoding: str = "utf-8"
) -> None:
    """Write rows, divided by a mark."""
    text(name, (mark.join(map(str, row)) for row in rows), encoding)


def jsonl(name: str, rows: Iterable[Any]) -> None:
    """Write JSON Lines."""
    text(name, (json.dumps(row, ensure_ascii=False) for row in rows))


def as_json(name: str, data: Any) -> None:
    """Write JSON."""
    write(name, json.dumps(data, ensure_ascii=False))


def picture(name: str, number: int, size: tuple[int, int] = (32, 24)) -> None:
    """Write a picture, another for each number."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def recording(name: str, number: int, seconds: float = 0.3) -> None:
    """Write a recording, another for each number."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).normal(0, 0.1, int(8000 * seconds))
    soundfile.write(path, noise, 8000)
