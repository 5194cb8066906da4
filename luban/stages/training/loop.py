"""The caller of the loop: resumes, compiles, logs, validates, saves and stops."""

from __future__ import annotations

from luban.core.component import digest_of
from luban.core.errors import Diverged
from luban.core.files import cache_root
from luban.core.progress import report
from luban.engine.compiling import Compiler, compare, eager_seconds, time_step
from luban.engine.fit import Step, fit
from luban.stages.training.build import Training
from luban.stages.training.finish import conclude, diverged, interrupted, keep_the_good
from luban.stages.training.log import log_digest
from luban.stages.training.stop_signal import stop_signal
from luban.stages.training.validation import validate


def train_to_the_end(training: Training) -> None:
    """Train from the last good checkpoint to the end of the budget; write ``model/``.

    Training that diverges is ended: the weights kept are the best ones until then.

    Raises:
        Diverged: if there are no weights worth keeping.
        KeyboardInterrupt: if it was asked to stop; a checkpoint is saved first.
    """
    resume(training)
    _compile(training)
    kept = training.state.run_state
    if kept.stopped is None:
        try:
            _train(training)
        except Diverged as error:
            training.log.write_last()
            kept.stopped = diverged(error, training.state.step)
            save(training)
    keep_the_good(training)
    if training.out_of_patience() and kept.stopped is None:
        step = training.state.step
        training.run.say(f"train: validation got no better; stopped at step {step:,}")
        save(training)
    conclude(training)


def end_where_it_stands(training: Training) -> bool:
    """End training where the last checkpoint stands, if it took steps: write ``model/``."""
    resume(training)
    state = training.state
    if state.step == 0:
        return False
    unfinished = training.plan.progress(state) < 1 and not training.out_of_patience()
    if unfinished and state.run_state.stopped is None:
        state.run_state.stopped = interrupted(state.step)
    keep_the_good(training)
    conclude(training)
    return True


def resume(training: Training) -> None:
    """Load the newest good checkpoint, if there is one, and go back to it in the log."""
    run, state, world = training.run, training.state, training.world
    loaded = training.checkpoints.load(state)
    training.costs.resume()
    training.log.keep(state.run_state.log, state.step)
    if loaded is None:
        world.copy_main_(list(state.model.state_dict().values()))
        precision = training.precision.told(training.options.precision)
        run.say(
            f"train: {training.parameters:,} parameters, {training.loader.size:,} examples per "
            f"epoch, {precision} on {world.size} x {world.device}"
        )
    else:
        for warning in loaded.warnings:
            run.say(f"train: {warning}")
        run.say(f"train: goes on from {loaded.path.name}")
    if state.run_state.precision is None:
        state.run_state.precision = training.precision.name
    training.keep_precision(state.run_state.precision)
    training.costs.count_possible()


def save(training: Training) -> None:
    """Save, with the energy used so far: a resumed run adds to it."""
    training.share_statistics()
    training.costs.count_possible()
    training.costs.count_energy()
    run, state = training.run, training.state
    if run.main:  # a resumed training checks that its log is still whole
        state.run_state.log = log_digest(run.path / "metrics.jsonl")
    training.checkpoints.save(state, _needed(training))


def after_step(training: Training, step: Step) -> None:
    """Log a step, and validate and save where it is time to."""
    options, state, final = training.options, training.state, step.progress >= 1
    values = {
        **({"loss": step.loss} if step.count else {}),  # of nothing there is none
        "lr": step.lr,
        "grad_norm": step.grad_norm,
        "tokens": step.tokens,
        "seconds": round(state.seconds, 3),
        "tokens_per_second": round(step.count / max(step.seconds, 1e-9), 1),
        "utilisation": round(training.costs.utilisation(step.positions, step.seconds), 4),
        "positions": state.positions,
    }
    validates = bool(training.validation) and (step.index % options.eval_steps == 0 or final)
    # A validation may be the last thing that happens: its step must stand in the log.
    due = validates or step.index % options.logging_steps == 0 or step.index == 1 or final
    training.log.see(step.index, values, due=due)
    _show(training, step)
    if validates:
        validate(training, step.index)
    if step.index % options.save_steps == 0 or final:
        save(training)


def _train(training: Training) -> None:
    batches = training.loader.batches(training.state.step)
    steps = fit(training.state, batches, training.plan, training.world)
    with stop_signal() as stopped, training.log.trackers():
        while not training.out_of_patience() and (step := next(steps, None)) is not None:
            after_step(training, step)
            if training.world.any_true(stopped.is_set()):
                save(training)
                raise KeyboardInterrupt


def _compile(training: Training) -> None:
    """Compile if it pays; a resumed run keeps the decision it began with."""
    options, state, world = training.options, training.state, training.world
    key = digest_of([training.run.recipe.model.to_dict(), options.batch_size, training.precision])
    compiler = Compiler(cache_root() / "inductor", key, world.device)
    if state.run_state.compile is not None:
        if state.run_state.compile.compile:
            _compiled(training, compiler, repeats=1)
        return
    loader, pace, seconds, choice = training.loader, 0.0, 0.0, options.compile
    if options.objectives or (choice == "auto" and loader.pool.lengths is not None):
        choice = "off"  # hooks on a compiled module, or a new shape at every step
    if choice == "auto":
        pace = world.from_main(time_step(state.model, loader.step(0), training.plan))
        tokens = loader.batch_size * max(1, training.task.signature().length)
        seconds = eager_seconds(training.plan.budget, pace, tokens)
    decision = compiler.decide(choice, world.from_main(seconds))
    if decision.compile:
        compiled = _compiled(training, compiler, repeats=3)
        if choice == "auto":
            decision = compare(pace, world.from_main(compiled))
    if not decision.compile:
        state.forward = None
    state.run_state.compile = decision
    told = "compiled" if decision.compile else "not compiled"
    training.run.say(f"train: {told}: {decision.reason}")
    save(training)  # a kill before the first checkpoint must not decide again


def _compiled(training: Training, compiler: Compiler, repeats: int) -> float:
    """Compute with the compiled twin from now on; return the seconds of its step."""
    training.state.forward = compiler.compile(training.state.model)
    batches = training.loader.step(0)
    seconds = time_step(training.state.forward, batches, training.plan, repeats)
    compiler.remember()
    return seconds


def _needed(training: Training) -> list[int]:
    """Return the step of the checkpoint where going back begins, while losses are bad."""
    state, stopped = training.state, training.state.run_state.stopped
    healthy = state.step - state.guard.high - 1
    if stopped is not None and stopped.healthy is not None:
        healthy = stopped.healthy
    before = [at for at in training.checkpoints.steps() if at <= healthy]
    return before[-1:]


def _show(training: Training, step: Step) -> None:
    state, best = training.state, training.state.run_state.best
    speed = state.positions / max(state.seconds, 1e-9)
    facts = f"step {step.index:,}  loss {step.loss:.4f}  {speed:,.0f} "
    facts += f"{training.task.signature().unit}/s"
    facts += f"  {training.costs.utilisation(state.positions, state.seconds):.0%} of peak"
    if best is not None:
        facts += f"  best {best.metric} {best.value:.4f}"
    report("train", min(step.progress, 1.0) * 1000, 1000, facts)
