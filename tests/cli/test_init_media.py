"""First recipes for a stranger's images and recordings, by how they lie."""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

from luban.init.media_layout import pattern_of
from luban.recipe import Recipe
from tests.life import done, luban

RNG = np.random.default_rng(0)
COUNT = 40


def photograph(path: str, number: int = 0) -> None:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    size = (20 + number % 7, 30 - number % 5, 3)
    Image.fromarray(RNG.integers(0, 256, size, np.uint8)).save(file)


def recording(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, RNG.normal(0, 0.1, 4000), 8000)


def photos() -> str:
    for number in range(COUNT):
        photograph(f"photos/{('cat', 'dog')[number % 2]}/IMG_{number}.jpg", number)
    return "photos"


def pictures() -> str:
    for number in range(COUNT):
        photograph(f"pictures/IMG_{number}.png", number)
    return "pictures"


def table() -> str:
    rows = [f"images/{number}.jpg,{('cat', 'dog')[number % 2]}" for number in range(COUNT)]
    for number in range(COUNT):
        photograph(f"pets/images/{number}.jpg", number)
    Path("pets/labels.csv").write_text("\n".join(["picture,class", *rows, ""]))
    return "pets"


def table_alone() -> str:
    rows = [f"pics/{number}.png,{('Kätzchen', 'dog')[number % 2]},ok" for number in range(COUNT)]
    for number in range(COUNT):
        photograph(f"pics/{number}.png", number)
    lines = "\n".join(["image_path,kind,note", *rows, ""])
    Path("all.csv").write_text(lines, encoding="latin-1")
    return "all.csv"


def parquet() -> str:
    rows = []
    for number in range(COUNT):
        photograph("one.png", number)
        image = {"bytes": Path("one.png").read_bytes(), "path": "one.png"}
        rows.append({"image": image, "label": number % 2})
    pq.write_table(pa.Table.from_pylist(rows), "hf.parquet")
    return "hf.parquet"


def shards() -> str:
    """A set as Hugging Face keeps it: shards of each split, in a folder beside notes."""
    parquet()
    Path("set/data").mkdir(parents=True)
    Path("set/README.md").write_text("notes")
    for name in ("test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"):
        table = pq.read_table("hf.parquet")
        pq.write_table(table.slice(0, 20 if "test" in name else 40), f"set/data/{name}.parquet")
    return "set"


def kaggle() -> str:
    """Tables called by splits, one of them without labels and about files elsewhere."""
    for number in range(COUNT):
        photograph(f"breeds/{('train', 'test')[number > 30]}/{number}.jpg", number)
    rows = [f"{number},{('cat', 'dog')[number % 2]}" for number in range(30)]
    Path("breeds/train.csv").write_text("\n".join(["id,breed", *rows, ""]))
    Path("breeds/test.csv").write_text("\n".join(["id", *map(str, range(31, COUNT)), ""]))
    return "breeds"


def tags() -> str:
    kinds = ("red", "round", "red|round")
    rows = [f"pics/{number}.png,{kinds[number % 3]}" for number in range(COUNT)]
    for number in range(COUNT):
        photograph(f"pics/{number}.png", number)
    Path("tags.csv").write_text("\n".join(["picture,tags", *rows, ""]))
    return "tags.csv"


def flags() -> str:
    rows = [f"pics/{n}.png,{n % 2},{int(n % 3 == 0)},{int(n % 5 == 0)}" for n in range(COUNT)]
    for number in range(COUNT):
        photograph(f"pics/{number}.png", number)
    Path("flags.csv").write_text("\n".join(["picture,red,round,big", *rows, ""]))
    return "flags.csv"


def webdataset() -> str:
    Path("web").mkdir()
    for shard in range(2):
        with tarfile.open(f"web/{shard:06}.tar", "w") as archive:
            for number in range(shard, COUNT, 2):
                photograph("one.jpg", number)
                Path("one.cls").write_text(str(number % 3))
                Path("one.json").write_text(json.dumps({"taken": number}))
                for suffix in ("cls", "jpg", "json"):
                    archive.add(f"one.{suffix}", f"{number:06}.{suffix}")
    return "web"


def webdataset_of_splits() -> str:
    webdataset()
    Path("web/000000.tar").rename("web/train-000000.tar")
    Path("web/000001.tar").rename("web/val-000000.tar")
    return "web"


