"""A module as a ``torch.export`` program with as many free axes as it allows."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._decomp import global_decomposition_table
from torch.export import Dim, ExportedProgram, export

from luban.core.batch import Batch
from luban.core.errors import RecipeError

_RECURRENT = (
    torch.ops.aten.lstm.input,
    torch.ops.aten.gru.input,
    torch.ops.aten.rnn_tanh.input,
    torch.ops.aten.rnn_relu.input,
)


def trace(module: nn.Module, sample: Batch) -> ExportedProgram:
    """Return the forward pass as a graph; every axis that can be of any size is.

    Raises:
        RecipeError: if torch cannot turn the model into a graph.
    """
    rows = sample if len(sample) > 1 else Batch(twice(sample.inputs), {})
    inputs = _plain(rows.inputs)
    axes = {name: dict.fromkeys(_axes(tensor), Dim.AUTO) for name, tensor in inputs.items()}
    with torch.no_grad(), translating("torch.export cannot turn this model into a graph."):
        program = export(on_cpu(module).eval(), (), inputs, dynamic_shapes=axes)
    for node in program.graph.nodes:  # half of a small file, and paths of this machine
        node.meta.pop("stack_trace", None)
    return program


def free_axes(program: ExportedProgram) -> dict[str, tuple[int, ...]]:
    """Return the axes of each input that may be of any size."""
    shapes = {
        node.name: node.meta["val"].shape
        for node in program.graph.nodes
        if node.op == "placeholder"
    }
    return {
        # A size that tracing fixed is still symbolic, but prints as a number.
        name: tuple(axis for axis, size in enumerate(shapes[name]) if not str(size).isdigit())
        for name in program.graph_signature.user_inputs
        if isinstance(name, str)
    }


def other_sizes(program: ExportedProgram, sample: Batch) -> list[dict[str, Tensor]]:
    """Return the sample, and the sample at about half the size on each free axis."""
    inputs = _plain(sample.inputs)
    smaller = dict(inputs)
    for name, axes in free_axes(program).items():
        for axis in axes:
            size = max(_least(program, name, axis), smaller[name].shape[axis] // 2)
            smaller[name] = smaller[name].narrow(axis, 0, min(size, smaller[name].shape[axis]))
    return [inputs, {name: tensor.contiguous() for name, tensor in smaller.items()}]


def _plain(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return inputs as users will have them: a part of a tensor would be traced as one."""
    return {name: tensor.cpu().contiguous() for name, tensor in inputs.items()}


def on_cpu(module: nn.Module) -> nn.Module:
    """Return the module itself if it is on the CPU, else a copy that is."""
    here = all(tensor.device.type == "cpu" for tensor in module.state_dict().values())
    return module if here else copy.deepcopy(module).cpu()


def twice(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same examples two times: a batch of one would be traced as always one."""
    return {name: torch.cat([tensor, tensor]) for name, tensor in inputs.items()}


@contextmanager
def translating(failure: str) -> Iterator[None]:
    """Let torch turn a model into something else, without its notes.

    Raises:
        RecipeError: that this failed, with the first line of the error behind all others.
    """
    try:
        with _free_length(), quiet():
            yield
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise RecipeError(
            failure,
            where="export",
            got=str(cause).strip().partition("\n")[0],
            fix="leave this exporter out of the recipe's export section.",
        ) from error


@contextmanager
def _free_length() -> Iterator[None]:
    """Let recurrent layers be traced without unrolling them to the sample's length.

    torch decomposes them step by step only to learn the shapes of their results, and that
    fixes the length (torch 2.13); stating the shapes keeps the layer whole and the length free.
    """
    with ExitStack() as stack:
        key = torch._C.DispatchKey.CompositeImplicitAutograd
        table = global_decomposition_table["post_autograd"]
        stack.enter_context(patch.dict(table, dict.fromkeys(_RECURRENT, _recurrent_shapes)))
        for op in _RECURRENT:
            stack.enter_context(patch.dict(op.py_kernels, {key: _recurrent_shapes}))
            op._dispatch_cache.clear()
            stack.callback(op._dispatch_cache.clear)
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's notes about its own workings from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch._export", "torch.export")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _axes(tensor: Tensor) -> range:
    """Return the axes that may be of any size: not that of the features of every position."""
    return range(2 if tensor.ndim == 3 and tensor.is_floating_point() else tensor.ndim)


def _least(program: ExportedProgram, name: str, axis: int) -> int:
    """Return the smallest size of an axis that the program takes."""
    [node] = [node for node in program.graph.nodes if node.name == name]
    symbol = node.meta["val"].shape[axis].node.expr
    bounds = program.range_constraints.get(symbol)
    return 1 if bounds is None else max(1, int(bounds.lower))


def _recurrent_shapes(inputs: Tensor, state: Any, *settings: Any) -> tuple[Tensor, ...]:
    """Return empty results: (params, has_biases, layers, dropout, train, both ways, …)."""
    states = (state,) if isinstance(state, Tensor) else tuple(state)
    width = states[0].shape[2] * (2 if settings[5] else 1)
    return inputs.new_empty((*inputs.shape[:2], width)), *map(torch.empty_like, states)
