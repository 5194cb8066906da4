"""Records in, predictions out: what `predict` and the server call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from luban.core.contracts import Example, Generative, Record, Task
from luban.core.errors import DataError, RequestError
from luban.inference.images import ImageMaker
from luban.inference.text import TextGenerator


class Predictor:
    """Predicts with the task's own ``encode_input``, ``collate`` and ``predict``.

    So what is served is what was evaluated. It holds no state between calls.

    Args:
        task: With all it learned.
        module: The trained module; it is put in evaluation mode.
        batch_size: Records predicted at once; those of about one length go together.
    """

    def __init__(self, task: Task, module: nn.Module, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise RequestError("the batch size is out of range.", expected="1 or more")
        self.task, self.batch_size = task, batch_size
        self._module = module.eval()

    def adjusted(self, parameters: Mapping[str, Any]) -> Predictor:
        """Return a predictor with other values of the task's ``adjustable`` fields."""
        task = self.task.model_copy(update=dict(parameters)) if parameters else self.task
        return Predictor(task, self._module, self.batch_size)

    def on_step(self, check: Callable[[], None]) -> None:
        """Call ``check`` before every layer; what it raises ends the prediction."""
        for layer in self._module.modules():
            if not any(layer.children()):
                layer.register_forward_pre_hook(lambda *_: check())

    def predict(self, records: Sequence[Record]) -> list[Any]:
        """Return one prediction for each record, in order; a ``DataError`` for a bad one."""
        return [answer for _, answer in self.examine(records)]

    @torch.inference_mode()
    def examine(self, records: Sequence[Record]) -> list[tuple[Example, Any]]:
        """Return each record as encoded and its prediction; a ``DataError`` for a bad one."""
        answers: list[Any] = [None] * len(records)
        examples: dict[int, Example] = {}
        for index, record in enumerate(records):
            try:
                examples[index] = self.task.encode_input(record)
            except DataError as error:
                answers[index] = error
            except UnicodeEncodeError as error:
                answers[index] = DataError(
                    "the text holds half a character.",
                    where=record.get("_where", ""),
                    got=ascii(error.object[error.start : error.end]),
                    fix="escape sequences of JSON come in pairs there: \\ud83d\\ude00.",
                )
        device = next(self._module.parameters()).device
        for batch in self._batches(examples):
            rows = self.task.collate([examples[index] for index in batch]).to(device)
            predictions = self.task.predict(self._module, rows)
            for index, prediction in zip(batch, predictions, strict=True):
                answers[index] = self.task.reported(prediction)
        return [(examples.get(index, {}), answer) for index, answer in enumerate(answers)]

    def _batches(self, examples: dict[int, Example]) -> list[list[int]]:
        """Return who goes together: of about one length, and with the same arrays."""
        kinds: dict[tuple[str, ...], list[int]] = {}
        for index in sorted(examples, key=lambda index: _size(examples[index])):
            kinds.setdefault(tuple(sorted(examples[index])), []).append(index)
        step = self.batch_size
        return [kind[i : i + step] for kind in kinds.values() for i in range(0, len(kind), step)]


def servable(task: Task, module: nn.Module) -> TextGenerator | ImageMaker | Predictor:
    """Return what a trained model is used through: what makes things of prompts, or answers."""
    if not isinstance(task, Generative):
        return Predictor(task, module)
    generator: TextGenerator | ImageMaker = task.generator(module)
    return generator


def text_field(schema: Mapping[str, Any]) -> str:
    """Return the field of a record that a bare text stands for.

    Args:
        schema: What ``Task.record_schema`` returns.

    Raises:
        DataError: if a text alone is no record.
    """
    properties = schema.get("properties", {})
    required = list(schema.get("required", ()))
    files = file_fields(schema)
    texts = [
        name
        for name in required
        if properties.get(name, {}).get("type") == "string" and name not in files
    ]
    if not properties or ("text" in properties and set(required) <= {"text"}):
        return "text"
    if len(required) == 1 and texts == required:
        return str(texts[0])
    raise DataError(
        "a text alone is no record of this task.",
        expected=f"the fields {', '.join(required or properties)}",
        fix="give FIELD=VALUE for each, or a file of JSON Lines or CSV.",
    )


def file_fields(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields of a record that hold files: base64 in JSON."""
    properties = schema.get("properties", {})
    return tuple(n for n, form in properties.items() if form.get("contentEncoding") == "base64")


def file_field(schema: Mapping[str, Any]) -> str:
    """Return the field of a record that a file alone stands for.

    Raises:
        DataError: if a file alone is no record.
    """
    files, required = file_fields(schema), schema.get("required", ())
    if len(files) == 1 and set(required) <= set(files):
        return files[0]
    raise DataError(
        "a file alone is no record of this task.",
        expected=f"the fields {', '.join(required or schema.get('properties', ()))}",
        fix="give FIELD=VALUE for each, FIELD=@FILE for a file; or JSON Lines or CSV.",
    )


def _size(example: Example) -> int:
    return max(array.size for array in example.values())
