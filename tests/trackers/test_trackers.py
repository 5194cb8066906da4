"""What a tracker wrote, read back with the viewer's own reader."""

from __future__ import annotations

import os
import struct
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luban.core import registry
from luban.core.contracts import Tracker
from luban.core.errors import MissingExtra, RunError
from luban.trackers._config import flat
from luban.trackers.mlflow import Mlflow
from luban.trackers.tensorboard import Tensorboard
from luban.trackers.wandb import Wandb

CONFIG = {"name": "demo", "model": {"name": "gpt", "hidden_size": 64}, "stop": [], "none": {}}
STEPS = {1: 2.5, 2: 2.25, 3: 1.75}


def write(tracker: Tracker, folder: Path, steps: dict[int, float]) -> None:
    tracker.start(folder, "demo", CONFIG)
    for step, loss in steps.items():
        tracker.log(step, {"train/loss": loss, "lr": 0.5})
    tracker.finish()


def test_flat_config() -> None:
    assert flat(CONFIG) == {
        "name": "demo",
        "model.name": "gpt",
        "model.hidden_size": "64",
        "stop": "[]",
        "none": "{}",
    }


def read_tensorboard(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def test_tensorboard_holds_every_step(tmp_path: Path) -> None:
    write(Tensorboard(), tmp_path, STEPS)
    events = read_tensorboard(tmp_path)
    assert {point.step: point.value for point in events.Scalars("train/loss")} == STEPS
    [text] = events.Tensors("recipe/text_summary")
    assert "| model.hidden_size | 64 |" in text.tensor_proto.string_val[0].decode()


def test_tensorboard_resumes_over_repeated_steps(tmp_path: Path) -> None:
    write(Tensorboard(), tmp_path, STEPS)
    write(Tensorboard(), tmp_path, {3: 1.5, 4: 1.25})
    points = [(p.step, p.value) for p in read_tensorboard(tmp_path).Scalars("train/loss")]
    assert points == [(1, 2.5), (2, 2.25), (3, 1.5), (4, 1.25)]


def test_mlflow_goes_on_in_the_same_run(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "demo"
    run.mkdir(parents=True)
    write(Mlflow(), run, STEPS)
    write(Mlflow(), run, {4: 1.25})
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(tmp_path / "runs" / "mlflow").as_uri())
    experiment = client.get_experiment_by_name("luban")
    assert experiment is not None
    [found] = client.search_runs([experiment.experiment_id])
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert {point.step: point.value for point in points} == {**STEPS, 4: 1.25}
    assert found.data.params["model.hidden_size"] == "64"
    assert found.info.status == "FINISHED"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_mlflow_store_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="MLflow cannot open this store"):
        Mlflow(tracking_uri="nonsense://x").start(tmp_path, "demo", CONFIG)


def wandb_records(path: Path) -> Iterator[Any]:
    """Yield the records of a .wandb file: LevelDB's log format after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # a block's tail is padding
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            record.ParseFromString(parts)
            parts = b""
            yield record


def test_wandb_offline_file_holds_every_step(tmp_path: Path) -> None:
    write(Wandb(), tmp_path, STEPS)
    [path] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    end = time.monotonic() + 20  # wandb's own process writes the file after `finish`
    while not any(record.HasField("exit") for record in wandb_records(path)):
        assert time.monotonic() < end, "wandb never finished the file"
        time.sleep(0.05)
    losses, config = {}, set()
    for record in wandb_records(path):
        config |= {item.key for item in record.run.config.update}
        row = {"/".join(i.nested_key) or i.key: i.value_json for i in record.history.item}
        if "train/loss" in row:
            losses[int(row["_step"])] = float(row["train/loss"])
    assert losses == STEPS
    assert {"model", "name"} <= config


@pytest.mark.parametrize("name", registry.names("trackers"))
def test_missing_library_names_its_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    tracker = registry.load("trackers", name, Tracker)()  # type: ignore[type-abstract]
    with pytest.raises(MissingExtra, match=rf"luban\[{name}\]"):
        tracker.start(tmp_path, "demo", CONFIG)
    tracker.finish()


@pytest.mark.parametrize("name", registry.names("trackers"))
def test_trackers_write_themselves_back(name: str) -> None:
    tracker = Tracker.from_dict(name)
    assert Tracker.from_dict(tracker.to_dict()) == tracker
