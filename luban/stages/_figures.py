"""Figures of a run, drawn with matplotlib."""

from __future__ import annotations

import io
from typing import Any

from luban.core.files import write_atomic
from luban.run import Run

_GREY, _RED, _BLUE = "#9aa5b1", "#b3261e", "#1f5fa8"


def draw_loss(run: Run) -> None:
    """Draw the losses over steps, and the metric that chose the best weights if it is another.

    Writes ``figures/loss.png``.
    """
    from matplotlib.figure import Figure

    lines = run.metrics()
    metric = run.task().validation_metrics()[0]
    headline = f"validation/{metric.label}"
    apart = metric.label != "loss" and any(headline in line for line in lines)
    figure = Figure(figsize=(7, 6 if apart else 4), layout="constrained")
    axes = figure.subplots(2 if apart else 1, 1, sharex=True, squeeze=False)[:, 0]
    train = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    if train:
        axes[0].plot(*zip(*train, strict=True), color=_GREY, linewidth=1, label="training")
    _draw_validation(axes[0], lines, "validation/loss", _RED, best=min)
    axes[0].set(ylabel="loss (nats)", title=f"{run.recipe.name}: loss")
    if apart:
        best = max if metric.higher_is_better else min
        _draw_validation(axes[1], lines, headline, _BLUE, best=best)
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
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_atomic(run.path / "figures" / "loss.png", buffer.getvalue())


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
