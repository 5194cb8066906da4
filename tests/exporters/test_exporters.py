"""Each exporter writes what gives the module's own outputs, at sizes it was not traced with."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from luban.core import registry
from luban.core.batch import Batch
from luban.core.contracts import MEASUREMENTS, Exporter, Model, Product, Signature
from luban.core.errors import MissingExtra, RecipeError, RunError, VerifyError
from luban.exporters._check import largest_difference
from luban.exporters.huggingface import Huggingface
from luban.exporters.onnx import Onnx
from luban.exporters.torch_export import TorchExport

VOCABULARY, WIDTH, LENGTH = 11, 16, 64


SMALL = {"hidden_size": WIDTH, "num_hidden_layers": 1}
HEADS = {**SMALL, "num_attention_heads": 4, "initializer_range": 0.3}
MODELS = {
    "qwen3": {"name": "gpt", "num_key_value_heads": 2, **HEADS},
    "llama": {"name": "gpt", "layout": "llama", "tie_word_embeddings": False, **HEADS},
    "gpt2": {"name": "gpt", "layout": "gpt2", **HEADS},
    "lstm": {"name": "rnn", "cell": "lstm", "tie_word_embeddings": True, **SMALL},
    "gru": {"name": "rnn", "cell": "gru", **SMALL},
    "rnn": {"name": "rnn", "cell": "rnn", **SMALL},
}
SIGNATURES = Signature("tokens", VOCABULARY, VOCABULARY, LENGTH, 0, 0)


class Untraceable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.weight if input_ids.sum() > 3 else -self.weight


class Pixels(nn.Module):
    """Channels are of one size; rows and columns are not."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        features: Tensor = self.convolution(pixel_values)
        return features.mean(dim=(2, 3))


def tokens(batch: int, length: int) -> Tensor:
    return torch.randint(VOCABULARY, (batch, length), generator=torch.manual_seed(0))


def sample(batch: int = 4, length: int = 24) -> Batch:
    return Batch({"input_ids": tokens(batch, length)}, {"labels": tokens(batch, length)})


def make(name: str) -> nn.Module:
    torch.manual_seed(1)
    model: Model = Model.from_dict(MODELS[name])
    return model.build(SIGNATURES).eval()


def reload_program(path: Path, inputs: dict[str, Tensor]) -> Tensor:
    output: Tensor = torch.export.load(path / "model.pt2").module()(**inputs)
    return output


def run_onnx(path: Path, inputs: dict[str, Tensor]) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path / "model.onnx"))
    return torch.from_numpy(
        session.run(None, {key: value.numpy() for key, value in inputs.items()})[0]
    )


CASES = [
    *((TorchExport(), reload_program, name) for name in ("qwen3", "gpt2", "lstm", "gru", "rnn")),
    *((Onnx(), run_onnx, name) for name in ("qwen3", "gpt2", "lstm", "gru")),
]


@pytest.mark.parametrize(
    ("exporter", "read", "name"), CASES, ids=[f"{case[0].name}-{case[2]}" for case in CASES]
)
def test_export_agrees_at_other_sizes(
    tmp_path: Path, exporter: Exporter, read: Any, name: str
) -> None:
    module = make(name)
    report = exporter.write(Product(module, sample()), tmp_path, tmp_path / "out")
    prefix = f"{exporter.name}/"
    assert report.claims[prefix + "free axes"].value == "input_ids[0], input_ids[1]"
    assert report.claims[prefix + "largest difference"].n == (4 * 24 + 2 * 12) * VOCABULARY
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert report.claims[prefix + "bytes"].value == sum(file.stat().st_size for file in files)
    for batch, length in ((1, 1), (7, 5), (2, LENGTH)):
        inputs = {"input_ids": tokens(batch, length)}
        with torch.no_grad():
            expected = module(**inputs)
        np.testing.assert_allclose(
            read(tmp_path / "out", inputs).detach(), expected, atol=1e-4, rtol=0
        )
    assert [file.name for file in tmp_path.iterdir()] == ["out"], "nothing is left beside"
    assert not any(b"nn/decoder.py" in file.read_bytes() for file in files), "no local paths"


