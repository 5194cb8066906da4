"""Every registered component keeps every law of its kind; names come from the registry."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import luban.testing
from luban.core import contracts, registry
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
    Schedule,
    Signature,
    Source,
    Stage,
    Task,
    Tokenizer,
)
from luban.data.checks.reachable_score import reach
from luban.data.views.in_memory import InMemoryExamples
from luban.testing import (
    check_adapter,
    check_augmentation,
    check_cleaner,
    check_component,
    check_interval,
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
from tests.contracts import batches, predictions, records
from tests.contracts.makers import MAKE, make, variants
from tests.contracts.pairs import FILE, fitting, pairs
from tests.contracts.samples import CHINESE, EMOJI, ENGLISH, SPOKEN

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
    rows = [{"text": text, "_where": f"a:{row}"} for row, text in enumerate(texts)]
    check_cleaner(make(Cleaner, name, fields, samples), rows)


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


def test_every_task_has_records() -> None:
    missing = set(registry.names("tasks")) - set(records.RECORDS)
    assert not missing, f"add records of {missing} to RECORDS in {records.__file__}"


def test_the_pairs_that_are_tested_are_those_that_fit() -> None:
    """And no task or model goes without a partner."""
    found = fitting()
    assert json.loads(FILE.read_text()) == found, "python -m tests.contracts.pairs writes it anew"
    assert all(found.values())
    alone = {str(case.id) for case in variants("models")} - {m for f in found.values() for m in f}
    assert alone <= {"inception"}, "its images are too large for a law; test_inception has it"


@cases(("name", "fields", "model", "its"), pairs())
def test_tasks_with_every_model_that_fits(
    name: str, fields: Any, model: str, its: Any, samples: Path
) -> None:
    task, built = make(Task, name, fields, samples), make(Model, model, its, samples)
    check_task(task, built, records.RECORDS[name], mechanism=Mechanism.from_dict("plain"))


@cases(("kind", "name", "fields"), variants("models"))
def test_models(kind: str, name: str, fields: Any, samples: Path) -> None:
    model = make(Model, name, fields, samples)
    for accepts in model.accepts:
        for produces in model.produces:
            given = (accepts, produces)
            if not model.fits(Signature(accepts, 1, 1, produces=produces)):
                continue
            assert given in batches.SIGNATURES, (
                f"add signature and a batch for {given} to {batches.__file__}"
            )
            if model.fits(batches.SIGNATURES[given][0]):
                check_model(model, *batches.SIGNATURES[given])


@cases(("kind", "name", "fields"), variants("adapters"))
def test_adapters(kind: str, name: str, fields: Any, samples: Path) -> None:
    model = make(Model, "gpt", MAKE["models/gpt"][0], samples)
    check_adapter(
        make(Adapter, name, fields, samples), model, *batches.SIGNATURES["tokens", "next"]
    )


#: Objectives that draw something which depends on the batch.
DRAWING = {"adversarial-2", "denoising-0", "denoising-1", "multi-task-0"}


@cases(("kind", "name", "fields"), variants("objectives"))
def test_objectives(kind: str, name: str, fields: Any, samples: Path) -> None:
    objective = make(Objective, name, fields, samples)
    task = make(Task, "text-generation", MAKE["tasks/text-generation"][0], samples)
    model = make(Model, "gpt", MAKE["models/gpt"][0], samples)
    variant = f"{name}-{MAKE[f'{kind}/{name}'].index(fields)}"
    check_objective(objective, task, model, SPOKEN, separable=variant not in DRAWING)


@cases(("kind", "name", "fields"), variants("metrics"))
def test_metrics(kind: str, name: str, fields: Any, samples: Path) -> None:
    metric: Metric = make(Metric, name, fields, samples)
    assert name in predictions.MEASURED, (
        f"add predictions for the metric {name} to MEASURED in {predictions.__file__}"
    )
    said, targets, best = predictions.MEASURED[name]
    check_metric(metric, said, targets, best=best)


@cases("size", [1, 2, 7, 40])
@cases(("kind", "name", "fields"), variants("metrics"))
def test_intervals_of_metrics(kind: str, name: str, fields: Any, size: int, samples: Path) -> None:
    """Of predictions drawn by chance, for one target or another."""
    metric: Metric = make(Metric, name, fields, samples)
    said, targets, _ = predictions.MEASURED[name]
    pairs = np.random.default_rng(size).integers(0, len(said), (size, 2))
    if name == "masked-accuracy":  # what was right is a part of what the same target hides
        pairs[:, 1] = pairs[:, 0]
    check_interval(metric, [metric.statistics(said[p], targets[t]) for p, t in pairs])


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


#: Tasks whose predictions are likelihoods, or numbers that are learned as they are.
UNREACHABLE = {
    "fill-mask",
    "image-generation",
    "instruction-tuning",
    "text-generation",
    "text-regression",
}
#: Lengths within which every record of ``records.RECORDS`` is whole.
_ROOM = {
    "max_length": 128,
    "max_source_length": 128,
    "max_target_length": 128,
    "max_new_tokens": 128,
    "max_answer_length": 64,
    "context": 128,
}


@cases(("kind", "name", "fields"), variants("tasks"))
def test_the_labels_of_clean_records_can_be_reached(
    kind: str, name: str, fields: Any, samples: Path
) -> None:
    known = type(make(Task, name, fields, samples)).model_fields
    room: dict[str, Any] = {key: value for key, value in _ROOM.items() if key in known}
    if name == "summarization":  # some of them are Chinese
        room["tokenize"] = "characters"
    task = make(Task, name, {**fields, **room}, samples).learn(records.RECORDS[name])
    found = reach(task, InMemoryExamples(task.encode_batch(records.RECORDS[name])), 0)
    assert (found is None) == (name in UNREACHABLE), "a task with answers has a best one"
    if found is not None:
        assert found.value == pytest.approx(found.best)
        assert not found.short
