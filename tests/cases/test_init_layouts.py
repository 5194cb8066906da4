"""What people have, as they unpacked it: judged right, or asked about; never a wrong recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from luban.recipe import Recipe
from tests.cases.layouts import Asked, Judged, Layout
from tests.cases.layouts_media import MEDIA
from tests.cases.layouts_pairs import PAIRS
from tests.cases.layouts_tagged import TAGGED
from tests.cases.layouts_texts import TEXTS
from tests.life import done, luban

LAYOUTS: dict[str, Layout] = {**TEXTS, **TAGGED, **PAIRS, **MEDIA}
JUDGED = {name: layout for name, layout in LAYOUTS.items() if isinstance(layout[1], Judged)}
ASKED = {name: layout for name, layout in LAYOUTS.items() if isinstance(layout[1], Asked)}
#: The first layout for each task; the others take long to validate.
FIRST = {
    found.task: name
    for name, (_, found) in reversed(JUDGED.items())
    if isinstance(found, Judged) and found.task
}
SPLIT = "data.split={validation: 0.2, test: 0.2}"
SAME = "data.max_overlap=1"  # splits of a layout are written alike


@pytest.mark.parametrize("name", JUDGED)
def test_judged_right(name: str, here: Path) -> None:
    make, expected = JUDGED[name]
    assert isinstance(expected, Judged)
    said = done("init", make(), "--json", *expected.arguments).json
    assert said["task"] == expected.task
    assert said["facts"]["records"] == expected.records
    assert len(said["classes"]) == expected.classes
    assert dict(expected.source).items() <= said["source"].items()
    recipe = Recipe.read(Path(said["recipe"]))
    if len(expected.splits) > 1:
        assert recipe.data.source.splits() == expected.splits
    if name in FIRST.values():
        assert done("validate", said["recipe"], SPLIT, SAME).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in JUDGED if name not in FIRST.values()])
def test_every_recipe_validates(name: str, here: Path) -> None:
    make, expected = JUDGED[name]
    assert isinstance(expected, Judged)
    said = done("init", make(), "--json", *expected.arguments).json
    assert done("validate", said["recipe"], SPLIT, SAME).code == 0


@pytest.mark.parametrize("name", ASKED)
def test_asked_about(name: str, here: Path) -> None:
    make, expected = ASKED[name]
    assert isinstance(expected, Asked)
    said = luban("init", make())
    assert (said.code, "Traceback" in said.err) == (2, False), said.out
    assert [word for word in expected.words if word not in said.err] == [], said.err
    assert not list(Path().glob("*.yaml")), "a recipe was written all the same"


#: What ``luban init`` makes of the real sets: task, records; or what it says where it asks.
REAL: dict[str, tuple[str, int] | str] = {
    "ag-news": ("text-classification", 7_600),
    "bccd": ("object-detection", 364),
    "cifar10-jpeg": ("image-classification", 60_000),
    "cmrc2018-dev": ("question-answering", 3_219),
    "csl": "cls_ctg.train.tsv",
    "csl/cls_ctg.*": ("text-classification", 9_000),
    "fashion-mnist": ("image-classification", 70_000),
    "fsdd": ("audio-classification", 2_000),
    "gsm8k": ("instruction-tuning", 7_473),
    "instruct-demo": "alpaca_en_demo.json.gz",
    "instruct-demo/alpaca*": ("instruction-tuning", 1_999),
    "instruct-demo/dpo*": "chosen",
    "llm-eval-mc": "winograd_wsc.jsonl",
    "llm-eval-mc/copa.jsonl": ("multiple-choice", 100),
    "multi30k-en-de": ("translation", 31_014),
    "names": ("text-generation", 32_033),
    "presidio-pii": ("token-classification", 1_500),
    "resume-ner": ("token-classification", 4_761),
    "sanguo": ("text-generation", 1),
    "scitldr-a": ("summarization", 3_229),
    "songci": ("text-generation", 21_050),
    "speech-sentences": ("speech-recognition", 8),
    "squad11-dev": ("question-answering", 8_001),
    "sst2": ("text-classification", 9_613),
    "tatoeba-en-zh": ("translation", 19_035),
    "thucnews-titles": ("text-classification", 20_000),
    "tinyshakespeare": ("text-generation", 1),
    "waimai-10k": ("text-classification", 11_987),
    "wnut17": ("token-classification", 5_690),
}


@pytest.mark.slow
@pytest.mark.parametrize("path", REAL)
def test_real_sets(path: str, here: Path, luban_data: Path) -> None:
    said = luban("init", luban_data / path, "--json", "-o", "x.yaml")
    expected = REAL[path]
    if isinstance(expected, str):
        assert (said.code, expected in said.err) == (2, True), said.err
    else:
        assert said.code == 0, said.err
        assert "luban: " not in said.err  # only progress
        assert (said.json["task"], said.json["facts"]["records"]) == expected


def test_each_set_of_the_project_is_judged(luban_data: Path) -> None:
    sets = {folder.name for folder in luban_data.iterdir() if folder.is_dir()}
    assert sets == {path.split("/")[0] for path in REAL}


def test_a_recipe_of_another_name_is_another_run(here: Path) -> None:
    path = TEXTS["Yelp"][0]()
    done("init", path)
    done("init", path, "--output", "other.yaml")
    names = {recipe.name: Recipe.read(recipe).name for recipe in Path().glob("*.yaml")}
    assert names == {"other.yaml": "other", "yelp_academic_dataset_review.yaml": path[:-5]}


def test_what_was_seen_and_considered_is_said(here: Path) -> None:
    asked = luban("init", PAIRS["OpenAssistant"][0](), "--json")
    assert asked.code == 2
    for part in ("saw:", "parent_id", "--task text-classification", "fields.label=role"):
        assert part in asked.json["error"]["what"] + asked.json["error"]["expected"]
    settled = done("init", "oasst.jsonl", "fields.label=lang", "fields.text=text", "--json").json
    assert {reading["task"] for reading in settled["readings"]} >= {settled["task"]}
    told = done("init", PAIRS["SAMSum"][0](), "--json").json
    assert "'document' is empty" in told["problems"][0]
    assert told["confidence"] > 0.5
