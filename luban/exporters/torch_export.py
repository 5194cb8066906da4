"""A ``torch.export`` program: runs in PyTorch and C++ without Luban's code."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import nn

from luban.core.batch import Batch
from luban.core.contracts import Exporter
from luban.core.files import folder_atomic
from luban.core.report import Report
from luban.exporters._check import axes_claim, largest_difference, output_of, report
from luban.exporters._program import free_axes, on_cpu, other_sizes, quiet, trace


class TorchExport(Exporter):
    """Writes ``model.pt2``, reads it back and compares it at two batch sizes and lengths."""

    def write(self, module: nn.Module, sample: Batch, model_folder: Path, path: Path) -> Report:
        """Write the program of the forward pass into ``path``.

        Raises:
            RecipeError: if torch cannot turn the model into a graph.
            VerifyError: if the program does not give the module's outputs.
        """
        start = time.perf_counter()
        program = trace(module, sample)
        with folder_atomic(path) as folder, quiet(), torch.no_grad():
            torch.export.save(program, folder / "model.pt2")
            seconds = time.perf_counter() - start
            again = torch.export.load(folder / "model.pt2").module()
            sizes = other_sizes(program, sample)
            difference = largest_difference(
                [output_of(on_cpu(module)(**inputs)) for inputs in sizes],
                [output_of(again(**inputs)) for inputs in sizes],
            )
        claims = {"free axes": axes_claim(free_axes(program)), "largest difference": difference}
        return report(self.name, path, claims, seconds)
