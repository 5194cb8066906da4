"""What a prediction looks like on a terminal."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from luban.cli.predictions import show_prediction

CASES: dict[str, tuple[Any, list[str]]] = {
    "one label": (
        {"label": "pos", "score": 0.75, "scores": {"neg": 0.25, "pos": 0.75}},
        ["pos  0.750  " + "█" * 18, "neg  0.250  " + "█" * 6],
    ),
    "labels": ({"labels": ["a"], "scores": {"a": 1.0, "b": 0.0}}, ["a  1.000", "b  0.000"]),
    "many labels": (
        {"label": "0", "scores": {str(i): 1 / (i + 1) for i in range(14)}},
        ["9         0.100", "… 4 more"],
    ),
    "a choice": ({"choice": 1, "scores": [0.2, 0.8]}, ['{"choice": 1, "scores": [0.2, 0.8]}']),
    "entities": (
        {"entities": [{"type": "LOC", "start": 3, "end": 9, "text": "北京", "score": 0.9}]},
        ["LOC   北京", "3     9   0.900"],
    ),
    "no entities": ({"entities": [], "tags": ["O"]}, ["no entities"]),
    "objects": (
        {"objects": [{"label": "cat", "score": 0.5, "box": [1, 2.25, 30, 40]}] * 11, "width": 50},
        ["score  left  top  right  bottom", "cat       0.500  1.0   2.2  30.0   40.0", "… 1 more"],
    ),
    "no objects": ({"objects": [], "width": 5, "height": 4}, ["no objects"]),
    "an answer": ({"answer": "in [1]", "score": 0.8, "no_answer": 0.1},
                  ["in [1] (score 0.800, no answer 0.100)"]),
    "no answer": ({"answer": "", "score": 0.2, "no_answer": 0.8}, ["no answer (score 0.200"]),
    "text": ({"text": "[b]Hallo[/b]", "score": -0.5}, ["[b]Hallo[/b] (score -0.500)"]),
    "a number": ({"value": 3.14159265}, ["3.14159"]),
    "masks": (
        {"masks": [[{"token": "a", "score": 0.5}], [{"token": "b", "score": 0.25}]]},
        ["mask 1", "a  0.500", "mask 2", "b  0.250"],
    ),
    "something else": ("vowels", ['"vowels"']),
}  # fmt: skip


@pytest.mark.parametrize(("prediction", "expected"), CASES.values(), ids=CASES)
def test_predictions_are_easy_to_read(prediction: Any, expected: list[str]) -> None:
    console = Console(width=80, markup=False, highlight=False)
    with console.capture() as capture:
        show_prediction(console, prediction)
    for line in expected:
        assert line in capture.get()
