"""What was tuned after training, moved into the last layer: the same answers, by other weights."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from luban.nn.folding import fold
from luban.tasks.answers.classes import Classifier
from luban.tasks.text_regression import TextRegression
from tests.cases.export_worlds import QUICK
from tests.cases.test_exports import answers_without_luban, differences, predicted
from tests.life import done


class Two(nn.Module):
    """Its last linear layer is not the last that it defines."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3, bias=bias)
        self.body = nn.Linear(4, 4)
        self.other = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.body(x)))  # type: ignore[no-any-return]


def test_the_layer_is_found_by_what_it_does() -> None:
    torch.manual_seed(0)
    model, x = Two().eval(), torch.randn(5, 4)
    before, other = model(x).detach(), copy.deepcopy(model.other)
    assert fold(model, {"x": x}, 0.5, 2.0)
    assert torch.allclose(model(x), before * 0.5 + 2)
    assert torch.equal(model.other.weight, other.weight)


def test_a_model_that_cannot_hold_it_stays_as_it_was() -> None:
    torch.manual_seed(0)
    model, x = Two(bias=False).eval(), torch.randn(5, 4)
    before = model(x).detach()
    assert not fold(model, {"x": x}, 2.0, 1.0), "there is no bias"
    assert not fold(nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)), {"input": x}, 0.5)
    assert torch.equal(model(x), before)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["labels", "regression"])
def test_a_run_of_an_older_version_still_answers_and_verifies(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its temperature, or mean and spread, lie beside raw weights; exports fold a copy."""

    def calibrate(self: Any, model: nn.Module, batches: Any) -> Any:
        return self._with(replace(self._labels, temperature=1.7))

    with monkeypatch.context() as before:
        before.setattr(Classifier, "calibrate", calibrate)
        for task in (Classifier, TextRegression):
            before.setattr(task, "folded", lambda self, model, batch: self)
        folder = tmp_path / name
        folder.mkdir()
        source, records = QUICK[name].write(folder, 20)
        recipe = folder / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(QUICK[name].recipe("run", source)))
        done("train", recipe, f"runs={folder}")
    run = folder / "run"
    ours = predicted(run, records)
    done("export", run)
    path = run / "export/huggingface" / ("labels.json" if name == "labels" else "scale.json")
    assert json.loads(path.read_text())["folded"] == (1.7 if name == "labels" else True)
    for format in ("huggingface", "onnx"):
        job = {"folder": run / "export" / format, "records": records}
        [theirs] = answers_without_luban(tmp_path / format, [job])
        assert not list(differences(ours, theirs))
    done("verify", run, "--stage", "export")