@pytest.mark.parametrize("exporter", [TorchExport(), Onnx()], ids=["torch-export", "onnx"])
def test_a_write_that_fails_is_one_error(tmp_path: Path, exporter: Exporter) -> None:
    """The system itself refuses to write on: PyTorch alone would abort the process."""
    product, limits = Product(make("gru"), sample()), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(RunError, match="File too large"):
            exporter.write(product, tmp_path, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def saved(tmp_path: Path, name: str) -> tuple[nn.Module, Path]:
    """A module, and a run's ``model/`` folder that holds it."""
    module, model = make(name), Model.from_dict(MODELS[name])
    folder = tmp_path / "model"
    folder.mkdir()
    tensors = {key: tensor.clone() for key, tensor in model.to_hf(module.state_dict()).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(model.hf_config(SIGNATURES)), encoding="utf-8")
    return module, folder


@pytest.mark.parametrize("name", registry.names("exporters"))
def test_exports_do_not_depend_on_what_a_clock_measured(name: str, tmp_path: Path) -> None:
    module, folder = saved(tmp_path, "gpt2")
    product = Product(module, sample(), meaning={"task": "text-generation"})
    claims, files = [], []
    for number, work in enumerate((0.5, 1.0123456789)):
        (folder / MEASUREMENTS).write_text(json.dumps({"work": work}), encoding="utf-8")
        out = tmp_path / f"out-{number}"
        claims.append(Exporter.from_dict(name).write(product, folder, out).claims)
        files.append({path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert claims[0] == claims[1]
    assert files[0] == files[1]
    assert MEASUREMENTS not in files[0]


@pytest.mark.parametrize("name", ["qwen3", "llama", "gpt2"])
def test_gpt_is_what_transformers_reads(tmp_path: Path, name: str) -> None:
    module, folder = saved(tmp_path, name)
    report = Huggingface().write(Product(module, sample()), folder, tmp_path / "out")
    assert report.claims["huggingface/largest difference"].n == 4 * 24 * VOCABULARY


def test_a_batch_of_one_still_gives_a_free_batch(tmp_path: Path) -> None:
    report = TorchExport().write(Product(make("gru"), sample(batch=1)), tmp_path, tmp_path / "out")
    assert report.claims["torch-export/free axes"].value == "input_ids[0], input_ids[1]"


def test_fixed_axes_are_reported_as_such(tmp_path: Path) -> None:
    batch = Batch({"pixel_values": torch.randn(2, 3, 8, 10)}, {})
    report = Onnx().write(Product(Pixels().eval(), batch), tmp_path, tmp_path / "out")
    axes = "pixel_values[0], pixel_values[2], pixel_values[3]"
    assert report.claims["onnx/free axes"].value == axes


def test_untraceable_model_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cannot turn this model into a graph.[\s\S]*fix:"):
        TorchExport().write(Product(Untraceable(), sample()), tmp_path, tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_plain_recurrent_onnx_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="torch-export"):
        Onnx().write(Product(make("rnn"), sample()), tmp_path, tmp_path / "out")


def test_tracing_leaves_recurrent_layers_as_they_were(tmp_path: Path) -> None:
    """The shape-only kernels must not leak into what runs afterwards."""
    module, inputs = make("lstm"), sample().inputs
    before = module(**inputs)
    TorchExport().write(Product(module, sample()), tmp_path, tmp_path / "out")
    assert torch.equal(before, module(**inputs))
    key = torch._C.DispatchKey.CompositeImplicitAutograd
    assert torch.ops.aten.lstm.input.py_kernels[key].__name__ == "lstm_impl"


@pytest.mark.parametrize("difference", [2e-4, float("nan")])
def test_a_wrong_export_is_refused(difference: float) -> None:
    right = torch.zeros(2, 3)
    wrong = right.clone()
    wrong[1, 1] = difference
    with pytest.raises(VerifyError, match="own outputs"):
        largest_difference([right], [wrong])
    with pytest.raises(VerifyError, match="other shapes"):
        largest_difference([right], [right[:1]])


def test_large_values_may_be_rounded_by_as_large_a_share() -> None:
    edges = torch.tensor([[300.0, -2000.0, 0.5]])  # of a box, in pixels
    assert largest_difference([edges], [edges * (1 + 5e-5)]).value == pytest.approx(5e-5, rel=0.1)
    with pytest.raises(VerifyError, match="own outputs"):
        largest_difference([edges], [edges * (1 + 3e-4)])


@pytest.fixture
def llama(tmp_path: Path) -> tuple[nn.Module, Path]:
    """A random Llama of transformers itself, as a run's ``model/`` folder holds it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=LENGTH,
    )
    model = LlamaForCausalLM(config)
    model.train(mode=False)
    model.save_pretrained(tmp_path / "model")
    return model, tmp_path / "model"


def test_huggingface_compares_what_transformers_loads(
    tmp_path: Path, llama: tuple[nn.Module, Path]
) -> None:
    module, folder = llama
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    report = Huggingface().write(Product(module, sample()), folder, tmp_path / "out")
    assert report.claims["huggingface/architecture"].value == "LlamaForCausalLM"
    assert report.claims["huggingface/largest difference"].value == 0.0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        file.name for file in folder.iterdir()
    }
    with torch.no_grad():
        next(module.parameters()).add_(1.0)
    with pytest.raises(VerifyError):
        Huggingface().write(Product(module, sample()), folder, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def test_huggingface_without_transformers_says_so(
    tmp_path: Path, llama: tuple[nn.Module, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    report = Huggingface().write(Product(llama[0], sample()), llama[1], tmp_path / "out")
    assert report.claims["huggingface/largest difference"].value == "not compared"


def test_huggingface_refuses_a_model_without_equivalent(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no saved model"):
        Huggingface().write(Product(make("lstm"), sample()), tmp_path, tmp_path / "out")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "luban-rnn"}), encoding="utf-8")
    with pytest.raises(RecipeError, match="'luban-rnn' has no Hugging Face equivalent"):
        Huggingface().write(Product(make("lstm"), sample()), tmp_path, tmp_path / "out")


def test_onnx_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"luban\[onnx\]"):
        Onnx().write(Product(make("gru"), sample()), tmp_path, tmp_path / "out")


def test_registered_names() -> None:
    assert registry.names("exporters") == ["huggingface", "onnx", "torch-export"]
