"""One training, wired: the caller of the loop that logs, validates, saves and stops."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from luban.core.batch import LossFn
from luban.core.component import digest_of
from luban.core.contracts import Example, Tracker
from luban.core.files import disk_error, folder_atomic
from luban.core.interval import measured
from luban.data.cache import cache_root
from luban.engine.checkpoint import Checkpoints, untied
from luban.engine.compiling import Compiler, compare, eager_seconds, time_step
from luban.engine.cost import EnergyMeter, peak_flops
from luban.engine.fit import Plan, State, Step, averaged, fit
from luban.engine.layerwise import decay_by_layer
from luban.engine.loader import Loader
from luban.engine.precision import Precision
from luban.engine.world import World
from luban.run import Run
from luban.stages._figures import draw_loss
from luban.stages._log import log_beginning, log_digest
from luban.stages._prepared import identity, open_store
from luban.stages._rows import Measuring, model_rows
from luban.stages._stopping import stop_signal
from luban.trained import save_model

if TYPE_CHECKING:
    from luban.stages.train import Train


class Training:
    """What one training needs, built from the run's recipe and prepared data.

    Args:
        run: The run; its ``prepare`` has been done.
        options: The recipe's ``train`` section.
    """

    def __init__(self, run: Run, options: Train) -> None:
        self.run, self.options = run, options
        recipe = run.recipe
        self.world = World.start(options.device)
        self.task = run.task()
        self.train = open_store(run, "train")
        validation = open_store(run, "validation") if run.has_split("validation") else None
        self.validation: Sequence[Example] = (
            self.task.view(validation, None, recipe.seed) if validation else ()
        )
        self.lengths = self.task.lengths(validation) if validation else None
        self.precision = Precision.resolve(options.precision, self.world.device)
        torch.manual_seed(recipe.seed)
        module = self._module()
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.state = State(module, options.optimizer.build(named))
        if options.layer_decay < 1:
            decay_by_layer(self.state.optimizer, module, options.layer_decay)
        self.loader = Loader(
            view=lambda epoch: self.task.view(self.train, epoch, recipe.seed),
            collate=self.task.collate,
            mechanism=options.mechanism,
            batch_size=options.batch_size,
            seed=recipe.seed,
            gradient_accumulation_steps=options.gradient_accumulation_steps,
            world=self.world,
            lengths=self.task.lengths(self.train),
            groups=self.task.groups(self.train),
            workers=options.dataloader_num_workers,
        )
        loss: LossFn = self.task.loss
        for objective in options.objectives:
            loss = objective.wrap(loss, self.task)
        self.plan = Plan(
            loss=loss,
            mechanism=options.mechanism,
            schedule=options.schedule,
            budget=options.budget().in_steps(options.batch_size, self.loader.size),
            seed=recipe.seed,
            max_grad_norm=options.max_grad_norm,
            ema_decay=options.ema_decay,
            precision=self.precision,
        )
        self.checkpoints = Checkpoints(
            run.path, identity(run, options), self.world, options.save_total_limit
        )
        self.meter = EnergyMeter()
        self.flop_per_token = recipe.model.flops_per_token(self.task.ports(), self.parameters)
        self.unit = self.task.ports().unit
        self.peak = peak_flops(self.world.device, self.precision.name) * self.world.size

    def _module(self) -> nn.Module:
        """Return the module to train: fresh or pretrained, adapted, with what objectives add."""
        model, options = self.run.recipe.model, self.options
        module = model.build(self.task.ports())
        fresh = model.start(module)
        if fresh:
            self.run.say(f"train: starts from pretrained weights; fresh: {', '.join(fresh)}")
        if options.adapter is not None:
            module = options.adapter.apply(module, fresh)
        for objective in options.objectives:
            objective.attach(module, self.task)
        return module.to(self.world.device)

    @property
    def parameters(self) -> int:
        """Number of weights, tied ones once."""
        return sum(p.numel() for p in self.state.model.parameters())

    def finish(self) -> None:
        """Train from the last good checkpoint to the end of the budget; write ``model/``."""
        self._resume()
        batches = self.loader.batches(self.state.step)
        steps = fit(self.state, batches, self.plan, self.world)
        with stop_signal() as stopped, self._trackers() as trackers:
            while not self._out_of_patience() and (step := next(steps, None)) is not None:
                self._after(step, trackers)
                if self.world.any_true(stopped.is_set()):
                    self._save()
                    raise KeyboardInterrupt
        self._conclude()

    def _resume(self) -> None:
        loaded = self.checkpoints.load(self.state)
        self._keep_metrics_up_to(self.state.step)
        if loaded is None:
            self.world.copy_main_(list(self.state.model.state_dict().values()))
            self.run.say(
                f"train: {self.parameters:,} parameters, {self.loader.size:,} examples per epoch, "
                f"{self.precision.name} on {self.world.size} x {self.world.device}"
            )
        else:
            for warning in loaded.warnings:
                self.run.say(f"train: {warning}")
            self.run.say(f"train: goes on from {loaded.path.name}")
        name = self.state.memo.setdefault("precision", self.precision.name)
        if name != self.precision.name:  # decided on another machine: a run keeps to it
            self.precision = replace(self.precision, name=name)
            self.plan = replace(self.plan, precision=self.precision)
        self._compile()

    def _compile(self) -> None:
        """Compile if it pays; a resumed run keeps the decision it began with."""
        key = digest_of([self.run.recipe.model.to_dict(), self.options.batch_size, self.precision])
        compiler = Compiler(cache_root() / "inductor", key, self.world.device)
        if "compile" not in self.state.memo:
            pace = seconds = 0.0
            choice = self.options.compile
            if self.options.objectives or (choice == "auto" and self.loader.lengths is not None):
                choice = "off"  # hooks on a compiled module, or a new shape at every step
            if choice == "auto":
                batches = self.loader.step(0)
                pace = self.world.from_main(time_step(self.state.model, batches, self.plan))
                tokens = self.loader.batch_size * max(1, self.task.ports().length)
                seconds = eager_seconds(self.plan.budget, pace, tokens)
            decision = compiler.decide(choice, self.world.from_main(seconds))
            if decision.compile:
                compiled = self._compiled(compiler, repeats=3)
                if choice == "auto":
                    decision = compare(pace, self.world.from_main(compiled))
            if not decision.compile:
                self.state.forward = None
            self.state.memo["compile"] = decision.to_dict()
            self.run.say(
                f"train: {'compiled' if decision.compile else 'not compiled'}: {decision.reason}"
            )
            self._save()  # a kill before the first checkpoint must not decide again
        elif self.state.memo["compile"]["compile"]:
            self._compiled(compiler, repeats=1)

    def _compiled(self, compiler: Compiler, repeats: int) -> float:
        """Compute with the compiled twin from now on; return the seconds of its step."""
        self.state.forward = compiler.compile(self.state.model)
        seconds = time_step(self.state.forward, self.loader.step(0), self.plan, repeats)
        compiler.remember()
        return seconds

    def _after(self, step: Step, trackers: Sequence[Tracker]) -> None:
        options, final = self.options, step.progress >= 1
        values = {
            "loss": step.loss,
            "lr": step.lr,
            "grad_norm": step.grad_norm,
            "tokens": step.tokens,
            "seconds": round(self.state.seconds, 3),
            "tokens_per_second": round(step.count / max(step.seconds, 1e-9), 1),
            "utilisation": round(self._utilisation(step.positions, step.seconds), 4),
            "positions": self.state.positions,
        }
        validates = bool(self.validation) and (step.index % options.eval_steps == 0 or final)
        # A validation may be the last thing that happens: its step must stand in the log.
        if validates or step.index % options.logging_steps == 0 or step.index == 1 or final:
            self._log(step.index, values, trackers)
        self._show(step)
        if validates:
            self._validate(step.index, trackers)
        if step.index % options.save_steps == 0 or final:
            self._save()

    def _save(self) -> None:
        """Save, with the energy used so far: a resumed run adds to it."""
        self._share_statistics()
        energy = self.meter.read()
        whole = energy.method.startswith("measured")  # one process a machine speaks for all
        counts = not whole or os.environ.get("LOCAL_RANK", "0") == "0"
        (joules,) = self.world.sum(energy.joules if counts else 0.0)
        spent = self.state.memo.get("energy", {"joules": 0.0})["joules"]
        self.state.memo["energy"] = {"joules": spent + joules, "method": energy.method}
        self.meter = EnergyMeter()
        if self.run.main:  # a resumed training checks that its log is still whole
            self.state.memo["log"] = log_digest(self.run.path / "metrics.jsonl")
        self.checkpoints.save(self.state)

    def _share_statistics(self) -> None:
        """Let all processes have the running statistics of the first one, averaged ones too."""
        model, averages = self.state.model, self.state.ema or {}
        buffers = {name: b for name, b in model.named_buffers() if b.is_floating_point()}
        averaged = [averages[name] for name in buffers if name in averages]
        self.world.copy_main_([*buffers.values(), *averaged])

    def _utilisation(self, positions: int, seconds: float) -> float:
        return positions * self.flop_per_token / max(seconds, 1e-9) / self.peak

    def _show(self, step: Step) -> None:
        speed = self.state.positions / max(self.state.seconds, 1e-9)
        share = self._utilisation(self.state.positions, self.state.seconds)
        facts = f"step {step.index:,}  loss {step.loss:.4f}  {speed:,.0f} {self.unit}/s"
        facts += f"  {share:.0%} of peak"
        if best := self.state.memo.get("best"):
            facts += f"  best {best['metric']} {best['value']:.4f}"
        done = min(step.progress, 1.0)
        self.run.console.progress("train", done * 1000, 1000, facts)

    def _validate(self, step: int, trackers: Sequence[Tracker]) -> None:
        module, metrics = self.state.model, self.task.validation_metrics()
        self._share_statistics()
        with self._averaged(), self.precision.autocast():
            rows = model_rows(
                Measuring(self.task, self.task.validate_batch, metrics, module),
                self.validation,
                batch_size=self.options.eval_batch_size,
                world=self.world,
                lengths=self.lengths,
            )
            found = {m.label: measured(m, rows[m.label], rounds=200) for m in metrics}
            headline, value = metrics[0], float(found[metrics[0].label].value)
            best = self.state.memo.get("best")
            sign = 1 if headline.higher_is_better else -1
            if best is None or sign * value > sign * best["value"]:
                self.state.memo["best"] = {
                    "metric": headline.label,
                    "unit": headline.unit,
                    "value": value,
                    "step": step,
                }
                self.state.memo["waited"] = 0
                if self.options.load_best_model_at_end:  # in the state: it goes into checkpoints
                    copies = {name: t.to("cpu", copy=True) for name, t in untied(module).items()}
                    self.state.best = copies
            else:
                self.state.memo["waited"] += 1
        values: dict[str, float] = {}
        for name, claim in found.items():
            values[f"validation/{name}"] = float(claim.value)
            ends = {"low": claim.low, "high": claim.high}
            values |= {f"validation/{name}/{end}": v for end, v in ends.items() if v is not None}
        self._log(step, values, trackers)
        shown = ", ".join(f"{name} {claim}" for name, claim in found.items())
        self.run.say(f"step {step:,}: validation {shown}")

    def _out_of_patience(self) -> bool:
        patience = self.options.early_stopping_patience
        return patience is not None and self.state.memo.get("waited", 0) >= patience

    def _conclude(self) -> None:
        if self._out_of_patience():
            self.run.say(f"train: validation got no better; stopped at step {self.state.step:,}")
            self._save()
        state, options = self.state, self.options
        if state.best is not None:
            state.model.load_state_dict(state.best, strict=False)
        elif state.ema is not None:
            _swap(state)
        if not self.run.main:
            return
        self._write_model()
        self.run.write_json(
            "training.json",
            {
                "steps": state.step,
                "tokens": state.tokens,
                "seconds": state.seconds,
                "parameters": self.parameters,
                "flop_per_token": self.flop_per_token,
                "peak_flop_per_second": self.peak,
                "energy": state.memo["energy"],
                "compiled": state.memo["compile"],
                "precision": self.precision.name,
                "processes": self.world.size,
                "device": str(self.world.device),
                "best": state.memo.get("best"),
                "kept": "last step" if state.best is None else "best validation",
                "cost": dict(
                    options.mechanism.cost(state.step, options.batch_size, self.loader.size)
                ),
            },
        )
        draw_loss(self.run)

    def _write_model(self) -> None:
        """Calibrate on validation data, keep what an adapter learned apart, write ``model/``."""
        module, adapter = self.state.model.eval(), self.options.adapter
        size, examples, device = self.options.eval_batch_size, self.validation, self.world.device
        batches = (
            self.task.collate([examples[i] for i in range(at, min(at + size, len(examples)))])
            for at in range(0, len(examples), size)
        )
        with torch.inference_mode():
            task = self.task.calibrate(module, (batch.to(device) for batch in batches))
        if hasattr(module, "auxiliary"):
            del module.auxiliary
        if adapter is not None:
            with folder_atomic(self.run.path / "adapter") as folder:
                adapter.save(module, self.run.recipe.model, folder)
            module = adapter.merge(module)
        save_model(self.run, task, module, examples or self.task.view(self.train, None, 0))

    # Logging

    def _log(self, step: int, values: dict[str, float], trackers: Sequence[Tracker]) -> None:
        if not self.run.main:
            return
        path = self.run.path / "metrics.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise disk_error(error, path) from error
        for tracker in trackers:
            tracker.log(step, values)

    def _keep_metrics_up_to(self, step: int) -> None:
        """Drop lines of steps that will be done again.

        Raises:
            RunError: if the lines before them are not those that were logged.
        """
        if self.run.main and (recorded := self.state.memo.get("log")):
            self.run.write_bytes("metrics.jsonl", log_beginning(self.run, recorded))
            return
        kept = [line for line in self.run.metrics() if line["step"] <= step]
        self.run.write_text("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in kept))

    @contextmanager
    def _trackers(self) -> Iterator[Sequence[Tracker]]:
        trackers = self.options.trackers if self.run.main else ()
        for tracker in trackers:
            tracker.start(self.run.path, self.run.recipe.name, self.run.recipe.to_dict())
        try:
            yield trackers
        finally:
            for tracker in trackers:
                tracker.finish()

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the averaged weights into the model for a while, if there are any."""
        if self.state.ema is None:
            yield
            return
        _swap(self.state)
        try:
            yield
        finally:
            _swap(self.state)


@torch.no_grad()
def _swap(state: State) -> None:
    current = averaged(state.model)
    averages: dict[str, Tensor] = state.ema or {}
    for name, average in averages.items():
        held = current[name].clone()
        current[name].copy_(average)
        average.copy_(held)
