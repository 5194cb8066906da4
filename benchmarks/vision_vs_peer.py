"""How many images per second does a training step see, against the ``transformers`` Trainer?

The same networks with the same weights' shapes: ``ResNetForImageClassification`` (ResNet-18 at 224
and 64 pixels) and ``ViTForImageClassification`` (ViT-Ti at 224). Both read the same stored images
(uint8) and normalise them; the Trainer's collator does so in numpy as ours does, and makes no copy
more. Both use AdamW with a constant rate and the same batch. They run in turns in this process on
the same threads, and the ratio of each pair of turns counts.

    python -m benchmarks.vision_vs_peer           # some ten minutes on two cores
    python -m benchmarks.vision_vs_peer --quick   # one network, short turns

Needs no data: images are random. Writes ``benchmarks/out/vision_vs_peer.json``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for everyone: a shared machine

import numpy as np
import torch

from benchmarks._common import publish
from luban.core.batch import Batch
from luban.core.contracts import Mechanism, Model, Optimizer, Schedule, Signature, StoredView
from luban.data.media.preprocessor import Preprocessor
from luban.engine.budget import Budget
from luban.engine.fit import Plan, State, fit
from luban.engine.loader import Loader
from luban.engine.precision import Precision
from luban.nn.losses import cross_entropy

CLASSES, RATE, IMAGES = 10, 1e-4, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Name: our model, side of the images, batch.
NETWORKS: dict[str, tuple[dict[str, Any], int, int]] = {
    "resnet-18 at 64": ({"name": "resnet", "depth": 18}, 64, 32),
    "resnet-18 at 224": ({"name": "resnet", "depth": 18}, 224, 8),
    "vit-tiny at 224": ({"name": "vit"}, 224, 8),
}


def images(side: int) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Return random examples as a task stores them."""
    draw = np.random.default_rng(0)
    return [
        {
            "pixels": draw.integers(0, 256, (side, side, 3), dtype=np.uint8),
            "label": np.asarray(draw.integers(CLASSES)),
        }
        for _ in range(IMAGES)
    ]


def signature(side: int) -> Signature:
    """Return what the task tells the model."""
    return Signature("pixels", 3, CLASSES, produces="label", size=(side, side))


def clocks() -> np.ndarray[Any, Any]:
    """Return seconds by the clock, and of this process on the CPU."""
    return np.array([time.perf_counter(), time.process_time()])


def luban_steps(name: str, precision: str) -> Iterator[np.ndarray[Any, Any]]:
    """Train with Luban's loop and loader; yield what each step took, loading included."""
    fields, side, batch = NETWORKS[name]
    examples: Sequence[Any] = images(side)
    look = Preprocessor((side, side), mean=MEAN, std=STD)

    def collate(examples: Sequence[Any]) -> Batch:
        pixels = look.normalised(np.stack([one["pixels"] for one in examples]))
        labels = np.stack([one["label"] for one in examples])
        return Batch(
            {"pixel_values": torch.from_numpy(pixels)}, {"labels": torch.from_numpy(labels)}
        )

    def loss(model: torch.nn.Module, seen: Batch) -> Any:
        return cross_entropy(model(**seen.inputs), seen.targets["labels"])

    torch.manual_seed(0)
    module = Model.from_dict(fields).build(signature(side))
    optimizer = Optimizer.from_dict({"name": "adamw", "learning_rate": RATE})
    mechanism = Mechanism.from_dict("plain")
    loader = Loader(
        view=lambda epoch: StoredView(examples),
        collate=collate,
        mechanism=mechanism,
        batch_size=batch,
        seed=0,
    )
    plan = Plan(
        loss=loss,
        mechanism=mechanism,
        schedule=Schedule.from_dict("constant"),
        budget=Budget(max_steps=100_000),
        precision=Precision(precision),
    )
    steps = fit(
        State(module, optimizer.build(list(module.named_parameters()))), loader.batches(), plan
    )
    while True:
        start = clocks()
        next(steps)
        yield clocks() - start


