"""Recordings that are clipped: how many samples is measured and told; beyond a bound, set apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from luban.core.contracts import Task
from luban.core.errors import UnfitError
from luban.data.media.media_files import Media
from tests.life import done, luban

pytestmark = pytest.mark.usefixtures("here")
TONE = np.sin(2 * np.pi * 440 * np.arange(8_000) / 16_000)


def write(name: str, gain: float, subtype: str = "PCM_16", rate: int = 16_000) -> Path:
    """Write a tone that is cut off at full scale."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(TONE * gain, -1, 1), rate, subtype=subtype)
    return path


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_recording_that_is_mostly_clipped_is_set_apart(subtype: str, rate: int) -> None:
    task = Task.from_dict("audio-classification")
    for gain, fits in ((0.9, True), (1.001, True), (1.2, False), (20, False)):
        record = {"audio": Media("a.wav", write("a.wav", gain, subtype, rate))}
        if fits:
            task.encode_input(record)
            continue
        with pytest.raises(UnfitError, match="this recording is clipped"):
            task.encode_input(record)


#: Four of them too much.
GAINS = [1.002, 1.003, 1.004, 1.005, *(0.2 + number / 60 for number in range(36))]


def recipe() -> Path:
    found: dict[str, Any] = {
        "name": "small",
        "data": {
            "source": {"name": "files", "path": "sounds"},
            "split": {"validation": 0.2, "test": 0.2},
        },
        "task": {"name": "audio-classification"},
        "model": {
            "name": "conformer",
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "conv_channels": 4,
        },
        "train": {"max_steps": 2, "batch_size": 8, "optimizer": {"name": "adamw"}},
    }
    Path("small.yaml").write_text(yaml.safe_dump(found))
    return Path("small.yaml")


def test_clipping_is_counted_told_and_bounded() -> None:
    for number in range(40):
        write(f"sounds/{'ab'[number % 2]}/{number}.wav", GAINS[number])
    write("sounds/a/square.wav", 50)
    said = done("prepare", recipe())
    assert "recordings with more than 0.1% of samples at full scale" in said.out + said.err
    claims = json.loads(Path("runs/small/reports/prepare.json").read_text())["claims"]
    values = {name.partition("/")[2]: 0 for name in claims}
    for name, claim in claims.items():
        if isinstance(claim["value"], int):
            values[name.partition("/")[2]] += claim["value"]
    assert values["recordings with more than 0.1% of samples at full scale"] == 4
    loud = [np.abs(np.rint(np.clip(TONE * gain, -1, 1) * 32_768)) >= 32_767 for gain in GAINS[:4]]
    assert values["samples at full scale in clipped recordings"] == np.sum(loud)
    assert values["set apart: this recording is clipped"] == 1
    for number in range(10):
        write(f"sounds/b/square{number}.wav", 50 + number)
    refused = luban("prepare", recipe())
    assert refused.code == 2
    assert "records cannot be used" in refused.err
    assert "clipped" in refused.err
