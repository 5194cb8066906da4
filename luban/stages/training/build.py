"""Build one training: module, optimizer, loader and plan, from options, task and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn

from luban.core.batch import LossFn
from luban.core.contracts import Examples, StoredView, Task, UsesStatistics, View
from luban.core.progress import doing
from luban.engine.checkpoint import Checkpoints
from luban.engine.fit import Plan, State
from luban.engine.layerwise import decay_by_layer
from luban.engine.loader import Loader
from luban.engine.precision import Choice, Precision
from luban.engine.sizes import build
from luban.engine.world import World
from luban.run import Run
from luban.stages.training.costs import CostMeter
from luban.stages.training.log import Log
from luban.stages.training.options import TrainingOptions


@dataclass(slots=True)
class Training:
    """What one training needs, wired.

    Attributes:
        run: The folder it writes into, and the recipe of its model and seed.
        options: How long, how fast, how exactly.
        task: With all it learned from the training data.
        world: The processes that train together.
        train: The encoded training examples.
        validation: The view of the validation examples; empty: there are none.
        state: What training changes.
        loader: The batches of each step.
        plan: What stays the same.
        checkpoints: Where the state is saved.
        log: ``metrics.jsonl`` and the trackers.
        costs: Peak, utilisation and energy.
    """

    run: Run
    options: TrainingOptions
    task: Task
    world: World
    train: Examples
    validation: View
    state: State
    loader: Loader
    plan: Plan
    checkpoints: Checkpoints
    log: Log
    costs: CostMeter

    @property
    def precision(self) -> Precision:
        """What products are computed in."""
        return self.plan.precision

    def keep_precision(self, name: str) -> None:
        """Compute in the precision that the run began with, on another machine perhaps."""
        if name != self.precision.name:
            self.run.say(
                f"train: products stay in {name}, as when this run began; "
                f"{self.precision.name} would be faster on this machine"
            )
        self.plan = replace(
            self.plan, precision=Precision.resolve(cast(Choice, name), self.world.device)
        )
        self.costs.precision = name

    @property
    def parameters(self) -> int:
        """Number of weights, tied ones once."""
        return _parameters(self.state.model)

    def out_of_patience(self) -> bool:
        """Return whether validation got no better for as long as the options bear."""
        patience = self.options.early_stopping_patience
        return patience is not None and self.state.run_state.waited >= patience

    def share_statistics(self) -> None:
        """Let all processes have the running statistics of the first one, averaged ones too."""
        model, averages = self.state.model, self.state.ema or {}
        buffers = {name: b for name, b in model.named_buffers() if b.is_floating_point()}
        averaged = [averages[name] for name in buffers if name in averages]
        self.world.copy_main_([*buffers.values(), *averaged])


def build_training(
    run: Run,
    options: TrainingOptions,
    task: Task,
    examples: Mapping[str, Examples],
    identity: Mapping[str, Any],
) -> Training:
    """Return a training that has not begun.

    Args:
        run: The folder it writes into, and the recipe of its model and seed.
        options: How long, how fast, how exactly.
        task: With all it learned from the training data.
        examples: Encoded, by split: ``train``, and ``validation`` if there is one.
        identity: What its checkpoints belong to, flat.
    """
    recipe, train = run.recipe, examples["train"]
    validation = examples.get("validation")
    world = World.start(options.device)
    precision = Precision.resolve(options.precision, world.device).shared(world)
    torch.manual_seed(recipe.seed)
    module = _module(run, options, task, world, train)
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    state = State(module, options.optimizer.build(named))
    if options.layer_decay < 1:
        decay_by_layer(state.optimizer, module, options.layer_decay)
    loader = Loader(
        view=lambda epoch: task.view(train, epoch, recipe.seed),
        collate=task.collate,
        mechanism=options.mechanism,
        batch_size=options.batch_size,
        seed=recipe.seed,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        world=world,
        workers=options.dataloader_num_workers,
    )
    loss: LossFn = task.loss
    for objective in options.objectives:
        loss = objective.wrap(loss, task)
    plan = Plan(
        loss=loss,
        mechanism=options.mechanism,
        schedule=options.schedule,
        budget=options.budget().in_steps(options.batch_size, loader.size),
        seed=recipe.seed,
        max_grad_norm=options.max_grad_norm,
        ema_decay=options.ema_decay,
        precision=precision,
    )
    flop = recipe.model.flops_per_token(task.signature(), _parameters(module))
    return Training(
        run=run,
        options=options,
        task=task,
        world=world,
        train=train,
        validation=task.view(validation, None, recipe.seed) if validation else StoredView(()),
        state=state,
        loader=loader,
        plan=plan,
        checkpoints=Checkpoints(run.path, identity, world, options.save_total_limit),
        log=Log(run, options.trackers),
        costs=CostMeter(state, world, precision.name, flop),
    )


def _module(
    run: Run, options: TrainingOptions, task: Task, world: World, train: Examples
) -> nn.Module:
    """Return the module to train: fresh or pretrained, adapted, with what objectives add."""
    model = run.recipe.model
    module = build(model, task.signature())
    fresh = model.start(module)
    # A training that is resumed has them in its checkpoint; the main process has them for all.
    begins = world.is_main and not any(run.path.glob("checkpoint-*"))
    if isinstance(model, UsesStatistics) and begins:
        with doing("count statistics of the training split"):
            model.set_statistics(module, task, task.view(train, None, run.recipe.seed))
    if fresh:
        run.say(f"train: starts from pretrained weights; fresh: {', '.join(fresh)}")
    if options.adapter is not None:
        module = options.adapter.apply(module, fresh)
    for objective in options.objectives:
        objective.attach(module, task)
    return module.to(world.device)


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
