"""Figures of a run, drawn with matplotlib; nothing is drawn where a run is only read."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from luban.core.colors import BLUE, GREY, RED
from luban.core.contracts import Example, Illustrated, Metric, Task
from luban.core.intervals import Rows
from luban.core.progress import doing
from luban.inference.sheets import Seen, draws, plain_text, png_of, sheet
from luban.run import Run

SHOWN = 16  #: examples on a sheet
_FEW = 4  #: losses that make no curve yet
_WIDE = 30  #: how many times its lowest value a loss reaches for logarithms to be drawn


def loss_unit(task: Task) -> str:
    """Return the unit of a task's loss, if it measures that; empty: it has none, or no one."""
    return next((m.unit for m in task.validation_metrics() if m.label == "loss"), "")


def plot_loss(run: Run, task: Task) -> None:
    """Draw the losses over steps, and the metric that chose the best weights if it is another.

    Writes ``figures/loss.png``.
    """
    with doing("draw the curve"), plain_text():
        _draw_loss(run, task)


def _draw_loss(run: Run, task: Task) -> None:
    from matplotlib.figure import Figure

    lines = run.metrics()
    metric, unit = task.validation_metrics()[0], loss_unit(task)
    headline = f"validation/{metric.label}"
    apart = metric.label != "loss" and any(headline in line for line in lines)
    figure = Figure(figsize=(7, 6 if apart else 4), layout="constrained")
    axes = figure.subplots(2 if apart else 1, 1, sharex=True, squeeze=False)[:, 0]
    train = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    if train:
        axes[0].plot(*zip(*train, strict=True), color=GREY, linewidth=1, label="training")
    _draw_validation(axes[0], lines, "validation/loss", RED, best=min)
    _fit_axis(axes[0], [value for _, value in train], lines)
    axes[0].set(ylabel=f"loss ({unit})" if unit else "loss", title=f"{run.recipe.name}: loss")
    if apart:
        best = max if metric.higher_is_better else min
        _draw_validation(axes[1], lines, headline, BLUE, best=best)
        axes[1].set(ylabel=f"{metric.label} {metric.unit}".strip())
    axes[-1].set(xlabel="step")
    rises = apart and metric.higher_is_better
    # Named corners: finding the best one is slow, and matplotlib warns of it.
    corners = ["upper right", "lower right" if rises else "upper right"]
    for part, corner in zip(axes, corners, strict=False):
        part.spines[["top", "right"]].set_visible(False)
        part.grid(alpha=0.25)
        if part.get_legend_handles_labels()[0]:
            part.legend(frameon=False, loc=corner)
    _save(run, png_of(figure), "loss")


def _fit_axis(axes: Any, losses: list[float], lines: list[dict[str, Any]]) -> None:
    """Let a few high losses not flatten the rest: cut them off and say so, or draw logarithms."""
    key = "validation/loss"
    values = np.array([*losses, *(line[key] for line in lines if key in line)])
    values = values[np.isfinite(values)]
    if len(values) < _FEW:
        return
    low, high = np.quantile(np.sort(values)[:-1], [0.0, 0.97])  # the first may stand alone
    if low > 0 and high > _WIDE * low:
        axes.set_yscale("log")
        return
    room = 1.15 * (high - low)
    if room > 0 and values.max() > low + 1.5 * room:
        axes.set_ylim(low - 0.05 * room, low + room)
        told, place = f"beyond the axis: up to {values.max():.4g}", axes.transAxes
        axes.text(0.02, 0.97, told, transform=place, fontsize=8, color=GREY, va="top")


def plot_rows(run: Run, metric: Metric, rows: Rows) -> list[str]:
    """Draw what a metric makes of its rows, if it draws; return the file's place in the run."""
    if type(metric).plot is Metric.plot or not run.main:
        return []
    from matplotlib.figure import Figure

    with doing(f"draw {metric.label}"), plain_text():
        figure = Figure(figsize=(6, 5.5), layout="constrained")
        if not metric.plot(figure.subplots(), np.asarray(rows, dtype=np.float64)):
            return []
        return [_save(run, png_of(figure), metric.label)]


def plot_things(run: Run, name: str, task: Task, things: Sequence[Seen]) -> list[str]:
    """Draw examples with their predictions on one sheet, if the task draws any."""
    with doing(f"draw {name}"):
        sheet_png = sheet(task, things) if things and run.main else None
    return [_save(run, sheet_png, name)] if sheet_png else []


@dataclass(slots=True)
class Gallery:
    """What a card shows of a split: some examples by chance, and the worst mistakes.

    Attributes:
        mistake: How wrong a prediction is; more is worse.
        chosen: Numbers of the examples shown by chance.
    """

    mistake: Callable[[Any, Any], float]
    chosen: frozenset[int]
    some: dict[int, Seen] = field(default_factory=dict)
    _worst: list[tuple[float, int, Seen]] = field(default_factory=list)

    def see(self, index: int, example: Example, prediction: Any, target: Any) -> None:
        """Look at one example."""
        if index in self.chosen:
            self.some[index] = (example, prediction, target)
        degree = self.mistake(prediction, target)
        if degree > 0:
            heapq.heappush(self._worst, (degree, -index, (example, prediction, target)))
            if len(self._worst) > SHOWN:
                heapq.heappop(self._worst)

    @property
    def worst(self) -> list[Seen]:
        """The worst mistakes, the worst one first."""
        return [seen for _, _, seen in sorted(self._worst, key=lambda item: item[:2])[::-1]]


def gallery(mistake: Callable[[Any, Any], float], size: int, seed: int) -> Gallery:
    """Return an empty gallery for a split of ``size`` examples."""
    chosen = np.random.default_rng(seed).permutation(size)[:SHOWN]
    return Gallery(mistake, frozenset(chosen.tolist()))


def mistakes_of(task: Task) -> Callable[[Any, Any], float] | None:
    """Return how wrong a prediction of a task is, if there is a way to show one; else None."""
    if not isinstance(task, Illustrated):
        return None
    shown = draws(task) or type(task).describe is not Illustrated.describe
    return task.mistake if shown else None


def quoted(task: Task, things: Sequence[Seen]) -> list[dict[str, str]]:
    """Return examples with their predictions as texts, of those that have any."""
    if not isinstance(task, Illustrated):
        return []
    return [texts for thing in things if (texts := dict(task.describe(*thing)))]


def _save(run: Run, sheet_png: bytes, name: str) -> str:
    run.write_bytes(f"figures/{name}.png", sheet_png)
    return f"figures/{name}.png"


def _draw_validation(
    axes: Any, lines: list[dict[str, Any]], key: str, color: str, best: Any
) -> None:
    """Draw a validated number with its interval, and write its best value beside the point."""
    found = [line for line in lines if key in line]
    if not found:
        return
    steps, values = [line["step"] for line in found], [line[key] for line in found]
    axes.plot(steps, values, "o-", color=color, ms=3.5, label="validation")
    bounds = [[line.get(f"{key}/{end}", line[key]) for line in found] for end in ("low", "high")]
    axes.fill_between(steps, *bounds, color=color, alpha=0.12, linewidth=0)
    step, value = best(zip(steps, values, strict=True), key=lambda point: point[1])
    axes.annotate(f"{value:.3f}", (step, value), (0, 8), textcoords="offset points", ha="center")
