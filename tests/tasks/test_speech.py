"""Recognising and classifying sound: what is learned, refused, drawn and predicted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from luban.core.batch import Batch
from luban.core.contracts import Illustrated, Model, Record, Task
from luban.core.errors import DataError, RecipeError, RunError, UnfitError, UnreadableError
from luban.data.media.audio import to_wav
from luban.data.media.media_files import Media
from luban.data.views.in_memory import InMemoryExamples
from luban.init.recognition import recognise
from luban.tasks.answers.transcripts import needed, written
from tests.life import done, luban

RATE = 8000
PITCHES = {"lo": 300, "hi": 900, "up": 1800}
SMALL: dict[str, Any] = {"sampling_rate": RATE, "feature_size": 20, "stride": 2}
CONFORMER = {
    "name": "conformer",
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "conv_channels": 4,
    "dropout": 0.0,
}


def spoken(text: str, rng: np.random.Generator) -> np.ndarray:
    """A tone of its own for each word, with a pause after it."""
    parts = []
    for word in text.split():
        size = int(RATE * rng.uniform(0.15, 0.25))
        parts.append(8000 * np.sin(2 * np.pi * PITCHES[word] * np.arange(size) / RATE))
        parts.append(np.zeros(int(RATE * 0.08)))
    wave = np.concatenate(parts) + rng.normal(0, 100, sum(map(len, parts)))
    return wave.astype(np.int16)


def records(count: int, seed: int = 0) -> list[Record]:
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(list(PITCHES), rng.integers(1, 4))) for _ in range(count)]
    return [
        {
            "audio": Media(f"{row}.wav", to_wav(spoken(text, rng), RATE)),
            "text": text,
            "label": str(len(text.split())),
            "_where": f"{row}.wav:1",
        }
        for row, text in enumerate(texts)
    ]


def task(**fields: Any) -> Task:
    return Task.from_dict({"name": "speech-recognition", **SMALL, **fields})


class Scripted(nn.Module):
    """Says what it is told, whatever it hears."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_the_loss_is_minus_log_of_all_alignments() -> None:
    learned = task().learn(records(9))
    batch = learned.collate(learned.encode_batch(records(9)))
    frames = batch.inputs["attention_mask"].sum(1)
    assert set((frames % 2).tolist()) == {0, 1}
    positions = -(-frames // 2)
    torch.manual_seed(0)
    logits = torch.randn(9, int(positions.max()), learned.signature().outputs).double()
    losses = learned.loss(Scripted(logits), batch).detach()
    labels, lengths = batch.targets["labels"], batch.targets["label_lengths"]
    for row in range(9):
        size, said = int(positions[row]), int(lengths[row])
        alone = F.ctc_loss(
            logits[row, :size].log_softmax(-1),
            labels[row, :said],
            torch.tensor(size),
            torch.tensor(said),
            blank=learned.signature().pad or 0,
            reduction="sum",
        )
        assert float(losses.sums[row]) == pytest.approx(float(alone))
        assert int(losses.counts[row]) == said


def test_the_real_time_factor_is_seconds_of_work_for_a_second_of_sound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned = task().learn(records(12))
    batches = [learned.collate(learned.encode_batch(records(12)[at : at + 4])) for at in (0, 4, 8)]
    clock = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))  # a batch takes a second
    module = Scripted(torch.zeros(4, 60, learned.signature().outputs))
    with torch.no_grad():
        metric = learned.calibrate(module, batches).metrics()[-1]
    seconds = sum(len(learned.encode(record)["samples"]) for record in records(12)) / RATE
    (found,) = metric.statistics({"text": "", "score": 0.0}, {})
    assert found == pytest.approx(3 / seconds, rel=0.03)
    assert "12 recordings" in metric.note(np.zeros((1, 1)))


