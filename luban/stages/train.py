"""Train the model; kill it at any moment, and the same command goes on exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from luban.core.contracts import Stage
from luban.core.errors import RunError
from luban.core.files import sha256_of
from luban.core.report import Claim, Report
from luban.data.store import Store
from luban.run import Run
from luban.stages._figures import loss_unit
from luban.stages._outside_weights import outside_digests
from luban.stages._prepared import identity, open_store
from luban.stages.training.build import build_training
from luban.stages.training.loop import end_where_it_stands
from luban.stages.training.options import TrainingOptions
from luban.stages.training.train_model import train_model
from luban.trained import stored_parameters, weights_of

#: What ``training.json`` holds for the report.
SUMMARY = (
    "best", "cost", "device", "energy", "flop_per_token", "kept", "peak_flop_per_second",
    "precision", "processes", "steps", "stopped",
)  # fmt: skip


class Train(TrainingOptions, Stage):
    """How long, how fast, how exactly.

    At least one of the four bounds is needed; the first one reached ends training.
    """

    needs: ClassVar[tuple[str, ...]] = ("prepare",)
    always: ClassVar[bool] = True
    distributed: ClassVar[bool] = True

    def rests_on(self, run: Run) -> dict[str, str]:
        """Return digests of pretrained weights, of teachers, and of the data of second tasks."""
        return outside_digests(run.recipe.model, "model") | outside_digests(self, "train")

    def perform(self, run: Run) -> None:
        """Train from the last good checkpoint, or from the start, to the end of the budget."""
        train_model(run, self, run.task(), _examples(run), identity(run, self))

    def finished(self, run: Run) -> bool:
        """Return whether training came to its end, or was stopped for good."""
        stopped = run.read_json("training.json", *SUMMARY)["stopped"]
        return not stopped or stopped["because"] != "interrupted"

    def end_early(self, run: Run) -> bool:
        """End training where its last checkpoint stands, if there is one with steps."""
        if not any(run.path.glob("checkpoint-*")):
            return False
        own = identity(run, self)
        return end_where_it_stands(build_training(run, self, run.task(), _examples(run), own))

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


def _examples(run: Run) -> dict[str, Store]:
    """Return the encoded examples that training reads, by split."""
    splits = ["train", *(["validation"] if run.has_split("validation") else [])]
    return {split: open_store(run, split) for split in splits}


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
