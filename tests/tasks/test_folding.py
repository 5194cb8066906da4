"""What was tuned after training, moved into the last layer: the same answers, by other weights."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from luban.nn.folding import fold
from tests.cases.export_worlds import QUICK
from tests.cases.test_exports import differences, predicted, trained
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


@pytest.mark.parametrize("name", ["labels", "regression"])
def test_a_run_of_an_older_version_still_answers_and_verifies(name: str, tmp_path: Path) -> None:
    """Its temperature, or mean and spread, lie beside raw weights; exports fold a copy."""
    run, records = trained(tmp_path / name, name, QUICK[name], 10)
    model = run / "model"
    path = model / ("labels.json" if name == "labels" else "scale.json")
    old: dict[str, Any] = json.loads(path.read_text())
    del old["folded"]
    if name == "labels":
        old["temperature"] = 1.7
    path.write_text(json.dumps(old))
    ours = predicted(run, records)
    (run / "reports/export.json").unlink()
    done("export", run)
    done("verify", run, "--stage", "export")
    told = json.loads((run / "export/huggingface" / path.name).read_text())
    assert told["folded"] not in (1.0, False)
    shutil.copytree(run / "export/huggingface", model, dirs_exist_ok=True)
    again = predicted(run, records)
    assert not list(differences(ours, again))
