"""Tiny data for every task, as files of users are: texts, tables, pictures and recordings."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import soundfile
from PIL import Image

Record: TypeAlias = "dict[str, Any]"

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 210)}
WORDS = {
    "good": ["fine", "bright", "lovely", "warm", "kind", "sweet"],
    "bad": ["dull", "grim", "bitter", "cold", "harsh", "sour"],
    "odd": ["strange", "queer", "weird", "curious", "unusual", "peculiar"],
}
FILLER = [
    "the",
    "a",
    "film",
    "of",
    "and",
    "story",
    "with",
    "some",
    "music",
    "in",
    "which",
    "nobody",
    "sleeps",
    "at",
    "night,",
    "really",
]
NAMES = ["Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hanna"]
TOWNS = ["Paris", "Rome", "Oslo", "Lima", "Quito", "Bonn"]


def _lines(folder: Path, rows: list[Record]) -> Record:
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return {"name": "jsonl", "path": str(path)}


def _read(folder: Path) -> list[str]:
    return (folder / "train.jsonl").read_text(encoding="utf-8").splitlines()


def _sentence(dice: random.Random, kind: str, length: int = 6) -> str:
    words = [*dice.choices(FILLER, k=length), *dice.choices(WORDS[kind], k=2)]
    dice.shuffle(words)
    return " ".join(words).capitalize() + dice.choice([".", "!", "", "  "])


def _labelled(dice: random.Random) -> tuple[str, str]:
    kind = dice.choice(list(WORDS))
    told = kind if dice.random() < 0.8 else dice.choice(list(WORDS))
    return _sentence(dice, kind, dice.randint(1, 14)), told


def texts(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(1)
    rows = [dict(zip(("text", "label"), _labelled(dice), strict=True)) for _ in range(160)]
    return _lines(folder, rows), [{"text": _labelled(dice)[0]} for _ in range(count)]


def two_labels(folder: Path, count: int) -> tuple[Record, list[Record]]:
    _, asked = texts(folder, count)
    rows = [json.loads(line) for line in _read(folder)]
    return _lines(folder, [{**row, "label": str(row["label"] == "good")} for row in rows]), asked


def pairs(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(2)

    def row() -> Record:
        one, other = dice.choice(list(WORDS)), dice.choice(list(WORDS))
        same = "same" if one == other else "other"
        both = (_sentence(dice, kind, dice.randint(1, 20)) for kind in (one, other))
        return {**dict(zip(("text", "text_pair"), both, strict=True)), "label": same}

    rows = [row() for _ in range(120)]
    asked = [{key: value for key, value in row().items() if key != "label"} for _ in range(count)]
    return _lines(folder, rows), asked


def several(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(3)

    def row() -> Record:
        kinds = sorted(dice.sample(list(WORDS), dice.randint(0, 3)))
        text = " ".join(_sentence(dice, kind, 2) for kind in kinds) or "nothing here"
        return {"text": text, "label": kinds}

    rows = [row() for _ in range(160)]
    return _lines(folder, rows), [{"text": row()["text"]} for _ in range(count)]


def values(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(4)

    def row() -> Record:
        good, bad = dice.randint(0, 5), dice.randint(0, 5)
        words = [*dice.choices(WORDS["good"], k=good), *dice.choices(WORDS["bad"], k=bad), "film"]
        return {"text": " ".join(words), "value": 1000 + 25.0 * (good - bad) + dice.gauss(0, 9)}

    rows = [row() for _ in range(160)]
    return _lines(folder, rows), [{"text": row()["text"]} for _ in range(count)]


def tagged(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(5)

    def row() -> Record:
        tokens, tags = [], []
        for _ in range(dice.randint(2, 9)):
            word = dice.choice([dice.choice(FILLER), dice.choice(NAMES), dice.choice(TOWNS)])
            kind = "PER" if word in NAMES else "LOC" if word in TOWNS else None
            tokens.append(word)
            tags.append("O" if kind is None else f"B-{kind}")
            if kind == "PER" and dice.random() < 0.5:
                tokens.append("Smith")
                tags.append("I-PER")
        return {"tokens": tokens, "tags": tags}

    rows = [row() for _ in range(150)]
    asked: list[Record] = [{"tokens": row()["tokens"]} for _ in range(count // 2)]
    asked += [{"text": " ".join(row()["tokens"]) + "."} for _ in range(count - len(asked))]
    return _lines(folder, rows), asked


def questions(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(6)

    def row() -> Record:
        name, town = dice.choice(NAMES), dice.choice(TOWNS)
        before = " ".join(dice.choices(FILLER, k=dice.randint(0, 60)))
        after = " ".join(dice.choices(FILLER, k=dice.randint(0, 40)))
        context = f"{before} {name} lives in {town}. {after}".strip()
        known = dice.random() < 0.8
        asked = f"Where does {name if known else 'nobody'} live?"
        answers = [{"text": town, "start": context.index(town)}] if known else []
        return {"question": asked, "context": context, "answers": answers}

    rows = [row() for _ in range(100)]
    asked = [{k: v for k, v in row().items() if k != "answers"} for _ in range(count)]
    return _lines(folder, rows), asked


def masked(folder: Path, count: int) -> tuple[Record, list[Record]]:
    source, asked = texts(folder, count)
    dice = random.Random(7)
    hidden = []
    for record in asked:
        words = record["text"].split(" ")
        words[dice.randrange(len(words))] = "[MASK]"
        hidden.append({"text": " ".join(words)})
    return source, hidden


def choices(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(8)

    def row() -> Record:
        kind = dice.choice(list(WORDS))
        said = [dice.choice(WORDS[other]) for other in WORDS]
        query = _sentence(dice, kind, 4).strip() + " It is"
        return {"query": query, "choices": said, "gold": list(WORDS).index(kind)}

    rows = [row() for _ in range(100)]
    asked = [{k: v for k, v in row().items() if k != "gold"} for _ in range(count)]
    return _lines(folder, rows), asked


def prompts(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(9)
    source, asked = texts(folder, count)
    return source, [{"prompt": r["text"][: dice.randint(1, 24)], "max_tokens": 8} for r in asked]


def instructions(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(10)
    rows = []
    for _ in range(100):
        kind = dice.choice(list(WORDS))
        rows.append({"prompt": f"Say a {kind} word", "completion": dice.choice(WORDS[kind])})
    return _lines(folder, rows), [
        {"prompt": f"Say a {dice.choice(list(WORDS))} word", "max_tokens": 6} for _ in range(count)
    ]


def translated(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(11)
    table = {word: word[::-1] for word in (*FILLER, *NAMES)}

    def row() -> Record:
        said = dice.choices(list(table), k=dice.randint(1, 5))
        return {"source": " ".join(said), "target": " ".join(table[word] for word in said)}

    rows = [row() for _ in range(120)]
    return _lines(folder, rows), [{"source": row()["source"]} for _ in range(count)]


def documents(folder: Path, count: int) -> tuple[Record, list[Record]]:
    _, asked = translated(folder, count)
    rows = [json.loads(line) for line in _read(folder)]
    told = [{"document": row["source"] * 3, "summary": row["source"]} for row in rows]
    return _lines(folder, told), [{"document": record["source"] * 3} for record in asked]


def _picture(dice: random.Random, colour: str, path: Path) -> None:
    """Write a picture of any size and form, as files of users are."""
    width, height = dice.randint(20, 60), dice.randint(20, 60)
    noise = np.random.default_rng(dice.randrange(1 << 30)).normal(0, 50, (height, width, 3))
    pixels = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = dice.choice([1, 1, 3, 6, 8])
    if path.suffix == ".png" and dice.random() < 0.3:
        image.putalpha(dice.randrange(256))
    image.save(path, exif=exif) if path.suffix == ".jpg" else image.save(path)


def pictures(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(12)
    for number in range(90):
        colour = dice.choice(list(COLOURS))
        told = colour if dice.random() < 0.85 else dice.choice(list(COLOURS))
        (folder / "train" / told).mkdir(parents=True, exist_ok=True)
        _picture(dice, colour, folder / "train" / told / f"{number}.jpg")
    (folder / "ask").mkdir()
    asked = []
    for number in range(count):
        path = folder / "ask" / f"{number:03}.{dice.choice(['jpg', 'png'])}"
        _picture(dice, dice.choice(list(COLOURS)), path)
        asked.append({"image": str(path)})
    return {"name": "files", "path": str(folder / "train")}, asked


def boxes(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(13)
    images: list[Record] = []
    annotations: list[Record] = []
    (folder / "train").mkdir()
    (folder / "ask").mkdir()

    def draw(path: Path) -> tuple[tuple[int, int], list[tuple[int, list[int]]]]:
        width, height = dice.randint(40, 80), dice.randint(40, 80)
        pixels = np.full((height, width, 3), 230, np.uint8)
        found = []
        for _ in range(dice.randint(1, 3)):
            kind, side = dice.randrange(3), dice.randint(10, 20)
            x, y = dice.randint(0, width - side), dice.randint(0, height - side)
            pixels[y : y + side, x : x + side] = list(COLOURS.values())[kind]
            found.append((kind, [x, y, side, side]))
        Image.fromarray(pixels).save(path)
        return (width, height), found

    for number in range(40):
        (width, height), found = draw(folder / "train" / f"{number}.png")
        size = {"width": width, "height": height}
        images.append({"id": number, "file_name": f"{number}.png", **size})
        for kind, box in found:
            one = {"id": len(annotations), "image_id": number, "category_id": kind, "bbox": box}
            annotations.append(one)
    kinds = [{"id": number, "name": name} for number, name in enumerate(COLOURS)]
    table = {"images": images, "annotations": annotations, "categories": kinds}
    (folder / "boxes.json").write_text(json.dumps(table))
    asked = []
    for number in range(count):
        path = folder / "ask" / f"{number:03}.png"
        draw(path)
        asked.append({"image": str(path)})
    return {
        "name": "coco", "path": str(folder / "boxes.json"), "images": str(folder / "train"),
    }, asked  # fmt: skip


def _tone(dice: random.Random, pitch: int, path: Path) -> None:
    rate, seconds = dice.choice([8000, 11025, 16000]), dice.uniform(0.3, 0.8)
    time = np.arange(int(rate * seconds)) / rate
    sound = 0.3 * np.sin(2 * np.pi * pitch * time)
    sound += np.random.default_rng(dice.randrange(1 << 30)).normal(0, 0.05, len(time))
    wide = np.stack([sound, sound * 0.7], 1) if dice.random() < 0.3 else sound
    soundfile.write(path, wide, rate)


PITCHES = {"low": 300, "mid": 900, "high": 2400}


def sounds(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(14)
    for number in range(60):
        label = dice.choice(list(PITCHES))
        (folder / "train" / label).mkdir(parents=True, exist_ok=True)
        _tone(dice, PITCHES[label], folder / "train" / label / f"{number}.wav")
    (folder / "ask").mkdir()
    asked = []
    for number in range(count):
        path = folder / "ask" / f"{number:03}.wav"
        _tone(dice, PITCHES[dice.choice(list(PITCHES))], path)
        asked.append({"audio": str(path)})
    return {"name": "files", "path": str(folder / "train")}, asked


def speech(folder: Path, count: int) -> tuple[Record, list[Record]]:
    dice = random.Random(15)
    (folder / "train").mkdir()
    rows = []
    for number in range(40):
        said = dice.choice(list(PITCHES))
        _tone(dice, PITCHES[said], folder / "train" / f"{number}.wav")
        rows.append({"audio": f"train/{number}.wav", "text": said})
    (folder / "ask").mkdir()
    asked = []
    for number in range(count):
        path = folder / "ask" / f"{number:03}.wav"
        _tone(dice, PITCHES[dice.choice(list(PITCHES))], path)
        asked.append({"audio": str(path)})
    return {**_lines(folder, rows), "media": {"audio": ""}}, asked
