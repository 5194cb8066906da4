"""Figures of a run, drawn with matplotlib."""

from __future__ import annotations

import io

from luban.core.files import write_atomic
from luban.run import Run


def draw_loss(run: Run) -> None:
    """Draw training and validation loss over steps into ``figures/loss.png``."""
    from matplotlib.figure import Figure

    lines = run.metrics()
    train = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    held_out = [
        (line["step"], line["validation/loss"]) for line in lines if "validation/loss" in line
    ]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    if train:
        axes.plot(*zip(*train, strict=True), color="#9aa5b1", linewidth=1, label="training")
    if held_out:
        axes.plot(*zip(*held_out, strict=True), "o-", color="#b3261e", ms=3.5, label="validation")
        step, value = min(held_out, key=lambda point: point[1])
        axes.annotate(
            f"{value:.3f}", (step, value), (0, 8), textcoords="offset points", ha="center"
        )
    axes.set(xlabel="step", ylabel="loss (nats)", title=f"{run.recipe.name}: loss")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_atomic(run.path / "figures" / "loss.png", buffer.getvalue())
