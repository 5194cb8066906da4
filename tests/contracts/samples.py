"""Texts, and a small file of every format that a component reads."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

ENGLISH = [
    "The quick brown fox jumps over the lazy dog.",
    "A stitch in time saves nine;\n\tbut who has the time?",
    "To be, or not to be: that is the question.",
    "  blanks  stay  blanks  ",
]
CHINESE = ["床前明月光，疑是地上霜。", "举头望明月，低头思故乡。", "天地玄黄，宇宙洪荒。日月盈昃"]
EMOJI = ["👩‍💻 writes 🐍, 🇨🇳 and 🏳️‍🌈!", "naïve café — Ω≈ç√", "﷽ 𝔘𝔫𝔦 \u200d e\u0301"]
TEXTS = [*ENGLISH, *CHINESE, *EMOJI]
#: What language models are trained on.
SPOKEN = [
    {"text": text, "_where": f"a:{row}"}
    for row, text in enumerate(["to be", "or", "not to be?", "床前明月光", "🐍!"])
]


def write_samples(folder: Path) -> None:
    """Write a small file of every format that a source or tokenizer reads."""
    import pyarrow
    import pyarrow.parquet

    rows = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]
    (folder / "a.txt").write_text("\n".join(ENGLISH), encoding="utf-8")
    (folder / "b.txt.gz").write_bytes(gzip.compress("\n".join(CHINESE).encode()))
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "rows.json").write_text(json.dumps(rows))
    quoted = [text.replace('"', '""') for text in TEXTS]
    (folder / "rows.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in quoted))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "rows.parquet")
    (folder / "tinyshakespeare").mkdir()
    (folder / "tinyshakespeare" / "input.txt").write_text("\n".join(ENGLISH))
    tagged = [f"{token}\t{'B-x' if token.istitle() else 'O'}" for token in ENGLISH[0].split()]
    (folder / "tags.conll").write_text("\n".join([*tagged, "", *tagged[:3]]))
    (folder / "lines.en").write_text("\n".join(text for text in ENGLISH if "\n" not in text))
    (folder / "lines.zh.gz").write_bytes(gzip.compress("\r\n".join(CHINESE).encode()))
    for label, texts in (("english", ENGLISH), ("chinese", CHINESE)):
        (folder / "labels" / label).mkdir(parents=True)
        for number, text in enumerate(texts):
            (folder / "labels" / label / f"{number}.txt").write_text(text)
    question = {"question": "What?", "id": "1", "answers": [{"text": "fox", "answer_start": 16}]}
    passages = [{"context": ENGLISH[0], "qas": [question]}]
    (folder / "squad.json").write_text(json.dumps({"data": [{"paragraphs": passages}]}))
    write_images(folder)
    learned = _tokenizer("bpe").learn(TEXTS)
    learned.save(folder)
    write_teacher(folder / "teacher")


def write_images(folder: Path) -> None:
    """Write a few images in every form that a source reads."""
    import numpy as np

    from luban.data.media.images import to_png

    pixels = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    for number, (label, image) in enumerate(zip("ab", pixels, strict=True)):
        for name in (
            f"photos/{label}/{number}.png",
            f"voc/{label}.png",
            f"yolo/images/{label}.png",
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(to_png(image))
    with tarfile.open(folder / "photos.tar.gz", "w:gz") as archive:
        archive.add(folder / "photos", "photos")
    (folder / "images.idx").write_bytes(
        b"\0\0\x08\x03" + np.array([6, 4, 6], ">u4").tobytes() + pixels.tobytes()[: 6 * 4 * 6]
    )
    np.savez(folder / "arrays.npz", images=pixels, labels=np.array([0, 1]))
    boxes = [{"image_id": 1, "category_id": 3, "bbox": [1, 1, 2, 3]}]
    images = [{"id": 1, "file_name": "a/0.png"}, {"id": 2, "file_name": "b/1.png"}]
    kinds = [{"id": 3, "name": "a"}]
    table = {"images": images, "annotations": boxes, "categories": kinds}
    (folder / "coco.json").write_text(json.dumps(table))
    corners = "<xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>4</ymax>"
    item = f"<object><name>a</name><bndbox>{corners}</bndbox></object>"
    for label in "ab":
        (folder / f"voc/{label}.xml").write_text(f"<annotation>{item}</annotation>")
    (folder / "yolo/labels").mkdir()
    (folder / "yolo/labels/a.txt").write_text("1 0.5 0.5 0.5 0.5\n")


def write_teacher(folder: Path) -> None:
    """Write a small language model that has read ``SPOKEN``, as a run's ``model/``."""
    import torch

    from luban.core.contracts import Model, Task
    from luban.engine.saved import write_saved

    task = Task.from_dict({"name": "text-generation", "tokenizer": "char", "context": 12})
    fields = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    task, model = task.learn(SPOKEN), Model.from_dict({"name": "gpt", **fields, "layout": "llama"})
    torch.manual_seed(9)
    folder.mkdir()
    write_saved(folder, task, model, model.build(task.signature()))


def _tokenizer(name: str) -> Any:
    from luban.core.contracts import Tokenizer

    return Tokenizer.from_dict({"name": name, "vocab_size": 300})
