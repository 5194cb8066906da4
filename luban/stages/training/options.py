"""How long, how fast, how exactly: the options of one training, as recipes hold them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from luban.core.component import Settings
from luban.core.contracts import Adapter, Mechanism, Objective, Optimizer, Schedule, Tracker
from luban.engine.budget import Budget


class TrainingOptions(Settings):
    """The options of one training; a recipe's ``train`` section has no others.

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
    #: Fields that change nothing about the weights.
    neutral_fields: ClassVar[frozenset[str]] = frozenset(
        {"dataloader_num_workers", "logging_steps", "save_steps", "save_total_limit", "trackers"}
    )

    def budget(self) -> Budget:
        """Return the bounds on training."""
        return Budget(self.max_steps, self.num_train_epochs, self.max_tokens, self.max_minutes)
