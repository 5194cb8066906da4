"""One training, wired: the caller of the loop that logs, validates, saves and stops."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from luban.core.batch import LossFn
from luban.core.component import digest_of
from luban.core.contracts import Example
from luban.core.errors import Diverged
from luban.core.files import cache_root
from luban.core.intervals import measured
from luban.core.progress import report
from luban.engine.checkpoint import Checkpoints, untied
from luban.engine.compiling import Compiler, compare, eager_seconds, time_step
from luban.engine.cost import EnergyMeter, machine_name, peak_flops
from luban.engine.fit import Plan, State, Step, fit
from luban.engine.layerwise import decay_by_layer
from luban.engine.loader import Loader
from luban.engine.precision import Precision
from luban.engine.sizes import build
from luban.engine.world import World
from luban.run import Run
from luban.stages._ending import (
    conclude,
    diverged,
    interrupted,
    keep_the_good,
    swap_averages,
)
from luban.stages._log import Log, log_digest
from luban.stages._measuring import Measuring, model_rows
from luban.stages._prepared import identity, open_store
from luban.stages._stopping import stop_signal

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
        self.log = Log(run, options.trackers)
        self.meter = EnergyMeter()
        self.flop_per_token = recipe.model.flops_per_token(self.task.signature(), self.parameters)
        self.unit = self.task.signature().unit
        self._counted = 0.0  # seconds of training that ``memo["possible_flop"]`` covers

    def _module(self) -> nn.Module:
        """Return the module to train: fresh or pretrained, adapted, with what objectives add."""
        model, options = self.run.recipe.model, self.options
        module = build(model, self.task.signature())
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

    @property
    def peak(self) -> float:
        """FLOP/s that the machine reaches, all processes together: measured once, then kept."""
        peaks = self.state.memo.setdefault("peaks", {})
        machine = machine_name(self.world.device, self.precision.name, self.world.size)
        if machine not in peaks:
            one = peak_flops(self.world.device, self.precision.name)
            peaks[machine] = one * self.world.size
        return float(peaks[machine])

    @property
    def mean_peak(self) -> float:
        """FLOP/s that the machines of this training reach, by the seconds spent on each."""
        self._count_possible()
        seconds = self.state.seconds
        return float(self.state.memo["possible_flop"] / seconds) if seconds else self.peak

    def _count_possible(self) -> None:
        """Add the FLOP that the machine could have computed since this was last done."""
        memo, seconds = self.state.memo, self.state.seconds
        before = memo.get("possible_flop", 0.0)
        memo["possible_flop"] = before + (seconds - self._counted) * self.peak
        self._counted = seconds

    def finish(self) -> None:
        """Train from the last good checkpoint to the end of the budget; write ``model/``.

        Training that diverges is ended: the weights kept are the best ones until then.

        Raises:
            Diverged: if there are no weights worth keeping.
        """
        self._resume()
        self._compile()
        if "stopped" not in self.state.memo:
            try:
                self._train()
            except Diverged as error:
                self.log.write_last()
                self.state.memo["stopped"] = diverged(self, error)
                self._save()
        keep_the_good(self)
        if self._out_of_patience() and "stopped" not in self.state.memo:
            self.run.say(f"train: validation got no better; stopped at step {self.state.step:,}")
            self._save()
        conclude(self)

    def end_early(self) -> bool:
        """End training where the last checkpoint stands, if it took steps: write ``model/``."""
        self._resume()
        if self.state.step == 0:
            return False
        if self.plan.progress(self.state) < 1 and not self._out_of_patience():
            self.state.memo.setdefault("stopped", interrupted(self))
        keep_the_good(self)
        conclude(self)
        return True

    def _train(self) -> None:
        batches = self.loader.batches(self.state.step)
        steps = fit(self.state, batches, self.plan, self.world)
        with stop_signal() as stopped, self.log.trackers():
            while not self._out_of_patience() and (step := next(steps, None)) is not None:
                self._after(step)
                if self.world.any_true(stopped.is_set()):
                    self._save()
                    raise KeyboardInterrupt

    def _resume(self) -> None:
        loaded = self.checkpoints.load(self.state)
        self._counted = self.state.seconds if "possible_flop" in self.state.memo else 0.0
        self.log.keep(self.state.memo.get("log"), self.state.step)
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
        self._count_possible()

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
                tokens = self.loader.batch_size * max(1, self.task.signature().length)
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

    def _after(self, step: Step) -> None:
        options, final = self.options, step.progress >= 1
        values = {
            **({"loss": step.loss} if step.count else {}),  # of nothing there is none
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
        due = validates or step.index % options.logging_steps == 0 or step.index == 1 or final
        self.log.see(step.index, values, due=due)
        self._show(step)
        if validates:
            self.validate(step.index)
        if step.index % options.save_steps == 0 or final:
            self._save()

    def _save(self) -> None:
        """Save, with the energy used so far: a resumed run adds to it."""
        self._share_statistics()
        self._count_possible()
        energy = self.meter.read()
        whole = energy.method.startswith("measured")  # one process a machine speaks for all
        counts = not whole or os.environ.get("LOCAL_RANK", "0") == "0"
        (joules,) = self.world.sum(energy.joules if counts else 0.0)
        spent = self.state.memo.get("energy", {"joules": 0.0})["joules"]
        self.state.memo["energy"] = {"joules": spent + joules, "method": energy.method}
        self.meter = EnergyMeter()
        if self.run.main:  # a resumed training checks that its log is still whole
            self.state.memo["log"] = log_digest(self.run.path / "metrics.jsonl")
        self.checkpoints.save(self.state, self._needed())

    def _needed(self) -> list[int]:
        """Return the step of the checkpoint where going back begins, while losses are bad."""
        guard, step = self.state.guard, self.state.step
        healthy = self.state.memo.get("stopped", {}).get("healthy", step - guard.high - 1)
        before = [at for at in self.checkpoints.steps() if at <= healthy]
        return before[-1:]

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
        report("train", done * 1000, 1000, facts)

    def validate(self, step: int) -> None:
        """Measure the validation split, log it, and keep the weights if they are the best."""
        module, metrics = self.state.model, self.task.validation_metrics()
        self._share_statistics()
        with self._averaged(), self.precision.autocast():
            rows = model_rows(
                Measuring(self.task, self.task.validate_batch, metrics, module),
                self.validation,
                batch_size=self.options.eval_batch_size,
                world=self.world,
                label="validate",
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
        self.log.write(step, values)
        shown = ", ".join(f"{name} {claim}" for name, claim in found.items())
        self.run.say(f"step {step:,}: validation {shown}")

    def _out_of_patience(self) -> bool:
        patience = self.options.early_stopping_patience
        return patience is not None and self.state.memo.get("waited", 0) >= patience

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the averaged weights into the model for a while, if there are any."""
        if self.state.ema is None:
            yield
            return
        swap_averages(self.state)
        try:
            yield
        finally:
            swap_averages(self.state)
