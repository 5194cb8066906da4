"""What is read of a trained model's weights without loading them."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from luban.core.contracts import Model, Signature
from luban.core.errors import RunError
from luban.trained import stored_parameters


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_running_statistics_are_no_parameters(tmp_path: Path, norm: str) -> None:
    signature = Signature("pixels", 3, 5, produces="label", size=(16, 16))
    fields = {"name": "cnn", "hidden_sizes": [8, 16], "norm": norm}
    module = Model.from_dict(fields).build(signature)
    weights = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    assert bool(list(module.buffers())) == (norm == "batch")
    learned = sum(p.numel() for p in module.parameters())
    assert stored_parameters(tmp_path / "model.safetensors") == learned


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match="damaged"):
        stored_parameters(tmp_path / "model.safetensors")
