"""`luban predict`: streamed, in order, bad rows apart, and a kill costs nothing but time."""

from __future__ import annotations

import csv
import gzip
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from luban.core import registry
from luban.core.errors import RunError
from luban.prediction import files as batch
from luban.prediction.files import json_line
from tests.life import ROOT, done, environment, luban
from tests.plugin.test_plugin import PACKAGE, RECIPE

OUTPUT = Path("out.jsonl")
PARTS = ("out.jsonl.part", "out.jsonl.bad.jsonl.part", "out.jsonl.progress.json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a plug-in that sorts texts into vowels and consonants."""
    folder = tmp_path_factory.mktemp("predict")
    generator = random.Random(0)
    rows = []
    for number in range(200):
        label = generator.choice(["vowels", "consonants"])
        letters = {"vowels": "aeiou", "consonants": "bcdfg"}[label]
        text = "".join(generator.choices(letters, k=generator.randint(3, 9)))
        rows.append({"text": text, "label": label, "id": number})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "recipe.yaml").write_text(RECIPE)
    subprocess.run(
        [sys.executable, "-m", "luban", "train", "recipe.yaml"],
        cwd=folder,
        check=True,
        capture_output=True,
        env=environment(PYTHONPATH=f"{PACKAGE}:{ROOT}"),
    )
    return folder / "runs/sorted"


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained run; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(PACKAGE))
    registry.forget_plugins()
    return trained


