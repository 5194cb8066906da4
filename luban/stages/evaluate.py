"""Measure the trained model on unseen data, beside simple baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field

from luban.core.contracts import (
    Generative,
    Metric,
    Stage,
    Statistics,
    StrongBaseline,
    Task,
)
from luban.core.contracts.left_out import LeavesOut
from luban.core.intervals import Rows, measured, without_width
from luban.core.progress import doing, tracked
from luban.core.report import Claim, Report
from luban.data.store import Store
from luban.run import Run
from luban.stages._figures import gallery, mistakes_of, plot_rows, plot_things, quoted
from luban.stages._measuring import Measuring, baseline_rows, model_rows
from luban.stages._outside_weights import outside_digests
from luban.stages._prepared import held_out_split, open_store
from luban.trained import load_trained

_QUOTED = 6  #: examples chosen by chance that the card quotes


class Evaluate(Stage):
    """Metrics with bootstrap intervals on the test split (validation where there is no test)."""

    batch_size: int = Field(
        default=64, ge=1, le=16_777_216, description="Examples predicted at once."
    )
    num_samples: int = Field(
        default=8, ge=0, le=1_000_000, description="Samples of a generative model."
    )
    bootstrap_rounds: int = Field(default=1000, ge=100, le=1_000_000)
    baselines: bool = Field(default=True, description="Measure simple baselines too.")
    needs: ClassVar[tuple[str, ...]] = ("prepare", "train")
    always: ClassVar[bool] = True

    def rests_on(self, run: Run) -> dict[str, str]:
        """Return the digest of the judge of samples, if there is one."""
        return outside_digests(run.recipe.task, "task")

    def perform(self, run: Run) -> None:
        """Nothing to do before measuring."""

    def measure(self, run: Run) -> Report:
        """Recompute every metric from the weights, the prepared data and the seed."""
        task, module = load_trained(run)
        split = held_out_split(run)
        train, held_out = open_store(run, "train"), open_store(run, split)
        examples = task.view(held_out, None, run.recipe.seed)

        claims: dict[str, Claim] = {}
        told = list(task.left_out()) if isinstance(task, LeavesOut) else []
        figures: list[str] = []
        mistakes = mistakes_of(task) if run.main else None
        seen = gallery(mistakes, len(examples), run.recipe.seed) if mistakes else None
        ways = [(task.predict, task.metrics())]
        if task.validation_metrics() != task.metrics():
            ways.append((task.validate_batch, task.validation_metrics()))
        for predict, metrics in ways:
            measuring = Measuring(task, predict, metrics, module)
            rows = model_rows(
                measuring,
                examples,
                batch_size=self.batch_size,
                label=f"predict {split}",
                see=seen.see if seen and metrics == task.metrics() else None,
            )
            claims |= self._claims(metrics, rows, f"{split}/")
            told += _without_width(metrics, rows, claims, f"{split}/")
            figures += [f for m in metrics for f in plot_rows(run, m, rows[m.label])]
        some = [thing for _, thing in sorted(seen.some.items())] if seen else []
        for name, things in (("examples", some), ("worst", seen.worst if seen else [])):
            figures += plot_things(run, name, task, things)
        falls_short: list[str] = []
        for name, baseline in task.baselines(train).items() if self.baselines else ():
            plain = baseline_rows(task, baseline, examples, f"baseline {name}")
            claims |= self._claims(task.metrics(), plain, f"{split}/{name}/")
            if isinstance(baseline, StrongBaseline):
                told.append(baseline.told)
            if name != run.recipe.model.name:  # its own kind of model is equal to it, not better
                falls_short += _no_better(task.metrics(), claims, split, name)
        more, details = self._samples(run, task, module, train, held_out)
        details["examples"] = quoted(task, some[:_QUOTED])
        details["warnings"] = falls_short
        details["text"] = [*told, *details.pop("text", [])]
        details["figures"] = list(dict.fromkeys([*figures, *details.get("figures", [])]))
        return Report("evaluate", claims | more, details=details, tolerance=1e-4)

    def _claims(
        self, metrics: tuple[Metric, ...], rows: Mapping[str, Rows], prefix: str
    ) -> dict[str, Claim]:
        rounds = self.bootstrap_rounds
        return {prefix + m.label: measured(m, rows[m.label], rounds=rounds) for m in metrics}

    def _samples(
        self, run: Run, task: Task, module: torch.nn.Module, train: Store, held_out: Store
    ) -> tuple[dict[str, Claim], dict[str, Any]]:
        if not isinstance(task, Generative) or not self.num_samples:
            return {}, {}
        metrics = task.sample_metrics(train)
        if not metrics:
            return {}, {}
        run.say("evaluate: drawing samples")
        with doing("draw samples"):
            made = task.samples(module, self.num_samples, run.recipe.seed)
        with doing("compare with unseen examples"):
            real = task.references(held_out, self.num_samples, run.recipe.seed)
            others = task.sample_baselines(held_out, self.num_samples, run.recipe.seed)
        claims: dict[str, Claim] = {}
        told: list[str] = []
        for name, things in {"samples": made, "unseen": real, **others}.items():
            rows: dict[str, list[Statistics]] = {
                metric.label: [
                    metric.statistics(thing, None) for thing in tracked(things, f"measure {name}")
                ]
                for metric in metrics
            }
            claims |= self._claims(metrics, rows, f"{name}/")
            if things is made:
                told = _without_width(metrics, rows, claims, f"{name}/")
        shown = [thing for thing in made[:3] if isinstance(thing, str)]
        figures = plot_things(run, "samples", task, [({}, thing, None) for thing in made[:64]])
        return claims, {"samples": shown, "figures": figures, "text": told}


def _without_width(
    metrics: tuple[Metric, ...], rows: Mapping[str, Rows], claims: dict[str, Claim], prefix: str
) -> list[str]:
    """Return a sentence for each interval without width: it looks surer than it is."""
    found = {
        prefix + metric.label: without_width(rows[metric.label], claims[prefix + metric.label])
        for metric in metrics
    }
    return [f"`{name}`: {text}." for name, text in found.items() if text]


def _no_better(
    metrics: tuple[Metric, ...], claims: dict[str, Claim], split: str, name: str
) -> list[str]:
    """Return a sentence for each metric by which a simple baseline is as good as the model."""
    lines = []
    for metric in metrics:
        ours, theirs = claims[f"{split}/{metric.label}"], claims[f"{split}/{name}/{metric.label}"]
        gain = float(ours.value) - float(theirs.value)
        if (gain if metric.higher_is_better else -gain) <= 0:
            lines.append(
                f"No better than the simple baseline `{name}` by {metric.label} on {split}: "
                f"{ours} against {theirs}."
            )
    return lines