def test_a_path_is_read_as_the_text_it_says() -> None:
    learned = task().learn(records(6))
    signature = learned.signature()
    batch = learned.collate([learned.encode_input(records(1)[0])])
    positions = -(-int(batch.inputs["attention_mask"].sum()) // 2)
    ids = learned.encode({"audio": records(6)[0]["audio"], "text": "hi lo"})["labels"].tolist()
    path = [id for one in ids for id in (one, one, signature.pad)][:positions]
    path += [signature.pad] * (positions - len(path))
    logits = torch.full((1, positions, signature.outputs), -20.0)
    logits[0, torch.arange(positions), torch.tensor(path)] = 20.0
    with torch.no_grad():
        (said,) = learned.predict(Scripted(logits), batch)
    assert said["text"] == "hi lo"
    assert said["score"] == pytest.approx(0, abs=1e-6)


def half_heard(learned: Any, batch: Batch) -> Tensor:
    """Outputs that say "hu", which is no word here, rather than "hi"; by little."""
    positions = -(-int(batch.inputs["attention_mask"].sum()) // 2)
    word = {c: int(learned.encode({**records(1)[0], "text": c})["labels"][0]) for c in "hiu"}
    logits = torch.full((1, positions, learned.signature().outputs), -10.0)
    logits[:, :, learned.signature().pad] = 0.0
    logits[0, 1, word["h"]] = 9.0
    logits[0, 3, word["u"]], logits[0, 3, word["i"]] = 9.0, 8.5
    return logits


@pytest.mark.parametrize(("truth", "best"), [("hi", 1.0), ("hu", 0.0)])
def test_the_language_model_is_weighed_by_validation_data(
    truth: str, best: float, tmp_path: Path
) -> None:
    """What helps a little helps from 0.25 to 2: the middle of these is taken."""
    learned = task(num_beams=8, lm_order=4).learn(records(30))
    batch = learned.collate([learned.encode({**records(1)[0], "text": truth})] * 6)
    module = Scripted(half_heard(learned, batch).expand(6, -1, -1))
    with torch.no_grad():
        tuned = learned.calibrate(module, [batch])
        tuned.save(tmp_path)
        loaded = task(num_beams=8, lm_order=4).load(tmp_path)
        assert [t.predict(module, batch)[0]["text"] for t in (tuned, loaded)] == [truth, truth]
    weight = json.loads((tmp_path / "speed.json").read_text())["lm_weight"]
    assert weight == best
    note = loaded.metrics()[0].note(np.ones((1, 4)))
    assert f"lm_weight {weight:g}, by validation data" in note


def test_a_language_model_mends_what_was_half_heard(tmp_path: Path) -> None:
    fields = {"num_beams": 8, "lm_order": 4, "lm_weight": 2.0}
    plain, helped = task().learn(records(30)), task(**fields).learn(records(30))
    helped.save(tmp_path)
    loaded = task(**fields).load(tmp_path)
    batch = plain.collate([plain.encode_input(records(1)[0])])
    logits = half_heard(plain, batch)
    with torch.no_grad():
        texts = [t.predict(Scripted(logits), batch)[0]["text"] for t in (plain, helped, loaded)]
    assert texts == ["hu", "hi", "hi"]
    (tmp_path / "language_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(RunError, match="language model is missing or damaged"):
        task(**fields).load(tmp_path)


def test_more_text_for_the_language_model(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("hi hi hi\n" * 20)
    fields = {"num_beams": 2, "lm_order": 3}
    plain = task(**fields).learn(records(5))
    more = task(**fields, lm_text=str(tmp_path / "more.txt")).learn(records(5))
    ids = plain.encode({**records(5)[0], "text": "hi"})["labels"].tolist()
    one, other = (t._language(ids[:1])[ids[1]] for t in (plain, more))  # type: ignore[attr-defined]
    assert other > one
    with pytest.raises(DataError):
        task(**fields, lm_text=str(tmp_path / "none.txt")).learn(records(5))


def test_transcripts_as_they_are_learned() -> None:
    said = {"lowercase": True, "strip_punctuation": True}
    assert written("  Don't STOP,  she said: “No!” ", **said) == "don't stop she said no"
    assert written("今天，天气好。", **said) == "今天 天气好"
    assert written(" A  b.", lowercase=False, strip_punctuation=False) == "A b."
    learned = task(**said).learn([{**r, "text": f"{r['text'].upper()}!"} for r in records(3)])
    example = learned.encode({**records(3)[0], "text": "HI, lo."})
    assert learned.target(example)["text"] == "hi lo"
    assert (
        learned.metrics()[0].note(np.ones((1, 4))).endswith("in lower case and with no punctuation")
    )


def test_how_many_positions_a_text_needs() -> None:
    assert [needed(ids) for ids in ([], [1], [1, 1], [1, 2, 2, 2])] == [0, 1, 3, 6]


@pytest.mark.parametrize(
    ("record", "error", "said"),
    [
        ({"text": "hi"}, DataError, "no audio"),
        ({"audio": "cut"}, DataError, "no text"),
        ({"audio": "whole", "text": " "}, DataError, "no text"),
        ({"audio": "cut", "text": "hi"}, UnreadableError, "cut off"),
        ({"audio": "whole", "text": "hi" * 40}, UnfitError, "too short for its text"),
        ({"audio": 7, "text": "hi"}, DataError, "holds no file"),
        ({"audio": "long", "text": "hi"}, UnfitError, "too long"),
    ],
)
def test_bad_records_are_named(record: dict[str, Any], error: type[Exception], said: str) -> None:
    whole = to_wav(np.ones(1200, np.int16), RATE)
    files = {"cut": whole[:900], "whole": whole, "long": to_wav(np.ones(9000, np.int16), RATE)}
    if (name := record.get("audio")) in files:
        record = {**record, "audio": Media(f"{name}.wav", files[name])}
    learned = task(max_seconds=1.0).learn(records(3))
    with pytest.raises(error, match=said) as told:
        learned.encode({**record, "_where": "my/row.wav:1"})
    assert any(place in str(told.value) for place in ("my/row.wav", f"{name}.wav"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stride": 3}, "1, 2, 4 or 8"),
        ({"feature_size": 200}, "too narrow"),
        ({"lm_order": 3}, "num_beams"),
        ({"num_beams": 4, "lm_text": "x"}, "lm_order"),
        ({"augmentations": ["flip"]}, "does not change sound"),
    ],
)
def test_nonsense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        task(**fields)


def test_a_view_is_made_of_samples_then_features() -> None:
    learned = task(augmentations=["spec-augment", "speed-perturbation"]).learn(records(4))
    store = InMemoryExamples(learned.encode_batch(records(4)))
    first, again = (learned.view(store, 3, 1) for _ in range(2))
    other = learned.view(store, 4, 1)
    for one, two, three in zip(first, again, other, strict=True):
        assert np.array_equal(one["features"], two["features"])
        assert one["features"].shape != three["features"].shape  # of another speed
    lengths = learned.view(store, None, 0).lengths
    assert lengths is not None
    batch = learned.collate(learned.encode_batch(records(4)))
    assert batch.inputs["attention_mask"].sum(1).tolist() == lengths.tolist()
    assert batch.positions == batch.inputs["attention_mask"].numel()


def test_what_speed_made_too_short_does_not_count() -> None:
    learned = task().learn(records(4))
    batch = learned.collate(learned.encode_batch(records(4)))
    targets = {**batch.targets, "label_positions": batch.targets["label_positions"].clone()}
    targets["label_positions"][1] = 10_000
    losses = learned.loss(
        Model.from_dict(CONFORMER).build(learned.signature()), Batch(batch.inputs, targets)
    )
    assert (
        (losses.sums == 0).tolist() == (losses.counts == 0).tolist() == [False, True, False, False]
    )


@pytest.mark.parametrize("speeds", [[0.7], [0.6, 0.6]])
def test_the_longest_recording_fits_the_model_however_slow_it_becomes(speeds: list[float]) -> None:
    speed = [{"name": "speed-perturbation", "min_speed": one, "max_speed": 1.0} for one in speeds]
    longest = [{"audio": np.ones(2 * RATE, np.int16), "text": "lo"}] * 8
    learned = task(max_seconds=2, augmentations=speed).learn(longest)
    view = learned.view(InMemoryExamples(learned.encode_batch(longest)), 0, 0)
    batch = learned.collate([view[row] for row in range(8)])
    assert batch.inputs["attention_mask"].sum(1).max() > 230  # of 201 frames as it was
    module = Model.from_dict(CONFORMER).build(learned.signature())
    assert learned.loss(module, batch).sums.isfinite().all()


def test_files_of_any_rate_and_the_server_agree() -> None:
    """What is sent as base64 is heard as the file is."""
    import base64

    learned = task().learn(records(4))
    record = records(4)[1]
    sent = {"audio": base64.b64encode(record["audio"].source).decode()}
    stored, served = learned.encode(record), learned.encode_input(sent)
    assert np.array_equal(stored["samples"], served["samples"])
    assert set(learned.record_schema()["required"]) == {"audio"}


def test_recordings_are_recognised() -> None:
    found = recognise("speech-recognition", records(20))
    assert found is not None
    assert found.fields == {}
    assert found.task["sampling_rate"] == RATE
    assert found.train["num_train_epochs"] == 200
    labelled = [{"clip": r["audio"], "class": r["label"]} for r in records(40)]
    guess = recognise("audio-classification", labelled)
    assert guess is not None
    assert guess.fields == {"audio": "clip", "label": "class"}
    assert recognise("speech-recognition", labelled) is None
    assert recognise("audio-classification", [{"text": "a", "label": "b"}] * 9) is None


@pytest.mark.parametrize("name", ["speech-recognition", "audio-classification"])
def test_examples_are_drawn(name: str) -> None:
    from matplotlib.figure import Figure

    learned = Task.from_dict({"name": name, **SMALL}).learn(records(6))
    assert isinstance(learned, Illustrated)
    example = learned.encode(records(6)[0])
    target = learned.target(example)
    right = {**target, "scores": {"1": 1.0}, "score": 1.0}
    wrong = {**right, "text": "wrong $", "label": "9"}
    for said in (right, wrong):
        axes = Figure().subplots()
        assert learned.show(axes, example, said, target)
        assert bool(axes.get_xlabel()) == (said is wrong)
        assert (learned.mistake(said, target) > 0) == (said is wrong)


def write_sounds(folder: Path, count: int = 60) -> None:
    """Write a folder of recordings and a table of what is said in them."""
    (folder / "sounds").mkdir()
    rows = ["file_name,text,label"]
    for record in records(count, seed=5):
        (folder / "sounds" / record["audio"].name).write_bytes(record["audio"].source)
        rows.append(f"{record['audio'].name},{record['text']},{record['label']}")
    rows.append(f"long.wav,lo,1\nfast.wav,{'lo up hi ' * 9},1")
    (folder / "sounds" / "metadata.csv").write_text("\n".join(rows))
    (folder / "sounds" / "0.wav").write_bytes(b"RIFF damaged")
    (folder / "sounds" / "long.wav").write_bytes(to_wav(np.ones(5 * RATE, np.int16), RATE))
    (folder / "sounds" / "fast.wav").write_bytes(to_wav(np.ones(RATE, np.int16), RATE))


@pytest.mark.parametrize("name", ["speech-recognition", "audio-classification"])
def test_a_folder_of_recordings_is_learned(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sounds(tmp_path)
    recipe = {
        "name": "tones",
        "data": {
            "source": {"name": "files", "path": "sounds"},
            "split": {"validation": 0.1, "test": 0.2},
            "max_overlap": 1.0,
        },
        "task": {"name": name, **SMALL, "max_seconds": 3.0},
        "model": CONFORMER,
        "train": {
            "max_steps": 120,
            "batch_size": 8,
            "optimizer": {"name": "adamw", "learning_rate": 0.01},
            "schedule": {"name": "cosine", "warmup_steps": 20},
            "precision": "fp32",
            "compile": "off",
            "eval_steps": 100,
        },
        "prepare": {"max_unreadable": 0.5},
        "evaluate": {"bootstrap_rounds": 100},
    }
    Path("tones.yaml").write_text(yaml.safe_dump(recipe))
    done("run", "tones.yaml")
    run = tmp_path / "runs/tones"
    claims = json.loads((run / "reports/evaluate.json").read_text())["claims"]
    if name == "speech-recognition":
        assert claims["test/word-error-rate"]["value"] < 0.3
        assert claims["test/commonest/word-error-rate"]["value"] > 0.5
        assert 0 < claims["test/real-time-factor"]["value"] < 1
    else:
        assert claims["test/accuracy"]["value"] > 0.7
    prepared = json.loads((run / "reports/prepare.json").read_text())["claims"]
    apart = Counter[str]()
    for claim, told in prepared.items():
        if "/set apart: " in claim:
            apart[claim.split(": ")[1]] += told["value"]
    fast = {"this recording is too short for its text": 1} if name == "speech-recognition" else {}
    assert apart == {
        "this recording cannot be read": 1,
        "this recording is too long": 1,
        **fast,
    }
    assert "| set apart: this recording is too long |" in (run / "README.md").read_text()
    assert (run / "figures/examples.png").is_file()
    done("verify", "runs/tones")
    Path("no.yaml").write_text(yaml.safe_dump({**recipe, "name": "no"}))
    said = luban("prepare", "no.yaml", "prepare.max_unreadable=0.01")
    assert said.code == 2
    assert "0.wav" in said.err
