"""Checkpoints that are whole or not there: written aside, flushed, renamed, digested.

checkpoint-<step>/
  model.safetensors       weights and buffers; a tied weight is stored once
  optimizer.safetensors   tensors of the optimizer, as <parameter>/<name>
  ema.safetensors         averaged weights, if any
  best.safetensors        weights of the best validation, if any
  trainer_state.json      step, tokens, seconds, guard, run state ("memo"), identity, world size
  digests.json            SHA-256 of every other file
last_checkpoint           the name of the newest one
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from luban.core.digests import sealed_damage
from luban.core.errors import CheckpointError, LubanError, RunError
from luban.core.files import folder_atomic, sha256_of, write_atomic, write_json
from luban.core.yaml_json import json_of
from luban.engine.fit import State
from luban.engine.run_state import RunState
from luban.engine.world import World

_FORMAT = 3


@dataclass(frozen=True, slots=True)
class Loaded:
    """Where training goes on from.

    Attributes:
        path: The checkpoint that was read.
        warnings: One line for each newer checkpoint that was passed over, and why.
    """

    path: Path
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one run.

    Attributes:
        folder: The run's directory.
        identity: What a checkpoint belongs to, flat: recipe fields, data digests, code.
        world: The main process writes; all read.
        save_total_limit: How many to keep, at least 2: one may turn out corrupt.
    """

    folder: Path
    identity: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    world: World = field(default_factory=World)
    save_total_limit: int = 2

    def save(self, state: State, keep: Collection[int] = ()) -> Path:
        """Write the state, make it the newest checkpoint, and let old ones go.

        Args:
            state: What to save; the same in every process.
            keep: Steps whose checkpoints stay beyond the limit (the best one, say).

        Raises:
            CapacityError: if the disk is full; older checkpoints are untouched.
            RunError: if the folder cannot be written.
        """
        path = self.folder / f"checkpoint-{state.step}"
        failure: LubanError | None = None
        if self.world.is_main:
            try:
                self._write(state, path)
                self._prune(state.step, keep)
            except LubanError as error:
                failure = error
        if self.world.any_true(failure is not None):
            raise failure or RunError("the main process could not save a checkpoint.", where=path)
        return path

    def load(self, state: State, until: int | None = None) -> Loaded | None:
        """Fill the state from the newest good checkpoint; None if there are none.

        A checkpoint that is damaged is passed over for the one before it.

        Args:
            state: What is filled.
            until: The latest step that will do.

        Raises:
            CheckpointError: if it belongs to another recipe, data or model, or if there are
                checkpoints but none can be read.
        """
        warnings: list[str] = []
        for path in reversed(self.paths()):
            if until is not None and _step_of(path) > until:
                continue
            damage = self._damage(path)
            if damage:
                warnings.append(f"{path.name} is damaged ({damage}); going on without it.")
                continue
            self._read(path, state)
            if self.world.is_main and until is None:
                # It may point to one that is damaged, or be gone.
                write_atomic(self.folder / "last_checkpoint", path.name + "\n")
            return Loaded(path, tuple(warnings))
        if warnings:
            raise CheckpointError(
                "no checkpoint can be read: " + " ".join(warnings),
                where=self.folder,
                fix="remove the checkpoint-* folders to start over.",
            )
        return None

    def steps(self) -> list[int]:
        """Return the steps of the checkpoints there are, the oldest first."""
        return [_step_of(path) for path in self.paths()]

    def paths(self) -> list[Path]:
        """Return the checkpoint folders by step, oldest first."""
        found = [
            path
            for path in self.folder.glob("checkpoint-*")
            if path.is_dir() and re.fullmatch(r"checkpoint-[0-9]+", path.name)
        ]
        return sorted(found, key=_step_of)

    def _write(self, state: State, path: Path) -> None:
        with folder_atomic(path) as aside:
            for name, tensors in _tensors(state).items():
                save_file({key: t.contiguous() for key, t in tensors.items()}, aside / name)
            write_json(aside / "trainer_state.json", self._scalars(state))
            digests = {file.name: sha256_of(file) for file in sorted(aside.iterdir())}
            write_json(aside / "digests.json", digests)
        write_atomic(self.folder / "last_checkpoint", path.name + "\n")

    def _prune(self, step: int, keep: Collection[int]) -> None:
        """Remove the oldest, and any of a later step: those were passed over when resuming."""
        paths = self.paths()
        newest = [path for path in paths if _step_of(path) <= step][
            -max(2, self.save_total_limit) :
        ]
        for path in paths:
            if path not in newest and _step_of(path) not in keep:
                shutil.rmtree(path, ignore_errors=True)
        for leftover in self.folder.glob(".checkpoint-*"):  # of a save that was killed
            shutil.rmtree(leftover, ignore_errors=True)

    def _scalars(self, state: State) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "step": state.step,
            "tokens": state.tokens,
            "positions": state.positions,
            "seconds": state.seconds,
            "guard": state.guard.to_dict(),
            "scaler": state.scaler.state_dict() if state.scaler else None,
            "optimizer": _optimizer_scalars(state.optimizer),
            "memo": state.run_state.to_dict(),
            "identity": dict(self.identity),
            "world_size": self.world.size,
            "torch": torch.__version__,
        }

    def _damage(self, path: Path) -> str:
        """Return what is wrong with a checkpoint's files, or an empty string; all agree."""
        damage = _find_damage(path) if self.world.is_main else ""
        if self.world.any_true(bool(damage)):
            return damage or "as the main process found"
        return ""

    def _read(self, path: Path, state: State) -> None:
        scalars = json_of((path / "trainer_state.json").read_text(encoding="utf-8"))
        if scalars["format"] != _FORMAT:
            raise CheckpointError(
                "this checkpoint was written by another version of Luban.",
                where=path,
                expected=f"format {_FORMAT}",
                got=scalars["format"],
            )
        _same_identity(scalars["identity"], self.identity, path)
        run_state = RunState.from_dict(scalars["memo"], path)
        _load_model(state.model, load_file(path / "model.safetensors"), path)
        _load_optimizer(
            state.optimizer, load_file(path / "optimizer.safetensors"), scalars["optimizer"], path
        )
        ema, best = path / "ema.safetensors", path / "best.safetensors"
        device = str(self.world.device)
        state.ema = load_file(ema, device=device) if ema.exists() else None
        state.best = load_file(best) if best.exists() else None
        state.step, state.tokens = scalars["step"], scalars["tokens"]
        state.positions = scalars["positions"]
        state.seconds, state.run_state = scalars["seconds"], run_state
        state.guard.restore(scalars["guard"])
        if scalars["scaler"] is not None:
            state.scaler = state.scaler or torch.amp.GradScaler(self.world.device.type)
            state.scaler.load_state_dict(scalars["scaler"])


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("checkpoint-"))