def trainer_steps(name: str, precision: str, steps: int, folder: str) -> np.ndarray[Any, Any]:
    """Train with the Trainer; return what ``steps`` steps took, after two more."""
    import transformers
    from transformers import TrainerCallback

    fields, side, batch = NETWORKS[name]
    look, model = Preprocessor((side, side), mean=MEAN, std=STD), Model.from_dict(fields)
    config = transformers.AutoConfig.for_model(**model.hf_config(signature(side)))
    torch.manual_seed(0)
    kind: Any = transformers.AutoModelForImageClassification
    network = kind.from_config(config)

    def collate(examples: list[Any]) -> dict[str, torch.Tensor]:
        pixels = look.normalised(np.stack([one["pixels"] for one in examples]))
        labels = np.stack([one["label"] for one in examples])
        return {
            "pixel_values": torch.from_numpy(np.ascontiguousarray(pixels)),
            "labels": torch.from_numpy(labels),
        }

    ends: list[np.ndarray[Any, Any]] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            ends.append(clocks())

    arguments = transformers.TrainingArguments(
        output_dir=folder, max_steps=steps + 2, per_device_train_batch_size=batch,
        learning_rate=RATE, lr_scheduler_type="constant", bf16=precision == "bf16", report_to=[],
        save_strategy="no", logging_steps=10_000, disable_tqdm=True, use_cpu=True,
        remove_unused_columns=False,
    )  # fmt: skip
    run = transformers.Trainer(
        network, arguments, data_collator=collate, train_dataset=images(side), callbacks=[Clock()]
    )
    run.train()
    taken: np.ndarray[Any, Any] = ends[-1] - ends[1]
    return taken


def compare(name: str, rounds: int, steps: int, folder: str) -> dict[str, Any]:
    """Return images/s of one network, in turns; the ratio of each turn is what counts."""
    images_seen = steps * NETWORKS[name][2]
    turns = {precision: luban_steps(name, precision) for precision in ("fp32", "bf16")}
    for one in turns.values():
        for _ in range(2):
            next(one)
    took: dict[str, list[np.ndarray[Any, Any]]] = {}
    for _ in range(rounds):
        for precision, ours in turns.items():
            seconds = sum((next(ours) for _ in range(steps)), np.zeros(2))
            took.setdefault(f"luban {precision}", []).append(seconds)
            seconds = trainer_steps(name, precision, steps, folder)
            took.setdefault(f"Trainer {precision}", []).append(seconds)
    pairs = {
        "fp32 / fp32": ("luban fp32", "Trainer fp32"),
        "bf16 / bf16": ("luban bf16", "Trainer bf16"),
        "defaults (bf16 / fp32)": ("luban bf16", "Trainer fp32"),
    }
    result: dict[str, Any] = {}
    for at, clock in enumerate(("second", "CPU second")):
        speed = {who: [images_seen / each[at] for each in found] for who, found in took.items()}
        ratios = {
            said: [a / b for a, b in zip(speed[ours], speed[theirs], strict=True)]
            for said, (ours, theirs) in pairs.items()
        }
        result[f"images / {clock}"] = {
            who: round(float(statistics.median(values)), 1) for who, values in speed.items()
        }
        result[f"ratios by {clock}"] = {
            said: [round(float(f(v)), 2) for f in (statistics.median, min, max)]
            for said, v in ratios.items()
        }
    return result


def main() -> None:
    """Run what is asked for and publish it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="steps of a turn")
    parser.add_argument("--network", choices=list(NETWORKS), help="this one alone")
    parser.add_argument("--quick", action="store_true", help="one network, a few short turns")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.steps, args.network = 2, 3, "resnet-18 at 64"
    names = [args.network] if args.network else list(NETWORKS)
    with tempfile.TemporaryDirectory() as folder:
        publish(
            "vision_vs_peer",
            {name: compare(name, args.rounds, args.steps, folder) for name in names},
        )


if __name__ == "__main__":
    main()
