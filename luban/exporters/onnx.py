"""An ONNX file: runs in onnxruntime, on phones, in browsers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from luban.core.contracts import Exporter, Product
from luban.core.errors import RecipeError
from luban.core.extras import require
from luban.core.files import folder_atomic
from luban.core.report import Report
from luban.exporters._check import axes_claim, largest_difference, outputs_of, report
from luban.exporters._folder import axes_of, furnish
from luban.exporters._program import free_axes, on_cpu, other_sizes, trace, translating


class Onnx(Exporter):
    """Writes ``model.onnx`` and compares it, in onnxruntime, at two batch sizes and lengths."""

    def write(self, product: Product, model_folder: Path, path: Path) -> Report:
        """Write the forward pass into ``path``, with all that it needs beside it.

        Inputs and outputs keep the names the task gives them.

        Raises:
            MissingExtra: without onnx, onnxscript and onnxruntime.
            RecipeError: if the model cannot be written as ONNX.
            VerifyError: if onnxruntime does not give the module's outputs.
        """
        _, onnxruntime = require("onnxscript", "onnx"), require("onnxruntime", "onnx")
        start = time.perf_counter()
        program = trace(product.module, product.sample)
        with folder_atomic(path) as folder:
            _translate(program, product.outputs).save(str(folder / "model.onnx"))
            furnish(folder, product, model_folder)
            seconds = time.perf_counter() - start
            session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
            )
            module, expected, got = on_cpu(product.module), [], []
            for inputs in other_sizes(program, product.sample):
                with torch.no_grad():
                    expected += outputs_of(module(**inputs), product.outputs)
                got += _run(session, inputs, product.outputs)
            difference = largest_difference(expected, got)
        claims = {"free axes": axes_claim(free_axes(program)), "largest difference": difference}
        return report(self.name, path, claims, seconds)


def _translate(program: ExportedProgram, outputs: Sequence[str]) -> Any:
    plain = {torch.ops.aten.rnn_tanh.input, torch.ops.aten.rnn_relu.input}
    if any(node.target in plain for node in program.graph.nodes):
        raise RecipeError(
            "torch cannot write a plain recurrent layer as ONNX.",
            where="export",
            fix="use LSTM or GRU cells, or the exporter torch-export.",
        )
    with translating("this model cannot be written as ONNX."):
        written: Any = torch.onnx.export(
            program, (), dynamo=True, verbose=False, output_names=list(outputs)
        )
    for node in written.model.graph.all_nodes():
        node.metadata_props.clear()  # where torch's graph had it: larger than a small model
    _name_axes(written.model.graph)
    return written


def _name_axes(graph: Any) -> None:
    """Call free axes what they are, ``sequence_length`` say, and not ``s37``."""
    import onnx_ir

    names: dict[str, str] = {}
    for port in graph.inputs:
        for name, size in zip(axes_of(port.name, len(port.shape)), port.shape, strict=True):
            if isinstance(size, onnx_ir.SymbolicDim) and size.value is not None:
                names.setdefault(str(size.value), name)
    for port in (*graph.inputs, *graph.outputs):
        for axis, size in enumerate(port.shape or ()):
            if isinstance(size, onnx_ir.SymbolicDim) and size.value in names:
                port.shape[axis] = names[size.value]


def _run(session: Any, inputs: dict[str, Tensor], outputs: Sequence[str]) -> list[Tensor]:
    names = {port.name for port in session.get_inputs()}
    feed = {name: tensor.numpy() for name, tensor in inputs.items() if name in names}
    return [torch.from_numpy(array) for array in session.run(list(outputs), feed)]