def _tensors(state: State) -> dict[str, dict[str, Tensor]]:
    """Return the tensor files of a checkpoint."""
    files = {
        "model.safetensors": untied(state.model),
        "optimizer.safetensors": {
            f"{name}/{key}": value
            for name, values in _optimizer_state(state.optimizer).items()
            for key, value in values.items()
            if isinstance(value, Tensor)
        },
    }
    if state.ema is not None:
        files["ema.safetensors"] = state.ema
    if state.best is not None:
        files["best.safetensors"] = state.best
    return files


def untied(model: nn.Module) -> dict[str, Tensor]:
    """Return the module's tensors, each shared one under its first name only."""
    seen: set[int] = set()
    kept = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            kept[name] = tensor.detach()
            seen.add(id(tensor))
    return kept


def _optimizer_state(optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    """Return what the optimizer knows of each parameter, by the parameter's name."""
    return {
        name: optimizer.state.get(parameter, {})
        for group in optimizer.param_groups
        for name, parameter in zip(group["param_names"], group["params"], strict=True)
    }


def _optimizer_scalars(optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in values.items() if not isinstance(value, Tensor)}
        for name, values in _optimizer_state(optimizer).items()
    }


def _load_model(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    wanted = untied(model)
    if _shapes(wanted) != _shapes(tensors):
        raise CheckpointError(
            "this checkpoint holds the weights of another model.",
            where=path / "model.safetensors",
            got=_first_difference(_shapes(wanted), _shapes(tensors)),
            fix="use the recipe the run was started with, or another run name.",
        )
    model.load_state_dict(tensors, strict=False)  # the other names of tied weights are missing


def _load_optimizer(
    optimizer: Optimizer,
    tensors: Mapping[str, Tensor],
    scalars: Mapping[str, Mapping[str, Any]],
    path: Path,
) -> None:
    names = [name for group in optimizer.param_groups for name in group["param_names"]]
    if sorted(names) != sorted(scalars):
        raise CheckpointError(
            "this checkpoint holds the state of other trained parameters.",
            where=path / "optimizer.safetensors",
            got=sorted(set(names) ^ set(scalars)),
        )
    state: dict[str, dict[str, Any]] = {name: dict(scalars[name]) for name in names}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    ours = dict(zip(names, parameters, strict=True))
    for joined, tensor in tensors.items():
        name, _, key = joined.rpartition("/")
        state[name][key] = _laid_out_as(ours[name], tensor)
    by_number = {number: state[name] for number, name in enumerate(names) if state[name]}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": by_number, "param_groups": groups})


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return a tensor with the strides of a parameter of its shape.

    Fused optimizers walk through memory: where channels lie last in a weight, they must do so in
    its moments.
    """
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype, device=tensor.device).copy_(tensor)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in sorted(tensors.items())}


def _first_difference(
    wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> str:
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            return f"{name}: the model has {wanted.get(name)}, the checkpoint {found.get(name)}"
    return ""


def _same_identity(saved: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    changed = [
        f"{key}: {saved.get(key)!r} -> {now.get(key)!r}"
        for key in sorted(saved.keys() | now.keys())
        if saved.get(key) != now.get(key)
    ]
    if changed:
        raise CheckpointError(
            "the recipe or the data changed since this checkpoint was written:\n    "
            + "\n    ".join(changed),
            where=path,
            fix="change it back to go on, or choose another run name to start anew.",
        )


def _find_damage(path: Path) -> str:
    try:
        damage = sealed_damage(path)
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return "; ".join(f"{name} {what}" for name, what in damage.items())
