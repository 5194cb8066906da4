"""Train the model; kill it at any moment, and the same command goes on exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from luban.core.contracts import (
    Adapter,
    Mechanism,
    Objective,
    Optimizer,
    Schedule,
    Stage,
    Tracker,
)
from luban.core.errors import RunError
from luban.core.files import sha256_of
from luban.core.report import Claim, Report
from luban.engine.budget import Budget
from luban.run import Run
from luban.stages._figures import loss_unit
from luban.stages._outside_weights import outside_digests
from luban.stages._training import Training
from luban.trained import stored_parameters, weights_of

#: What ``training.json`` holds for the report.
SUMMARY = (
    "best", "cost", "device", "energy", "flop_per_token", "kept", "peak_flop_per_second",
    "precision", "processes", "steps", "stopped",
)  # fmt: skip


class Train(Stage):
    """How long, how fast, how exactly.

    At least one of the four bounds is needed; the first one reached ends training.
    """

    max_steps: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000_000_000,
        description="Optimizer steps; 0: keep the weights the model starts from, to measure them.",
    )
    num_train_epochs: float | None = Field(default=None, gt=0)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000_000_000_000_000)
    max_minutes: float | None = Field(
        default=None, gt=0, description="Training minutes; makes the run depend on the clock."
    )
    batch_size: int = Field(
        default=32,
        ge=1,
        le=16_777_216,
        description="Examples per step, over all processes and micro-batches.",
    )
    gradient_accumulation_steps: int = Field(
        default=1, ge=1, le=16_777_216, description="Micro-batches per step."
    )
    dataloader_num_workers: int = Field(
        default=0,
        ge=0,
        le=1_024,
        description="Processes that prepare batches ahead; 0: a thread. The order stays the same.",
    )
    optimizer: Optimizer = Field(default="adamw", validate_default=True)
    schedule: Schedule = Field(default="cosine", validate_default=True)
    mechanism: Mechanism = Field(default="plain", validate_default=True)
    adapter: Adapter | None = Field(
        default=None, description="Train few parameters instead of all of them."
    )
    objectives: tuple[Objective, ...] = Field(
        default=(), description="What is learned beside the task, each wrapping the loss before it."
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Learning rate of a layer as a share of the next one's; 1: all alike.",
    )
    max_grad_norm: float = Field(default=1.0, ge=0, description="Clip to this norm; 0: never.")
    ema_decay: float = Field(default=0.0, ge=0, lt=1, description="Averaged weights; 0: none.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    logging_steps: int = Field(default=10, ge=1, le=1_000_000_000_000)
    eval_steps: int = Field(
        default=200, ge=1, le=1_000_000_000_000, description="Steps between validations."
    )
    eval_batch_size: int = Field(default=64, ge=1, le=16_777_216)
    save_steps: int = Field(
        default=200, ge=1, le=1_000_000_000_000, description="Steps between checkpoints."
    )
    save_total_limit: int = Field(
        default=2, ge=2, le=1_000_000_000_000, description="Checkpoints kept."
    )
    early_stopping_patience: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000_000,
        description="Validations without improvement before stopping.",
    )
    load_best_model_at_end: bool = Field(
        default=True, description="Keep the weights of the best validation, not the last ones."
    )
    trackers: tuple[Tracker, ...] = ()
    needs: ClassVar[tuple[str, ...]] = ("prepare",)
    neutral_fields: ClassVar[frozenset[str]] = frozenset(
        {"dataloader_num_workers", "logging_steps", "save_steps", "save_total_limit", "trackers"}
    )
    always: ClassVar[bool] = True
    distributed: ClassVar[bool] = True

    def rests_on(self, run: Run) -> dict[str, str]:
        """Return digests of pretrained weights, of teachers, and of the data of second tasks."""
        return outside_digests(run.recipe.model, "model") | outside_digests(self, "train")

    def budget(self) -> Budget:
        """Return the bounds on training."""
        return Budget(self.max_steps, self.num_train_epochs, self.max_tokens, self.max_minutes)

    def perform(self, run: Run) -> None:
        """Train from the last good checkpoint, or from the start, to the end of the budget."""
        Training(run, self).finish()

    def finished(self, run: Run) -> bool:
        """Return whether training came to its end, or was stopped for good."""
        stopped = run.read_json("training.json", *SUMMARY)["stopped"]
        return not stopped or stopped["because"] != "interrupted"

    def end_early(self, run: Run) -> bool:
        """End training where its last checkpoint stands, if there is one with steps."""
        return any(run.path.glob("checkpoint-*")) and Training(run, self).end_early()

    def measure(self, run: Run) -> Report:
        """Compute cost and curve from ``metrics.jsonl``, ``training.json`` and the weights."""
        summary, log = run.read_json("training.json", *SUMMARY), run.metrics()
        weights = weights_of(run)
        if summary["steps"] == 0:
            return Report("train", _untrained(weights), details={"text": [_UNTRAINED]})
        loss = _last(run, log, "loss")["loss"]
        last = _last(run, log, "tokens", "positions", "seconds")
        flop = summary["flop_per_token"] * last["positions"]
        task = run.task()
        unit = task.signature().unit
        claims = {
            "steps": Claim(last["step"], "steps"),
            "tokens": Claim(last["tokens"], note="places or examples that carried a loss"),
            "positions": Claim(last["positions"], unit, note="read, padding included"),
            "training time": Claim(
                last["seconds"] / 60, "minutes", note="validation and saving not counted"
            ),
            "speed": Claim(last["positions"] / max(last["seconds"], 1e-9), f"{unit}/s"),
            "parameters": Claim(stored_parameters(weights), note="in model/, tied ones once"),
            "compute": Claim(flop, "FLOP", note="of training, by the model's formula"),
            "utilisation": Claim(
                flop / max(last["seconds"], 1e-9) / summary["peak_flop_per_second"],
                note="share of the fastest matrix product measured on this machine",
            ),
            "energy": Claim(
                summary["energy"]["joules"] / 3.6e6, "kWh", note=summary["energy"]["method"]
            ),
            "last training loss": Claim(loss, loss_unit(task), note="of one step"),
            "weights (sha256)": Claim(sha256_of(weights)[:16], note="first 16 digits"),
            "log (sha256)": Claim(
                sha256_of(run.path / "metrics.jsonl")[:16], note="every step; first 16 digits"
            ),
        }
        claims |= {
            name: Claim(value, note="of the mechanism") for name, value in summary["cost"].items()
        }
        if best := summary["best"]:
            label = f"validation/{best['metric']}"
            then = _last(run, [line for line in log if line["step"] <= best["step"]], label)
            claims[f"best validation {best['metric']}"] = Claim(
                then[label], best["unit"], note=f"at step {then['step']:,}"
            )
        warnings = []
        if stopped := summary["stopped"]:
            kept = f"the weights of step {stopped['kept']:,} were kept"
            warnings = [f"Training stopped early: {stopped['text']}; {kept}."]
            claims["stopped early"] = Claim(
                stopped["because"], note=f"at step {stopped['step']:,}; {kept}"
            )
        text = (
            f"Trained in {summary['precision']} on {summary['processes']} process(es), device "
            f"{summary['device']}; the weights kept are those of the {summary['kept']}."
        )
        seconds = filter(None, (objective.told(task) for objective in self.objectives))
        details = {
            "text": [text, *seconds, *warnings],
            "warnings": warnings,
            "figures": ["figures/loss.png"],
        }
        return Report("train", claims, details=details, tolerance=1e-9)


_UNTRAINED = "Not trained here (`max_steps: 0`): these are the weights the model started from."


def _untrained(weights: Path) -> dict[str, Claim]:
    return {
        "steps": Claim(0, "steps"),
        "parameters": Claim(stored_parameters(weights), note="in model/, tied ones once"),
        "weights (sha256)": Claim(sha256_of(weights)[:16], note="first 16 digits"),
    }


def _last(run: Run, log: list[dict[str, Any]], *keys: str) -> dict[str, Any]:
    """Return the last logged line that has all the keys."""
    found = [line for line in log if all(key in line for key in keys)]
    if found:
        return found[-1]
    raise RunError(
        f"the log of training holds no {keys[0]}.",
        where=run.path / "metrics.jsonl",
        fix="bring the file back, or train again under another name=NAME.",
    )