def named() -> str:
    for number in range(COUNT):
        photograph(f"pets/{('cat', 'dog')[number % 2]}.{number}.jpg", number)
    return "pets"


def coco_of_splits() -> str:
    coco()
    found = json.loads(Path("coco/annotations/instances.json").read_text())
    long = "a-folder-whose-name-is-so-long-that-no-table-of-its-files-fits-a-line"
    for split, part in (("train", slice(0, 25)), ("val", slice(25, 33)), ("test", slice(33, None))):
        images = found["images"][part]
        for image in images:
            target = Path(long, split, image["file_name"])
            target.parent.mkdir(parents=True, exist_ok=True)
            Path("coco/images", image["file_name"]).rename(target)
        some = {image["id"] for image in images}
        notes = [note for note in found["annotations"] if note["image_id"] in some]
        written = {**found, "images": images, "annotations": notes}
        Path(long, f"instances_{split}.json").write_text(json.dumps(written))
    return long


def coco() -> str:
    images, notes = [], []
    for number in range(COUNT):
        photograph(f"coco/images/{number}.jpg")
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 30, "height": 20})
        notes.append({"id": number, "image_id": number, "category_id": 1, "bbox": [2, 2, 9, 9]})
    kinds = [{"id": 1, "name": "cat"}]
    data = {"images": images, "annotations": notes, "categories": kinds}
    Path("coco/annotations").mkdir()
    Path("coco/annotations/instances.json").write_text(json.dumps(data))
    return "coco"


def voc() -> str:
    corners = "<xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
    item = f"<object><name>cat</name><bndbox>{corners}</bndbox></object>"
    Path("voc/Annotations").mkdir(parents=True)
    for number in range(COUNT):
        photograph(f"voc/JPEGImages/{number}.jpg")
        Path(f"voc/Annotations/{number}.xml").write_text(f"<annotation>{item}</annotation>")
    return "voc"


