"""A ``torch.export`` program: runs in PyTorch and C++ without Luban's code."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from luban.core.contracts import Exporter, Product
from luban.core.files import folder_atomic
from luban.core.report import Report
from luban.exporters._check import axes_claim, largest_difference, outputs_of, report
from luban.exporters._folder import furnish
from luban.exporters._program import free_axes, on_cpu, other_sizes, quiet, trace


class TorchExport(Exporter):
    """Writes ``model.pt2``, reads it back and compares it at two batch sizes and lengths."""

    def write(self, product: Product, model_folder: Path, path: Path) -> Report:
        """Write the program of the forward pass into ``path``, with all that it needs beside it.

        Raises:
            RecipeError: if torch cannot turn the model into a graph.
            VerifyError: if the program does not give the module's outputs.
        """
        start = time.perf_counter()
        program = trace(product.module, product.sample)
        with folder_atomic(path) as folder, quiet(), torch.no_grad():
            torch.export.save(program, folder / "model.pt2")
            furnish(folder, product, model_folder)
            seconds = time.perf_counter() - start
            again = torch.export.load(folder / "model.pt2").module()
            module, names = on_cpu(product.module), product.outputs
            difference = largest_difference(
                *(
                    [
                        tensor
                        for inputs in other_sizes(program, product.sample)
                        for tensor in outputs_of(program_of(**inputs), names)
                    ]
                    for program_of in (module, again)
                )
            )
        claims = {"free axes": axes_claim(free_axes(program)), "largest difference": difference}
        return report(self.name, path, claims, seconds)
