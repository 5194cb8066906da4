"""Public sets of pictures and recordings, as people unpack them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from tests.cases.layouts import (
    Asked,
    Judged,
    Layout,
    as_json,
    jsonl,
    picture,
    recording,
    sentence,
    table,
    text,
    write,
)

COUNT = range(24)
KINDS = ("cat", "dog")


def idx_images(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (24, 8, 8), np.uint8)
    return b"\0\0\x08\x03" + np.array(pixels.shape, ">u4").tobytes() + pixels.tobytes()


IDX_LABELS = b"\0\0\x08\x01" + np.array([24], ">u4").tobytes() + bytes(i % 3 for i in range(24))


def emnist() -> str:
    for kind in ("letters", "digits"):
        for split in ("train", "test"):
            write(f"gzip/emnist-{kind}-{split}-images-idx3-ubyte.gz", idx_images(len(split)))
            write(f"gzip/emnist-{kind}-{split}-labels-idx1-ubyte.gz", IDX_LABELS)
    return "gzip"


def emnist_letters() -> str:
    for split in ("train", "test"):
        write(f"letters/emnist-letters-{split}-images-idx3-ubyte.gz", idx_images(len(split)))
        write(f"letters/emnist-letters-{split}-labels-idx1-ubyte.gz", IDX_LABELS)
    return "letters"


def idx_test_only() -> str:
    write("t10k/t10k-images-idx3-ubyte", idx_images(1))
    write("t10k/t10k-labels-idx1-ubyte", IDX_LABELS)
    return "t10k"


def cifar_batches() -> str:
    for number in range(1, 3):
        batch = {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 2, 3]}
        write(f"cifar-10-batches-py/data_batch_{number}", pickle.dumps(batch))
    write("cifar-10-batches-py/batches.meta", pickle.dumps({b"label_names": [b"cat"]}))
    return "cifar-10-batches-py"


def cifar_png() -> str:
    for split in ("train", "test"):
        for i in COUNT:
            picture(f"cifar/{split}/{KINDS[i % 2]}/{i:04}.png", i)
    return "cifar"


def tiny_imagenet() -> str:
    rows = []
    for i in COUNT:
        kind = f"n0144{i % 3}"
        picture(f"tiny-imagenet-200/train/{kind}/images/{kind}_{i}.JPEG", i)
        write(f"tiny-imagenet-200/train/{kind}/{kind}_boxes.txt", f"{kind}_{i}.JPEG\t0\t0\t9\t9\n")
        picture(f"tiny-imagenet-200/val/images/val_{i}.JPEG", i)
        rows.append((f"val_{i}.JPEG", kind, 0, 32, 44, 62))
        picture(f"tiny-imagenet-200/test/images/test_{i}.JPEG", i)
    table("tiny-imagenet-200/val/val_annotations.txt", rows)
    text("tiny-imagenet-200/wnids.txt", ["n01440", "n01441", "n01442"])
    return "tiny-imagenet-200"


def pets() -> str:
    corners = "<xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
    item = f"<object><name>cat</name><bndbox>{corners}</bndbox></object>"
    for i in COUNT:
        name = f"{('Abyssinian', 'american_bulldog')[i % 2]}_{i}"
        picture(f"pets/images/{name}.jpg", i)
        write(f"pets/annotations/xmls/{name}.xml", f"<annotation>{item}</annotation>")
    text("pets/annotations/list.txt", ["#Image CLASS-ID SPECIES BREED ID"])
    return "pets"


def pets_images() -> str:
    for i in COUNT:
        picture(f"images/{('Abyssinian', 'american_bulldog')[i % 2]}_{i}.jpg", i)
    return "images"


def caltech() -> str:
    for i in COUNT:
        picture(
            f"101_ObjectCategories/{('accordion', 'anchor', 'Faces')[i % 3]}/image_{i:04}.jpg", i
        )
    return "101_ObjectCategories"


def flowers() -> str:
    for i in COUNT:
        picture(f"flowers/jpg/image_{i:05}.jpg", i)
    write("flowers/imagelabels.mat", b"MATLAB 5.0 MAT-file, Platform: x" + b"\0" * 120)
    return "flowers"


def celeba() -> str:
    rows = []
    for i in COUNT:
        picture(f"celeba/img_align_celeba/{i:06}.jpg", i)
        rows.append(f"{i:06}.jpg {(-1, 1)[i % 2]:2}  {(-1, 1)[i % 3 > 0]:2} {(-1, 1)[i % 5 > 2]:2}")
    text("celeba/list_attr_celeba.txt", [str(len(rows)), "Bald Smiling Young", *rows])
    return "celeba"


def coco() -> str:
    for split, numbers in (("train2017", range(16)), ("val2017", range(16, 24))):
        images, notes = [], []
        for i in numbers:
            picture(f"coco/{split}/{i:012}.jpg", i)
            images.append({"id": i, "file_name": f"{i:012}.jpg", "width": 24, "height": 32})
            notes.append({"id": i, "image_id": i, "category_id": 1, "bbox": [2, 2, 9, 9]})
        kinds = [{"id": 1, "name": "cat"}]
        data = {"images": images, "annotations": notes, "categories": kinds}
        as_json(f"coco/annotations/instances_{split}.json", data)
        captions = [{"id": i, "image_id": i, "caption": sentence(i)} for i in numbers]
        as_json(
            f"coco/annotations/captions_{split}.json", {"images": images, "annotations": captions}
        )
    return "coco"


def notes(kind: str = "cat") -> str:
    corners = "<xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
    item = f"<object><name>{kind}</name><bndbox>{corners}</bndbox></object>"
    return f"<annotation><size><width>24</width><height>32</height></size>{item}</annotation>"


def voc2007() -> str:
    root = "VOCdevkit/VOC2007"
    for i in COUNT:
        picture(f"{root}/JPEGImages/{i:06}.jpg", i)
        write(f"{root}/Annotations/{i:06}.xml", notes(KINDS[i % 2]))
    for split, numbers in (("train", range(16)), ("val", range(16, 24)), ("trainval", COUNT)):
        text(f"{root}/ImageSets/Main/{split}.txt", (f"{i:06}" for i in numbers))
        text(
            f"{root}/ImageSets/Main/cat_{split}.txt",
            (f"{i:06} {-1 + 2 * (i % 2)}" for i in numbers),
        )
    return "VOCdevkit"


def voc_in_lower_case() -> str:
    for i in COUNT:
        picture(f"masks/images/maksssksksss{i}.png", i)
        write(f"masks/annotations/maksssksksss{i}.xml", notes())
    return "masks"


def labelimg() -> str:
    for i in COUNT:
        picture(f"raccoon/raccoon-{i}.jpg", i)
        write(f"raccoon/raccoon-{i}.xml", notes("raccoon"))
    return "raccoon"


def labelme() -> str:
    for i in COUNT:
        picture(f"labelme/{i}.jpg", i)
        shape = {"label": "cat", "points": [[2, 2], [9, 9]], "shape_type": "rectangle"}
        as_json(f"labelme/{i}.json", {"version": "5.0", "shapes": [shape], "imagePath": f"{i}.jpg"})
    return "labelme"


def yolo() -> str:
    for split, numbers in (("train", range(12)), ("valid", range(12, 18)), ("test", range(18, 24))):
        for i in numbers:
            picture(f"robo/{split}/images/{i}_jpg.rf.abc{i}.jpg", i)
            write(f"robo/{split}/labels/{i}_jpg.rf.abc{i}.txt", "0 0.5 0.5 0.4 0.4\n")
    write(
        "robo/data.yaml",
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 1\n"
        "names: ['cat']\n",
    )
    write("robo/README.roboflow.txt", "exported\n")
    return "robo"


def open_images() -> str:
    head = ("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax")
    rows = []
    for i in COUNT:
        picture(f"oi/train/{i:016x}.jpg", i)
        rows.append((f"{i:016x}", "xclick", "/m/0pcr", 1, 0.1, 0.5, 0.2, 0.6))
    table("oi/train-annotations-bbox.csv", [head, *rows], ",")
    return "oi"


def wider() -> str:
    lines = []
    for i in COUNT:
        name = f"{i % 3}--Parade/{i % 3}_Parade_{i}.jpg"
        picture(f"wider/WIDER_train/images/{name}", i)
        lines += [name, "1", "2 2 9 9 0 0 0 0 0 0 "]
    text("wider/wider_face_split/wider_face_train_bbx_gt.txt", lines)
    return "wider"


def unlabelled_splits() -> str:
    for split in ("train", "test"):
        for i in COUNT:
            picture(f"faces/{split}/{i}.png", i)
    return "faces"


def fsdd() -> str:
    for i in range(48):
        recording(f"recordings/{i % 4}_{('jackson', 'nicolas', 'theo')[i % 3]}_{i // 12}.wav", i)
    return "recordings"


def librispeech() -> str:
    for speaker in ("84", "174"):
        rows = []
        for i in range(12):
            recording(
                f"LibriSpeech/dev-clean/{speaker}/121/{speaker}-121-{i:04}.wav",
                i + int(speaker),
                2.0,
            )
            rows.append(f"{speaker}-121-{i:04} {sentence(i, 2).upper()}")
        text(f"LibriSpeech/dev-clean/{speaker}/121/{speaker}-121.trans.txt", rows)
    return "LibriSpeech"


def common_voice() -> str:
    for split, numbers in (("train", range(12)), ("dev", range(12, 18)), ("test", range(18, 24))):
        rows: list[tuple[object, ...]] = [("client_id", "path", "sentence", "up_votes")]
        for i in numbers:
            recording(f"cv/clips/cv_{i}.wav", i, 2.0)
            rows.append((f"u{i}", f"cv_{i}.wav", f'{sentence(i, 2)} "so"', 2))
        table(f"cv/{split}.tsv", rows)
    return "cv"


def vctk() -> str:
    for speaker in ("p225", "p226"):
        for i in range(12):
            recording(f"VCTK/wav48/{speaker}/{speaker}_{i:03}.wav", i + int(speaker[1:]) * 50, 2.0)
            write(f"VCTK/txt/{speaker}/{speaker}_{i:03}.txt", sentence(i, 2))
    return "VCTK"


def aishell() -> str:
    rows = []
    for i in COUNT:
        split = ("train", "train", "dev", "test")[i % 4]
        recording(f"data_aishell/wav/{split}/S{i % 4:04}/BAC009S{i:04}.wav", i)
        rows.append(f"BAC009S{i:04} 天 地 {i}")
    text("data_aishell/transcript/aishell_transcript_v0.8.txt", rows)
    return "data_aishell"


def speech_commands() -> str:
    names = []
    for i in COUNT:
        name = f"{('yes', 'no', 'up')[i % 3]}/{i:08x}_nohash_0.wav"
        recording(f"sc/{name}", i)
        names.append(name)
    recording("sc/_background_noise_/running_tap.wav", 1)
    text("sc/validation_list.txt", names[:6])
    text("sc/testing_list.txt", names[6:12])
    return "sc"


def esc50() -> str:
    rows: list[tuple[object, ...]] = [
        ("filename", "fold", "target", "category", "esc10", "src_file", "take")
    ]
    for i in COUNT:
        name = f"{i % 5 + 1}-{1000 + i}-A-{i % 3}.wav"
        recording(f"ESC-50/audio/{name}", i)
        rows.append((name, i % 5 + 1, i % 3, ("dog", "rain", "sea")[i % 3], True, 1000 + i, "A"))
    table("ESC-50/meta/esc50.csv", rows, ",")
    return "ESC-50"


def urbansound() -> str:
    rows: list[tuple[object, ...]] = [
        ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
    ]
    for i in COUNT:
        name = f"{1000 + i}-{i % 3}-0-0.wav"
        recording(f"UrbanSound8K/audio/fold{i % 4 + 1}/{name}", i)
        kind = ("siren", "drilling", "dog_bark")[i % 3]
        rows.append((name, 1000 + i, 0.0, 4.0, 1, i % 4 + 1, i % 3, kind))
    table("UrbanSound8K/metadata/UrbanSound8K.csv", rows, ",")
    return "UrbanSound8K"


def ravdess() -> str:
    for actor in range(1, 5):
        for i in range(12):
            name = f"03-01-{i % 4 + 1:02}-01-{i // 6 + 1:02}-{i % 2 + 1:02}-{actor:02}.wav"
            recording(f"RAVDESS/Actor_{actor:02}/{name}", i)
    return "RAVDESS"


def timit() -> str:
    for split in ("TRAIN", "TEST"):
        for i in range(12):
            stem = f"timit/{split}/DR{i % 3 + 1}/FCJF{i % 2}/SA{i}"
            recording(f"{stem}.WAV", i)
            write(f"{stem}.TXT", f"0 46797 {sentence(i)}\n")
            write(f"{stem}.PHN", "0 3050 h#\n3050 4559 sh\n")
    return "timit"


def manifest() -> str:
    rows = []
    for i in COUNT:
        recording(f"nemo/wav/{i}.wav", i, 2.0)
        rows.append({"audio_filepath": f"wav/{i}.wav", "duration": 2.0, "text": sentence(i, 2)})
    jsonl("nemo/train_manifest.json", rows)
    return "nemo"


def many_folders() -> str:
    for i in COUNT:
        picture(f"shots/{KINDS[i % 2]}/{i}.png", i)
    picture("shots/overview.png", 99)
    return "shots"


def numpy_objects() -> str:
    Path("objects").mkdir()
    np.save("objects/x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return "objects"


TRAIN_TEST = ("train", "test")
ALL = ("train", "validation", "test")
MEDIA: dict[str, Layout] = {
    "EMNIST": (emnist, Asked(("emnist-letters", "emnist-digits"))),
    "EMNIST letters": (emnist_letters, Judged("image-classification", 48, 3, splits=TRAIN_TEST)),
    "IDX of a test set": (idx_test_only, Judged("image-classification", 24, 3)),
    "CIFAR-10 batches": (cifar_batches, Asked(("pickle",))),
    "CIFAR-10 folders": (cifar_png, Judged("image-classification", 48, 2, splits=TRAIN_TEST)),
    "Tiny ImageNet": (tiny_imagenet, Asked(("val_annotations.txt",))),
    "Oxford-IIIT pets": (pets, Asked(("image-classification", "object-detection", "pattern="))),
    "Oxford-IIIT images": (pets_images, Judged("image-classification", 24, 2)),
    "Caltech-101": (caltech, Judged("image-classification", 24, 3)),
    "Flowers": (flowers, Asked((".mat",))),
    "CelebA": (celeba, Asked(("list_attr_celeba.txt",))),
    "COCO": (coco, Judged("object-detection", 24, 1, splits=("train", "validation"))),
    "VOC 2007": (voc2007, Judged("object-detection", 24, 2, splits=("train", "validation"))),
    "VOC in lower case": (voc_in_lower_case, Judged("object-detection", 24, 1)),
    "labelImg": (labelimg, Judged("object-detection", 24, 1)),
    "LabelMe": (labelme, Asked(("LabelMe",))),
    "YOLO": (yolo, Judged("object-detection", 24, 1, splits=ALL)),
    "Open Images": (open_images, Asked(("train-annotations-bbox.csv",))),
    "WIDER": (wider, Asked(("wider_face_train_bbx_gt.txt",))),
    "pictures by split": (unlabelled_splits, Judged("image-generation", 48, splits=TRAIN_TEST)),
    "pictures beside folders": (many_folders, Asked(("overview.png",))),
    "spoken digits": (
        fsdd,
        Judged("audio-classification", 48, 4, {"pattern": "{label}_{part2}_{part3}.wav"}),
    ),
    "LibriSpeech": (librispeech, Judged("speech-recognition", 24)),
    "Common Voice": (common_voice, Judged("speech-recognition", 24, splits=ALL)),
    "VCTK": (vctk, Judged("speech-recognition", 24)),
    "AISHELL": (aishell, Judged("speech-recognition", 24, splits=ALL)),
    "Speech Commands": (speech_commands, Judged("audio-classification", 24, 3, splits=ALL)),
    "ESC-50": (esc50, Judged("audio-classification", 24, 3)),
    "UrbanSound8K": (urbansound, Asked(("UrbanSound8K.csv", "fold1"))),
    "RAVDESS": (ravdess, Asked(("pattern=", "Actor_01"))),
    "TIMIT": (timit, Asked((".PHN",))),
    "manifest": (manifest, Judged("speech-recognition", 24)),
    "arrays of objects": (numpy_objects, Asked(("pickle",))),
}
