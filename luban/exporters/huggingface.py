"""A Hugging Face directory: loads with ``from_pretrained``, in vLLM and their kin."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from luban.core.contracts import MEASUREMENTS, Exporter, Product
from luban.core.errors import RecipeError, RunError
from luban.core.files import folder_atomic
from luban.core.report import Claim, Report
from luban.exporters._check import largest_difference, outputs_of, report
from luban.exporters._folder import describe, read_settings
from luban.exporters._model_files import refuse_strange
from luban.exporters._program import on_cpu


class Huggingface(Exporter):
    """Copies the run's ``model/`` directory; compares it as ``transformers`` loads it, if here."""

    def write(self, product: Product, model_folder: Path, path: Path) -> Report:
        """Write the directory into ``path``.

        Raises:
            RecipeError: if the model has no Hugging Face equivalent, or gives the answers only
                together with what transformers does not do.
            RunError: if the run has no saved model, or it has links that leave it, or code.
            VerifyError: if transformers does not compute the module's outputs from it.
        """
        refuse_strange(model_folder)
        architecture = _architecture(model_folder)
        if product.beyond:
            raise RecipeError(
                f"a Hugging Face directory would give other answers: {product.beyond}.",
                where="export",
                fix="use the exporter onnx or torch-export.",
            )
        start = time.perf_counter()
        with folder_atomic(path) as folder:
            without = shutil.ignore_patterns(MEASUREMENTS)
            shutil.copytree(model_folder, folder, ignore=without, dirs_exist_ok=True)
            describe(folder, product)
            seconds = time.perf_counter() - start
            difference = _compare(product, _load(folder, architecture))
        claims = {"architecture": Claim(architecture), "largest difference": difference}
        return report(self.name, path, claims, seconds)


def _architecture(model_folder: Path) -> str:
    """Return the class that ``config.json`` names."""
    path = model_folder / "config.json"
    if not path.is_file():
        raise RunError("there is no saved model.", where=path, fix="luban train, then export.")
    config = read_settings(path)
    names = config.get("architectures")
    if not names:
        raise RecipeError(
            f"the model {config.get('model_type')!r} has no Hugging Face equivalent.",
            where="export",
            fix="use the exporter torch-export or onnx.",
        )
    return str(names[0])


def _load(folder: Path, architecture: str) -> Any | None:
    """Return the model as transformers loads it; None without transformers."""
    try:
        import transformers
    except ImportError:
        return None
    found = getattr(transformers, architecture, None)
    # Anything else of the library would be called with a folder that may come from a stranger.
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        raise RecipeError(
            f"transformers {transformers.__version__} has no model {architecture}.", where="export"
        )
    level = transformers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity(logging.ERROR)
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model: Any = found.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    finally:
        transformers.logging.set_verbosity(level)
        if bars:
            transformers.logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    return model.eval()


def _compare(product: Product, theirs: Any | None) -> Claim:
    if theirs is None:
        return Claim("not compared", note="transformers is not installed")
    inputs = {name: tensor.cpu() for name, tensor in product.sample.inputs.items()}
    with torch.no_grad():
        ours = outputs_of(on_cpu(product.module)(**inputs), product.outputs)
        return largest_difference(ours, outputs_of(theirs(**inputs), product.outputs))
