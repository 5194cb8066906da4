"""An ONNX file: runs in onnxruntime, on phones, in browsers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from luban.core.batch import Batch
from luban.core.contracts import Exporter
from luban.core.errors import MissingExtra, RecipeError
from luban.core.files import folder_atomic
from luban.core.report import Report
from luban.exporters._check import axes_claim, largest_difference, output_of, report
from luban.exporters._program import free_axes, on_cpu, other_sizes, trace, translating


class Onnx(Exporter):
    """Writes ``model.onnx`` and compares it, in onnxruntime, at two batch sizes and lengths."""

    def write(self, module: nn.Module, sample: Batch, model_folder: Path, path: Path) -> Report:
        """Write the forward pass into ``path``; inputs keep the names the task gives them.

        Raises:
            MissingExtra: without onnx, onnxscript and onnxruntime.
            RecipeError: if the model cannot be written as ONNX.
            VerifyError: if onnxruntime does not give the module's outputs.
        """
        try:
            import onnxruntime
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise MissingExtra(error.name or "onnx", "onnx") from None
        start = time.perf_counter()
        program = trace(module, sample)
        with folder_atomic(path) as folder:
            _translate(program).save(str(folder / "model.onnx"))
            seconds = time.perf_counter() - start
            session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
            )
            sizes = other_sizes(program, sample)
            with torch.no_grad():
                expected = [output_of(on_cpu(module)(**inputs)) for inputs in sizes]
            difference = largest_difference(expected, [_run(session, inputs) for inputs in sizes])
        claims = {"free axes": axes_claim(free_axes(program)), "largest difference": difference}
        return report(self.name, path, claims, seconds)


def _translate(program: ExportedProgram) -> Any:
    plain = {torch.ops.aten.rnn_tanh.input, torch.ops.aten.rnn_relu.input}
    if any(node.target in plain for node in program.graph.nodes):
        raise RecipeError(
            "torch cannot write a plain recurrent layer as ONNX.",
            where="export",
            fix="use LSTM or GRU cells, or the exporter torch-export.",
        )
    with translating("this model cannot be written as ONNX."):
        written: Any = torch.onnx.export(program, (), dynamo=True, verbose=False)
    for node in written.model.graph.all_nodes():
        node.metadata_props.clear()  # where torch's graph had it: larger than a small model
    return written


def _run(session: Any, inputs: dict[str, Tensor]) -> Tensor:
    names = {port.name for port in session.get_inputs()}
    feed = {name: tensor.numpy() for name, tensor in inputs.items() if name in names}
    return torch.from_numpy(session.run(None, feed)[0])
