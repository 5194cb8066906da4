"""An exported folder as a description and a function: all that the other programs here share.

It needs numpy and, for ``model.onnx``, onnxruntime; else torch and transformers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Run: TypeAlias = Callable[..., dict[str, Array]]


def load(folder: Path) -> tuple[dict[str, Any], Run]:
    """Return ``inference.json``, and what turns named inputs into named outputs."""
    about = json.loads((folder / "inference.json").read_text(encoding="utf-8"))
    known, names = set(about["inputs"]), about["outputs"]
    if (folder / "model.onnx").is_file():
        import onnxruntime

        session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        read = {port.name for port in session.get_inputs()}

        def run(**inputs: Array) -> dict[str, Array]:
            given = {name: array for name, array in inputs.items() if name in read}
            return dict(zip(names, session.run(names, given), strict=True))

        return about, run

    import torch
    import transformers

    [name] = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"]
    model = getattr(transformers, name).from_pretrained(folder)
    model.train(mode=False)

    def run_theirs(**inputs: Array) -> dict[str, Array]:
        given = {name: torch.from_numpy(array) for name, array in inputs.items() if name in known}
        with torch.inference_mode():
            found = model(**given)
        return {name: found[name].numpy() for name in names}

    return about, run_theirs


def parted(tokenizer: Any, text: str) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Return the special tokens before a text, its own tokens, and the characters of each.

    What stands after it is left out: something is to follow.
    """
    framed = tokenizer.encode("a" + text)  # something stands there even if the text is empty
    before = framed.ids[: framed.sequence_ids.index(0)]
    found = tokenizer.encode(text, add_special_tokens=False)
    return before, found.ids, found.offsets


def softmax(logits: Array) -> Array:
    """Return probabilities along the last axis."""
    raised = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def log_softmax(logits: Array) -> Array:
    """Return logarithms of probabilities along the last axis."""
    low = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return np.asarray(low - np.log(np.exp(low).sum(-1, keepdims=True)))


def label_of(logits: Array, say: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a classifier, from the logits (C,) of one record."""
    scaled = logits.astype(np.float64) / say["temperature"]
    several = say["function"] == "sigmoid"
    scores = 1 / (1 + np.exp(-scaled)) if several else softmax(scaled)
    each = dict(zip(say["labels"], scores.tolist(), strict=True))
    bounds = say["thresholds"]
    if several:
        passed = [n for n, bound in zip(each, bounds, strict=True) if each[n] >= bound]
        return {"labels": passed, "scores": each}
    best = max(each, key=lambda name: each[name])
    if bounds:
        best = say["labels"][int(scores[1] >= bounds[1])]
    return {"label": best, "score": each[best], "scores": each}
