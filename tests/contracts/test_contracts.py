"""Every registered component keeps every law of its kind; names come from the registry."""

from __future__ import annotations

import base64
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import luban.testing
from luban.core import contracts, registry
from luban.core.batch import Batch
from luban.core.component import Component
from luban.core.contracts import (
    Adapter,
    Augmentation,
    Cleaner,
    Mechanism,
    Metric,
    Model,
    Objective,
    Optimizer,
    Ports,
    Schedule,
    Source,
    Stage,
    Task,
    Tokenizer,
)
from luban.data.audio import to_wav
from luban.data.images import to_png
from luban.testing import (
    check_adapter,
    check_augmentation,
    check_cleaner,
    check_component,
    check_mechanism,
    check_metric,
    check_model,
    check_objective,
    check_optimizer,
    check_schedule,
    check_source,
    check_stage,
    check_task,
    check_tokenizer,
)
from tests.contracts.makers import CHINESE, EMOJI, ENGLISH, MAKE, SPOKEN, make, variants

KINDS: dict[str, type[Component]] = {
    kind.kind: kind
    for _, kind in inspect.getmembers(contracts, inspect.isclass)
    if issubclass(kind, Component) and kind is not Component
}
#: Kinds with no laws beyond those of any component: their work needs a run or a viewer.
PLAIN = {"exporters", "trackers"}

cases = pytest.mark.parametrize


def test_every_kind_has_laws() -> None:
    lawful = {name.removeprefix("check_") + "s" for name in luban.testing.__all__}
    assert set(KINDS) - lawful == PLAIN


def test_every_recipe_for_a_component_is_used() -> None:
    known = {f"{kind}/{name}" for kind in KINDS for name in registry.names(kind)}
    assert set(MAKE) <= known


def test_a_component_that_needs_more_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r'Add an entry "sources/text" to MAKE'):
        make(Source, "text", {}, tmp_path)