def lines(path: Path | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def write(name: str, *rows: Any) -> str:
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    Path(name).write_text("\n".join(texts) + "\n", encoding="utf-8")
    return name


GOOD = [{"text": "aeiou"}, {"text": "bcd", "id": 7}, {"text": "ee" * 40}, {"text": "fgg"}]
SORTED = ["vowels", "consonants", "vowels", "consonants"]


def test_a_prediction_for_each_row_in_order(run: Path) -> None:
    write("in.jsonl", *GOOD)
    said = done("predict", run, "--input", "in.jsonl", "--output", OUTPUT, "--json").json
    assert said["rows"] == said["predicted"] == 4
    assert said["bad_output"] is None
    found = lines(OUTPUT)
    assert [row["prediction"] for row in found] == SORTED
    assert [row["row"] for row in found] == [1, 2, 3, 4]
    assert found[1]["id"] == 7
    assert sorted(p.name for p in Path().iterdir()) == ["in.jsonl", "out.jsonl"]
    printed = done("predict", run, "--input", "in.jsonl")
    assert printed.out == OUTPUT.read_text()
    assert "4 of 4 rows predicted" in printed.err


BAD: dict[str, tuple[str, str]] = {
    "not JSON": ("{oops", "this line is not JSON"),
    "cut short": ('{"text": "a', "this line is not JSON"),
    "a list": ("[1, 2]", "not a table of fields"),
    "a number": ("3", "not a table of fields"),
    "null": ("null", "not a table of fields"),
    "deep": ("[" * 100_000, "this line is not JSON"),
    "a long number": ('{"text": ' + "1" * 5000 + "}", "this line is not JSON"),
    "another field": ('{"body": "a"}', "no text"),
    "a text that is a number": ('{"text": 3}', "no text"),
    "a text that is not a number": ('{"text": NaN}', "no text"),
    "a text that is a list": ('{"text": ["a"]}', "no text"),
    "half a character": ('{"text": 3, "x": "\\ud800"}', "half a character"),
}


@pytest.mark.parametrize(("row", "what"), BAD.values(), ids=BAD)
def test_a_bad_row_is_kept_apart(run: Path, row: str, what: str) -> None:
    write("in.jsonl", GOOD[0], row, GOOD[1])
    said = luban("predict", run, "--input", "in.jsonl", "--output", OUTPUT, "--json")
    assert said.code == 2
    assert (said.json["predicted"], said.json["bad"]) == (2, 1)
    assert [row["row"] for row in lines(OUTPUT)] == [1, 3]
    [bad] = lines("out.jsonl.bad.jsonl")
    assert bad["row"] == 2
    assert what in bad["what"]
    told = luban("predict", run, "--input", "in.jsonl")
    assert told.code == 2
    assert what in told.err
    assert "Traceback" not in told.err


def test_a_bad_row_comes_with_its_record(run: Path) -> None:
    write("in.jsonl", {"id": 5, "body": "a", "x": [1]})
    luban("predict", run, "--input", "in.jsonl", "--output", OUTPUT)
    [bad] = lines("out.jsonl.bad.jsonl")
    assert bad["id"] == 5
    assert bad["record"] == {"id": 5, "body": "a", "x": [1]}
    assert OUTPUT.read_text() == ""


def test_csv_goes_on_after_bad_rows(run: Path) -> None:
    write("in.csv", "text;id", "aeiou;a", "bcd", "fgg;b;c", '"ee\n ee";d', '"x"y;e', "gg;f")
    said = luban("predict", run, "--input", "in.csv", "--output", "out.tsv")
    assert said.code == 2
    with Path("out.tsv").open(newline="") as file:
        found = [tuple(row.values()) for row in csv.DictReader(file, delimiter="\t")]
    assert found == [("2", "a", "vowels"), ("5", "d", "vowels"), ("8", "f", "consonants")]
    assert [bad["row"] for bad in lines("out.tsv.bad.jsonl")] == [3, 4, 7]
    assert "3 bad" in said.err


def test_formats_and_options(run: Path) -> None:
    Path("latin.txt").write_bytes("äeiou\r\nbcdé\r\n".encode("latin-1"))
    said = done("predict", run, "--input", "latin.txt", "encoding=latin-1")
    assert [json.loads(line)["prediction"] for line in said.out.splitlines()] == SORTED[:2]
    with gzip.open("in.jsonl.gz", "wt") as file:
        file.write('{"a": {"b": "bcd"}}\n')
    said = done("predict", run, "--input", "in.jsonl.gz", "fields.text=a.b")
    assert json.loads(said.out)["prediction"] == "consonants"
    write("rows.dat", "text", "aei")
    said = done("predict", run, "--input", "rows.dat", "--format", "csv")
    assert json.loads(said.out) == {"row": 2, "prediction": "vowels"}


def test_standard_input(run: Path) -> None:
    command = [sys.executable, "-m", "luban", "predict", str(run), "--input", "-"]
    env = environment(PYTHONPATH=f"{PACKAGE}:{ROOT}")
    for more, text in (((), '{"text": "bcd"}\n'), (("--format", "text"), "bcd\n")):
        ran = subprocess.run([*command, *more], input=text, capture_output=True, text=True, env=env)
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["prediction"] == "consonants"


REFUSED: dict[str, tuple[list[str], str]] = {
    "no file": (["--input", "im.jsonl"], "did you mean 'in.jsonl'"),
    "no format": (["--input", "in.dat"], "--format jsonl, json, csv, parquet, text"),
    "an unknown option": (["--input", "in.jsonl", "delimitr=x"], "delimitr"),
    "an option that is none": (["--input", "in.jsonl", "delimiter"], "key=value"),
    "both": (["--input", "in.jsonl", "--text", "a"], "one of them"),
    "nothing": ([], "nothing to predict"),
    "no batch": (["--input", "in.jsonl", "--batch-size", "0"], "batch size"),
    "a record that is bad": (["body=a"], "no text"),
    "a field without a name": (["=a"], "NAME=VALUE"),
    "an output that is a folder": (["--input", "in.jsonl", "--output", "/dev/null/x"], "write"),
}


@pytest.mark.parametrize(("arguments", "what"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_said(run: Path, arguments: list[str], what: str) -> None:
    write("in.jsonl", *GOOD)
    write("in.dat", "text")
    said = luban("predict", run, *arguments)
    assert said.code == 2
    assert what in said.err
    assert "Traceback" not in said.err


def test_one_record(run: Path) -> None:
    assert done("predict", run, "--text", "aei").out == '"vowels"\n'
    assert done("predict", run, "text=bcd", "--json").json == "consonants"


def test_a_run_that_continues_prompts_points_to_generate(my_life: Path) -> None:
    said = luban("predict", "runs/tiny", "--text", "a")
    assert said.code == 2
    assert "luban generate runs/tiny" in said.err


def test_an_output_is_not_overwritten_unasked(run: Path) -> None:
    write("in.jsonl", *GOOD)
    OUTPUT.write_text("mine")
    said = luban("predict", run, "--input", "in.jsonl", "--output", OUTPUT)
    assert said.code == 2
    assert "--force" in said.err
    assert OUTPUT.read_text() == "mine"
    done("predict", run, "--input", "in.jsonl", "--output", OUTPUT, "--force")
    assert len(lines(OUTPUT)) == 4


class Killed(Exception):
    """Stands for a kill that leaves no time to tidy up."""


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@pytest.mark.parametrize("moment", range(12))
def test_a_kill_at_any_write_leaves_what_can_be_resumed(
    run: Path, monkeypatch: pytest.MonkeyPatch, moment: int, suffix: str
) -> None:
    rows = [{"text": "ae" * (i % 7)} if i % 9 else {"body": i} for i in range(150)]
    write("in.jsonl", *rows)
    command = ("predict", run, "--input", "in.jsonl", "--batch-size", 2)
    luban(*command, "--output", f"whole{suffix}")
    monkeypatch.setattr(batch, "COMMIT_EVERY", 0)
    left = moment

    def dying(name: str) -> Any:
        real = getattr(batch, name)

        def call(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*arguments)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(batch, "write_json", dying("write_json"))
        patch.setattr(batch, "sync_folder", dying("sync_folder"))
        killed = luban(*command, "--output", f"out{suffix}")
    said = luban(*command, "--output", f"out{suffix}", "--json")
    if "Killed" in killed.err:
        assert said.json["resumed_at"] == min(150, max(0, moment) * 32)
    for end in ("", ".bad.jsonl"):
        assert Path(f"out{suffix}{end}").read_bytes() == Path(f"whole{suffix}{end}").read_bytes()
    assert not list(Path().glob("*.part")) + list(Path().glob("*.progress.json"))


def test_kill_9_and_resume_gives_the_identical_file(run: Path) -> None:
    generator = random.Random(1)
    rows = [
        "".join(generator.choices("abcdefgi", k=generator.randint(1, 60))) for _ in range(40_000)
    ]
    write("in.jsonl", *({"text": row} if i % 1000 else [] for i, row in enumerate(rows)))
    command = ["predict", str(run), "--input", "in.jsonl", "--batch-size", "4"]
    luban(*command, "--output", "whole.jsonl")
    env = environment(PYTHONPATH=f"{PACKAGE}:{ROOT}")
    process = subprocess.Popen(
        [sys.executable, "-m", "luban", *command, "--output", str(OUTPUT)],
        stderr=subprocess.DEVNULL,
        env=env,
    )
    while not Path(PARTS[2]).exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    for line in Path(PARTS[0]).read_text().splitlines()[:-1]:
        assert json.loads(line), "what is there is a valid prefix"
    assert not OUTPUT.exists()
    said = luban(*command, "--output", str(OUTPUT), "--json")
    assert 0 < said.json["resumed_at"] < 40_000
    assert said.json["rows"] == 40_000
    assert said.json["bad"] == 40
    assert OUTPUT.read_bytes() == Path("whole.jsonl").read_bytes()


def begun(run: Path) -> tuple[str, ...]:
    """Begin a job and leave it as a kill would."""
    write("in.jsonl", *GOOD)
    command = ("predict", str(run), "--input", "in.jsonl", "--output", "out.jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch.Job, "finish", lambda self: (_ for _ in ()).throw(Killed()))
        assert "Killed" in luban(*command).err
    assert all(Path(name).exists() for name in PARTS)
    return command


def test_what_was_begun_with_other_rows_is_not_continued(run: Path) -> None:
    command = begun(run)
    write("in.jsonl", *GOOD, {"text": "x"})
    said = luban(*command)
    assert said.code == 2
    assert "another input" in said.err
    assert "another batch_size" in luban(*command, "--batch-size", "3").err.replace(
        "input and ", ""
    )
    done(*command, "--force")
    assert len(lines(OUTPUT)) == 5


def test_what_was_begun_with_another_model_is_not_continued(run: Path, tmp_path: Path) -> None:
    command = list(begun(run))
    (tmp_path / "other").symlink_to(run)
    (tmp_path / "changed").mkdir()
    for path in run.rglob("*"):
        if path.is_file():
            target = tmp_path / "changed" / path.relative_to(run)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    labels = tmp_path / "changed/model/labels.json"
    labels.write_text(labels.read_text().replace("vowels", "VOWELS"))
    command[1] = str(tmp_path / "changed")
    assert "another model" in luban(*command).err
    command[1] = str(tmp_path / "other")
    done(*command)


def test_damage_is_seen(run: Path) -> None:
    command = begun(run)
    text = Path(PARTS[2]).read_text()
    Path(PARTS[2]).write_text(text[:20])
    assert "damaged" in luban(*command).err
    Path(PARTS[2]).write_text(text.replace('"complete": true', '"complete": false'))
    Path(PARTS[0]).write_text("")
    assert "damaged" in luban(*command).err


def test_two_processes_do_not_write_one_file(run: Path) -> None:
    first = batch.Job(OUTPUT, {"input": "a"})
    with first, pytest.raises(RunError, match="another process"), batch.Job(OUTPUT, {"input": "a"}):
        pass


def test_numbers_that_are_not_finite_are_no_answer() -> None:
    with pytest.raises(RunError, match="not finite"):
        json_line({"score": float("nan")})
    assert json.loads(json_line({"text": "\ud800仁"})) == {"text": "\ud800仁"}