def yolo() -> str:
    Path("yolo/labels").mkdir(parents=True)
    for number in range(COUNT):
        photograph(f"yolo/images/{number}.jpg")
        Path(f"yolo/labels/{number}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    Path("yolo/data.yaml").write_text("names: [cat]\n")
    return "yolo"


def idx() -> str:
    Path("idx").mkdir()
    for split, count in (("train", COUNT), ("t10k", 8)):
        pixels = RNG.integers(0, 256, (count, 9, 9), np.uint8)
        sizes = np.array(pixels.shape, ">u4").tobytes()
        Path(f"idx/{split}-images-idx3-ubyte").write_bytes(
            b"\0\0\x08\x03" + sizes + pixels.tobytes()
        )
        kinds = (np.arange(count) % 2).astype(np.uint8).tobytes()
        Path(f"idx/{split}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + sizes[:4] + kinds)
    return "idx"


def idx_by_other_names() -> str:
    idx()
    Path("letters").mkdir()
    Path("idx/train-images-idx3-ubyte").rename("letters/pics.idx3-ubyte")
    Path("idx/train-labels-idx1-ubyte").rename("letters/kinds.idx1-ubyte")
    return "letters"


def arrays() -> str:
    pixels = RNG.integers(0, 256, (COUNT, 9, 9), np.uint8)
    np.savez("a.npz", x_train=pixels, y_train=np.arange(COUNT) % 2)
    return "a.npz"


def array() -> str:
    np.save("a.npy", RNG.integers(0, 256, (COUNT, 12, 12, 3), np.uint8))
    return "a.npy"


def tarred(name: str) -> str:
    with tarfile.open(f"{name}.tar", "w") as archive:
        archive.add(name)
    return f"{name}.tar"


def names() -> str:
    for number in range(COUNT):
        recording(f"digits/{number % 2}_{('ann', 'bob')[number // 20]}_{number}.wav")
    return tarred("digits")


def transcripts() -> str:
    for number in range(COUNT):
        recording(f"spoken/{number}.wav")
        Path(f"spoken/{number}.txt").write_text(("to be", "or not")[number % 2])
    return tarred("spoken")


DATA: dict[str, tuple[Callable[[], str], str, str]] = {
    "photos": (photos, "files", "image-classification"),
    "pictures": (pictures, "files", "image-generation"),
    "table": (table, "csv", "image-classification"),
    "table alone": (table_alone, "csv", "image-classification"),
    "parquet": (parquet, "parquet", "image-classification"),
    "shards": (shards, "parquet", "image-classification"),
    "kaggle": (kaggle, "csv", "image-classification"),
    "tags": (tags, "csv", "image-classification"),
    "flags": (flags, "csv", "image-classification"),
    "webdataset": (webdataset, "files", "image-classification"),
    "webdataset of splits": (webdataset_of_splits, "files", "image-classification"),
    "named": (named, "files", "image-classification"),
    "array": (array, "arrays", "image-generation"),
    "coco of splits": (coco_of_splits, "coco", "object-detection"),
    "coco": (coco, "coco", "object-detection"),
    "voc": (voc, "voc", "object-detection"),
    "yolo": (yolo, "yolo", "object-detection"),
    "idx": (idx, "idx", "image-classification"),
    "idx by other names": (idx_by_other_names, "idx", "image-classification"),
    "arrays": (arrays, "arrays", "image-classification"),
    "names": (names, "files", "audio-classification"),
    "transcripts": (transcripts, "files", "speech-recognition"),
}


@pytest.mark.parametrize("kind", DATA)
def test_a_recipe_of_under_thirty_lines(kind: str, here: Path) -> None:
    make, source, task = DATA[kind]
    said = done("init", make(), "--json").json
    assert (said["task"], said["source"]["name"]) == (task, source)
    assert "characters" not in said["facts"]
    assert said["facts"]["bytes"] > 0
    recipe = Path(said["recipe"])
    assert len(recipe.read_text().splitlines()) < 30
    assert Recipe.read(recipe).task.name == task
    options = ["data.split={validation: 0.2, test: 0.2}", "data.max_overlap=1"]
    assert done("validate", str(recipe), *options).code == 0


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        ([f"{i % 3}_x_{i}.wav" for i in range(12)], "{label}_part2_{part3}.wav"),
        ([f"{i}-{'ab'[i % 2]}.png" for i in range(12)], "{part1}-{label}.png"),
        ([f"IMG_{i}.png" for i in range(12)], ""),
        ([f"{i % 3}_{i}.wav" for i in range(4)] + ["odd.wav"], ""),
        ([f"{i % 3}_{i}.{('wav', 'mp3')[i % 2]}" for i in range(12)], ""),
        ([], ""),
    ],
)
def test_patterns_of_names(names: list[str], pattern: str) -> None:
    assert pattern_of(names) == pattern.replace("part2_", "{part2}_")


@pytest.mark.parametrize(
    ("make", "task", "source"),
    [
        (tags, {"label_separator": "|"}, {"fields": {"image": "picture", "label": "tags"}}),
        (flags, {}, {"fields": {"image": "picture", "label": ["red", "round", "big"]}}),
        (
            shards,
            {},
            {
                "path": {
                    "train": "set/data/train-0000*.parquet",
                    "test": "set/data/test-00000-of-00001.parquet",
                }
            },
        ),
        (
            webdataset_of_splits,
            {},
            {"path": {"train": "web/train-000000.tar", "validation": "web/val-000000.tar"}},
        ),
        (kaggle, {}, {"path": "breeds/train.csv", "media": {"image": "breeds/train"}}),
        (named, {}, {"pattern": "{label}.{part2}.jpg"}),
    ],
)
def test_what_the_recipe_says(
    make: Callable[[], str], task: dict[str, Any], source: dict[str, Any], here: Path
) -> None:
    said = done("init", make(), "--json").json
    read = Recipe.read(Path(said["recipe"])).to_dict()
    assert task.items() <= read["task"].items()
    assert json.loads(json.dumps(source)).items() <= said["source"].items()


def test_without_pillow_the_extra_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = photos()
    monkeypatch.setitem(sys.modules, "PIL", None)
    said = luban("init", path)
    assert said.code == 2
    assert "pip install 'luban[vision]'" in said.err


def test_what_holds_neither_is_the_users_fault(here: Path) -> None:
    Path("empty.tar").write_bytes(b"")
    Path("bad.npz").write_bytes(b"PK\3\4 no zip")
    Path("none").mkdir()
    for path in ("empty.tar", "bad.npz", "none"):
        said: Any = luban("init", path)
        assert said.code == 2
        assert path in said.out + said.err