@cases(("kind", "name", "fields"), variants("sources"))
def test_sources(
    kind: str, name: str, fields: Any, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUBAN_DATA", str(samples))
    check_source(make(Source, name, fields, samples))


DIRTY = [
    *ENGLISH,
    *CHINESE,
    "The QUICK brown  fox jumps over the lazy dog.",
    "The quick brown fox jumps over the lazy dog, they say.",
    "cafe\u0301 \x07 bell, 1 line\r\nand 2",
    "",
    ENGLISH[0],
]


@cases("texts", [DIRTY, ENGLISH, []], ids=["dirty", "clean", "none"])
@cases(("kind", "name", "fields"), variants("cleaners"))
def test_cleaners(kind: str, name: str, fields: Any, texts: list[str], samples: Path) -> None:
    records = [{"text": text, "_where": f"a:{row}"} for row, text in enumerate(texts)]
    check_cleaner(make(Cleaner, name, fields, samples), records)


#: What augmentations change, by field: two examples each.
CHANGED: dict[str, list[dict[str, Any]]] = {
    "pixels": [
        {
            "pixels": np.random.default_rng(seed).integers(0, 256, (12, 10, 3)).astype(np.uint8),
            "label": np.int64(seed),
        }
        for seed in (0, 1)
    ],
    "samples": [
        {"samples": np.random.default_rng(seed).normal(0, 5000, 4000).astype(np.int16)}
        for seed in (0, 1)
    ],
    "features": [
        {"features": np.random.default_rng(seed).normal(size=(60, 20)).astype(np.float32)}
        for seed in (0, 1)
    ],
}


@cases(("kind", "name", "fields"), variants("augmentations"))
def test_augmentations(kind: str, name: str, fields: Any, samples: Path) -> None:
    augmentation = make(Augmentation, name, fields, samples)
    check_augmentation(augmentation, CHANGED[augmentation.changes])


@cases("texts", [ENGLISH, CHINESE, EMOJI], ids=["english", "chinese", "emoji"])
@cases(("kind", "name", "fields"), variants("tokenizers"))
def test_tokenizers(kind: str, name: str, fields: Any, texts: list[str], samples: Path) -> None:
    unseen = ["", "\n", "unseen: 鲁班 🪚", "<|endoftext|> is only text"]
    check_tokenizer(make(Tokenizer, name, fields, samples), texts, unseen=unseen)


def picture(seed: int, height: int = 9, width: int = 8) -> str:
    """Return the PNG of random pixels as base64."""
    shape = (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return base64.b64encode(to_png(pixels)).decode()


def _sound(seconds: float, pitch: float) -> str:
    """A tone as a WAV file in base64."""
    wave = np.sin(2 * np.pi * pitch * np.arange(round(8000 * seconds)) / 8000)
    return base64.b64encode(to_wav((8000 * wave).astype(np.int16), 8000)).decode()


_SOUNDS = [_sound(*form) for form in ((0.3, 300), (0.14, 500), (0.42, 800), (0.2, 1200))]

#: Sizes of images, and the boxes on them.
SIGHTS: list[tuple[tuple[int, int], list[list[float]]]] = [
    ((24, 32), [[2, 3, 12, 20], [10, 2, 30, 22.5]]),
    ((40, 20), []),
    ((12, 16), [[0, 0, 16, 12], [4, 4, 8, 8], [3, 2, 9, 11]]),
    ((50, 60), [[20, 20, 60, 50]]),
]
#: Records for a task: the first entry whose fields it can read.
RECORDS: dict[str, list[dict[str, Any]]] = {
    "translation": [
        {"source": source, "target": target, "_where": f"t:{row}"}
        for row, (source, target) in enumerate(
            [
                ("to be", "sein"),
                ("or not", ["oder nicht", "oder nein"]),
                ("a longer sentence", "ein langer"),
                ("月", "Mond"),
            ]
        )
    ],
    "summarization": [
        {"document": document, "summary": summary, "_where": f"s:{row}"}
        for row, (document, summary) in enumerate(
            [
                ("床前明月光，疑是地上霜。举头望明月，低头思故乡。", "月"),
                ("The fox ran. It met a dog.", ["A fox ran", "Fox"]),
                ("短", "短"),
                ("No news. None at all.", "No news"),
            ]
        )
    ],
    "speech-recognition": [
        {"audio": audio, "text": text, "_where": f"r:{row}"}
        for row, (audio, text) in enumerate(
            zip(_SOUNDS, ["To be", "or", "See it", "月光"], strict=True)
        )
    ],
    "audio-classification": [
        {"audio": audio, "label": "ab"[row % 2], "_where": f"r:{row}"}
        for row, audio in enumerate(_SOUNDS)
    ],
    "text-generation": SPOKEN,
    "fill-mask": SPOKEN,
    "instruction-tuning": [
        {
            "messages": [
                {"role": role, "content": content}
                for role, content in zip(["user", "assistant"] * 2, said.split("|"), strict=False)
            ],
            "_where": f"i:{row}",
        }
        for row, said in enumerate(["to be|or not|?|be", "何|月", "spell it|<|im_end|>", "a|b"])
    ],
    "multiple-choice": [
        {"query": "the sky is", "choices": ["blue", "a very long word", "月"], "gold": 0},
        {"query": "", "choices": ["yes", "no"], "gold": 1},
        {"query": "床前", "choices": ["明月光", "dark"], "gold": 0, "_where": "m:3"},
        {"context_options": ["he", "she"], "continuation": "ran.", "gold": 1},
    ],
    "image-classification": [
        {"image": picture(row, 32, 32), "label": "ab"[row % 2], "_where": f"p:{row}"}
        for row in range(5)
    ],
    "object-detection": [
        {
            "image": picture(row, *size),
            "objects": [
                {"label": label, "box": box} for label, box in zip("abac", boxes, strict=False)
            ],
            "_where": f"d:{row}",
        }
        for row, (size, boxes) in enumerate(SIGHTS)
    ],
    "image-generation": [
        {"image": picture(row), "label": "ab"[row % 2], "_where": f"g:{row}"} for row in range(5)
    ],
    "text-classification": [{**said, "label": "ab"[row % 2]} for row, said in enumerate(SPOKEN)],
    "text-regression": [{**said, "value": 1.5 * row} for row, said in enumerate(SPOKEN)],
    "question-answering": [
        {
            "question": question,
            "context": context,
            "answers": [{"text": text, "start": context.find(text)} for text in texts],
            "_where": f"q:{row}",
        }
        for row, (question, context, texts) in enumerate(
            [
                ("Who ran?", "The quick fox ran. It met a dog.", ["fox", "The quick fox"]),
                ("Where?", "At home.", ["home"]),
                ("Why?", "The quick fox ran. It met a dog.", []),
                ("谁?", "床前明月光，疑是地上霜。", ["明月"]),
            ]
        )
    ],
    "token-classification": [
        {"tokens": list(text), "tags": tags.split(), "_where": f"t:{row}"}
        for row, (text, tags) in enumerate(
            [
                ("李白生于碎叶", "B-NAME E-NAME O O B-LOC E-LOC"),
                ("他在京", "O O S-LOC"),
                ("见杜子美也", "O B-NAME M-NAME E-NAME O"),
                ("否", "O"),
            ]
        )
    ],
}


@cases(("models", "model", "its"), variants("models"))
@cases(("kind", "name", "fields"), variants("tasks"))
def test_tasks_with_every_model(
    kind: str, name: str, fields: Any, models: str, model: str, its: Any, samples: Path
) -> None:
    task, built = make(Task, name, fields, samples), make(Model, model, its, samples)
    assert name in RECORDS, f"add records for the task {name} to RECORDS in {__file__}"
    if not built.fits(task.learn(RECORDS[name]).ports()):
        pytest.skip(f"{model} is not made for {name}")
    check_task(task, built, RECORDS[name], mechanism=Mechanism.from_dict("plain"))


_IDS = torch.randint(5, 23, (3, 7), generator=torch.Generator().manual_seed(0))
_READ = {"input_ids": _IDS, "attention_mask": torch.ones_like(_IDS)}
_PIXELS = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
_SPECIAL = {"length": 8, "pad": 0, "end": 1, "start": 2, "mask": 3}
#: What a model is built for, and what it then reads, by what goes in and what comes out.
PORTS: dict[tuple[str, str], tuple[Ports, Batch]] = {
    ("tokens", "next"): (Ports("tokens", 23, 23, 8, 0, 1), Batch({"input_ids": _IDS}, {})),
    ("tokens", "tokens"): (
        Ports("tokens", 23, 23, produces="tokens", **_SPECIAL),  # type: ignore[arg-type]
        Batch(_READ, {}),
    ),
    ("tokens", "sequence"): (
        Ports("tokens", 23, 23, produces="sequence", **_SPECIAL),  # type: ignore[arg-type]
        Batch({**_READ, "decoder_input_ids": _IDS[:, :5]}, {}),
    ),
    ("pixels", "boxes"): (
        Ports("pixels", 3, 4, produces="boxes", size=(40, 24)),
        Batch({"pixel_values": torch.linspace(-2, 2, 2 * 2880).reshape(2, 3, 40, 24)}, {}),
    ),
    ("pixels", "image"): (
        Ports("pixels", 1, 4, produces="image", size=(8, 12)),
        Batch(
            {
                "pixel_values": torch.linspace(-1, 1, 3 * 96).reshape(3, 1, 8, 12),
                "noise": torch.linspace(-2, 1, 3 * 96).reshape(3, 1, 8, 12),
                "uniform": torch.tensor([0.0, 0.5, 0.99]),
                "labels": torch.tensor([0, 3, 4]),
            },
            {},
        ),
    ),
    **{
        ("frames", produces): (
            Ports("frames", 12, outputs, 40, pad=0, produces=produces, stride=stride),
            Batch(
                {
                    "input_features": torch.randn(
                        3, 21, 12, generator=torch.Generator().manual_seed(0)
                    ),
                    "attention_mask": (
                        torch.arange(21) < torch.tensor([21, 10, 3])[:, None]
                    ).long(),
                },
                {},
            ),
        )
        for produces, outputs, stride in (("label", 4, 4), ("alignment", 23, 2))
    },
    **{
        ("tokens", produces): (
            Ports("tokens", 23, outputs, produces=produces, **_SPECIAL),  # type: ignore[arg-type]
            Batch(_READ, {}),
        )
        for produces, outputs in (("label", 4), ("tags", 5), ("span", 2))
    },
    ("pixels", "label"): (
        Ports("pixels", 3, 4, produces="label", size=(32, 32)),
        Batch({"pixel_values": _PIXELS}, {}),
    ),
}


@cases(("kind", "name", "fields"), variants("models"))
def test_models(kind: str, name: str, fields: Any, samples: Path) -> None:
    model = make(Model, name, fields, samples)
    for accepts in model.accepts:
        for produces in model.produces:
            given = (accepts, produces)
            if not model.fits(Ports(accepts, 1, 1, produces=produces)):
                continue
            assert given in PORTS, f"add ports and a batch for {given} to {__file__}"
            if model.fits(PORTS[given][0]):
                check_model(model, *PORTS[given])


@cases(("kind", "name", "fields"), variants("adapters"))
def test_adapters(kind: str, name: str, fields: Any, samples: Path) -> None:
    model = make(Model, "gpt", MAKE["models/gpt"][0], samples)
    check_adapter(make(Adapter, name, fields, samples), model, *PORTS["tokens", "next"])


#: Objectives that draw something which depends on the batch.
DRAWING = {"adversarial-2", "denoising-0", "denoising-1", "multi-task-0"}


@cases(("kind", "name", "fields"), variants("objectives"))
def test_objectives(kind: str, name: str, fields: Any, samples: Path) -> None:
    objective = make(Objective, name, fields, samples)
    task = make(Task, "text-generation", MAKE["tasks/text-generation"][0], samples)
    model = make(Model, "gpt", MAKE["models/gpt"][0], samples)
    variant = f"{name}-{MAKE[f'{kind}/{name}'].index(fields)}"
    check_objective(objective, task, model, SPOKEN, separable=variant not in DRAWING)


NATS = (
    [{"nats": 3.5}, {"nats": 8.0}, {"nats": 0.1}],
    [{"tokens": n, "bytes": n} for n in (2, 5, 1)],
)
SAID = (["a b c a b c a b c d", "one two", "床前明月光"], [None] * 3)
LABELLED = (
    [
        {"label": label, "score": max(s, 1 - s), "scores": {"a": s, "b": 1 - s}}
        for label, s in (("a", 0.9), ("a", 0.6), ("b", 0.2))
    ],
    [{"label": label} for label in "aba"],
)
VALUED = ([{"value": v} for v in (1.0, 2.5, 2.0)], [{"value": v} for v in (1.0, 2.0, 4.0)])
WROTE = (
    [{"text": text} for text in ("the cat sat on it", "a dog barks loudly at night", "床前月光")],
    [{"references": [text]} for text in ("the cat sat on a mat", "dogs bark", "床前明月光")],
)
SPELT = (
    [{"text": text, "score": -0.1} for text in ("the cat sat", "", "床前月光亮")],
    [{"text": text, "seconds": 1.0} for text in ("the cat sat down", "a dog", "床前明月光")],
)
ANSWERED = (
    [{"answer": text} for text in ("the red fox", "", "月光", "three")],
    [{"answers": texts} for texts in (["A fox", "dogs"], [], ["明月光"], ["3", "three"])],
)
_KEYS = ("type", "start", "end")
_FOUND: list[list[tuple[str, int, int]]] = [[("a", 0, 2), ("b", 2, 3)], [("a", 1, 2)], []]
_THERE: list[list[tuple[str, int, int]]] = [[("a", 0, 2)], [("a", 1, 2), ("b", 4, 6)], []]
ENTITIES = (
    [{"entities": [dict(zip(_KEYS, entity, strict=True)) for entity in row]} for row in _FOUND],
    [{"entities": [dict(zip(_KEYS, entity, strict=True)) for entity in row]} for row in _THERE],
)
DETECTED = (
    [
        {"objects": [{"label": n, "score": s, "box": [x, 0, x + 10, 10]} for n, s, x in image]}
        for image in ([("a", 0.9, 0), ("b", 0.8, 22)], [("a", 0.7, 2), ("b", 0.6, 5)], [])
    ],
    [
        {"objects": [{"label": n, "box": [x, 0, x + 10, 10]} for n, x in image]}
        for image in ([("a", 0), ("b", 20)], [("a", 1)], [("b", 4)])
    ],
)
#: Predictions and targets by metric, and what a perfect prediction gets (None: no such notion).
MEASURED: dict[str, tuple[list[Any], list[Any], float | None]] = {
    "choice-accuracy": (
        [{"choice": 1, "normalised_choice": 0}, {"choice": 2}, {"choice": [0, 1]}],
        [{"choice": 1}, {"choice": 0}, {"choice": 1}],
        1.0,
    ),
    "mean-loss": ([{"loss": x} for x in (0.5, 2.0, 1.0)], [{}] * 3, None),
    "reconstruction-error": ([{"squared_error": x} for x in (9.0, 4.0, 0.0)], [{}] * 3, None),
    "recognition": ([{"label": "a", "judged": x} for x in "aba"], [{}] * 3, None),
    "frechet-distance": (
        [{"features": np.random.default_rng(row).normal(size=4)} for row in range(9)],
        [{}] * 9,
        None,
    ),
    "nearest-distance": (
        [{"image": np.full((4, 6, 1), 9 * row, np.uint8)} for row in range(3)],
        [{}] * 3,
        None,
    ),
    "masked-accuracy": (
        [{"nats": 1.0, "correct": n} for n in (2, 0, 3)],
        [{"tokens": n} for n in (2, 1, 7)],
        None,
    ),
    "loss": (*NATS, None),
    "perplexity": (*NATS, None),
    "bits-per-byte": (*NATS, None),
    "distinct": (*SAID, None),
    "repetition": (*SAID, None),
    "memorisation": (*SAID, None),
    "entity-f1": (*ENTITIES, 1.0),
    **{name: (*SPELT, 0.0) for name in ("word-error-rate", "character-error-rate")},
    "real-time-factor": (*SPELT, None),
    "mean-average-precision": (*DETECTED, 1.0),
    **{name: (*ANSWERED, None) for name in ("exact-match", "answer-f1")},
    **{name: (*LABELLED, 1.0) for name in ("accuracy", "f1", "auroc", "matthews")},
    "top-k-accuracy": (*LABELLED, 1.0),
    "calibration-error": (*LABELLED, 0.0),
    **{name: (*VALUED, 1.0) for name in ("pearson", "spearman")},
    "rmse": (*VALUED, 0.0),
    **{name: (*WROTE, None) for name in ("bleu", "chrf", "ter", "rouge")},
}


@cases(("kind", "name", "fields"), variants("metrics"))
def test_metrics(kind: str, name: str, fields: Any, samples: Path) -> None:
    metric: Metric = make(Metric, name, fields, samples)
    assert name in MEASURED, f"add predictions for the metric {name} to MEASURED in {__file__}"
    predictions, targets, best = MEASURED[name]
    check_metric(metric, predictions, targets, best=best)


@cases(("kind", "name", "fields"), variants("optimizers"))
def test_optimizers(kind: str, name: str, fields: Any, samples: Path) -> None:
    check_optimizer(make(Optimizer, name, fields, samples))


@cases(("kind", "name", "fields"), variants("schedules"))
def test_schedules(kind: str, name: str, fields: Any, samples: Path) -> None:
    check_schedule(make(Schedule, name, fields, samples))


@cases(("kind", "name", "fields"), variants("mechanisms"))
def test_mechanisms(kind: str, name: str, fields: Any, samples: Path) -> None:
    check_mechanism(make(Mechanism, name, fields, samples))


@cases(("kind", "name", "fields"), variants("stages"))
def test_stages(kind: str, name: str, fields: Any, samples: Path) -> None:
    check_stage(make(Stage, name, fields, samples))


@cases(("kind", "name", "fields"), [case for kind in sorted(PLAIN) for case in variants(kind)])
def test_other_components(kind: str, name: str, fields: Any, samples: Path) -> None:
    check_component(make(KINDS[kind], name, fields, samples))
