"""A ``torch.export`` program: runs in PyTorch and C++ without Luban's code."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import IO, Any, cast

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
            with _Steady((folder / "model.pt2").open("wb")) as file:
                torch.export.save(program, cast("IO[bytes]", file))
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


class _Steady(io.RawIOBase):
    """A file for libraries that abort the process when a write fails: it fails in ``close``.

    Args:
        file: Open for writing; closed with this one.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: OSError | None = None

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place in the file; after an error, nowhere."""
        return offset if self._error is not None else self._file.seek(offset, whence)

    def write(self, data: Any) -> int:
        """Write all of it; after an error, nothing."""
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._error = error
        return len(data)

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: if a write failed.
        """
        if self.closed:
            return
        super().close()
        try:
            self._file.close()
        except OSError as error:
            self._error = self._error or error
        if self._error is not None:
            raise self._error
