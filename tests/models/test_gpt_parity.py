"""The same logits as transformers, both directions, for every layout."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from luban.core.contracts import Signature
from luban.core.errors import RecipeError
from luban.core.files import write_json
from luban.models.gpt import GPT

SIGNATURES = Signature("tokens", inputs=61, outputs=61, length=32, pad=0, end=1)
SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA3 = {
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
CASES: dict[str, dict[str, Any]] = {
    "qwen3": {"num_key_value_heads": 2},
    "qwen3-untied": {"tie_word_embeddings": False, "head_dim": 20, "rope_theta": 1e6},
    "qwen3-biases": {"attention_bias": True, "hidden_act": "relu2", "intermediate_size": 40},
    "llama": {"layout": "llama", "num_key_value_heads": 1, "rms_norm_eps": 1e-5},
    "llama-untied": {
        "layout": "llama",
        "tie_word_embeddings": False,
        "mlp_bias": True,
        "attention_bias": True,
        "rope_scaling": LLAMA3,
    },
    "gpt2": {"layout": "gpt2"},
    "gpt2-untied": {"layout": "gpt2", "tie_word_embeddings": False, "hidden_act": "gelu"},
}


def make(**fields: Any) -> GPT:
    return GPT.from_dict({"name": "gpt", **SMALL, **fields})


def randomise(module: torch.nn.Module) -> None:
    """Fresh biases are zero and fresh norms one: parity must not rest on that."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)


def save(model: GPT, module: torch.nn.Module, folder: Path) -> None:
    write_json(folder / "config.json", model.hf_config(SIGNATURES))
    tensors = {k: v.contiguous() for k, v in model.to_hf(module.state_dict()).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load_in_transformers(folder: Path) -> Any:
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        auto: Any = transformers.AutoModelForCausalLM
        hf, info = auto.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[key], (key, info[key])
    return hf.eval()


def ids(rows: int = 3, length: int = 32) -> Tensor:
    return torch.randint(
        SIGNATURES.inputs, (rows, length), generator=torch.Generator().manual_seed(7)
    )


@pytest.mark.parametrize("case", CASES)
def test_transformers_reads_what_we_write(
    case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model = make(**CASES[case])
    module = model.build(SIGNATURES).eval()
    randomise(module)
    save(model, module, tmp_path)
    with caplog.at_level("WARNING"):
        hf = load_in_transformers(tmp_path)
    assert not caplog.records
    with torch.no_grad():
        torch.testing.assert_close(module(ids()), hf(ids()).logits, atol=1e-4, rtol=0)
    assert type(hf).__name__ == model.hf_config(SIGNATURES)["architectures"][0]


@pytest.mark.parametrize("case", CASES)
def test_we_read_what_transformers_writes(case: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = make(**CASES[case])
    module = model.build(SIGNATURES)
    randomise(module)
    save(model, module, tmp_path / "ours")
    hf = load_in_transformers(tmp_path / "ours")
    hf.save_pretrained(tmp_path / "theirs", max_shard_size="40KB")
    assert (tmp_path / "theirs/model.safetensors.index.json").is_file()

    again = GPT(pretrained=str(tmp_path / "theirs")).resolve()
    back = again.build(SIGNATURES).eval()
    assert again.start(back) == ()
    with torch.no_grad():
        torch.testing.assert_close(back(ids()), hf(ids()).logits, atol=1e-4, rtol=0)
    assert again.resolve() == again
    assert again.hf_config(SIGNATURES) == model.hf_config(SIGNATURES)


@pytest.mark.parametrize("case", CASES)
def test_names_go_there_and_back(case: str) -> None:
    model = make(**CASES[case])
    state = model.build(SIGNATURES).state_dict()
    back = model.from_hf(model.to_hf(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_random_gpt2_of_transformers(tmp_path: Path) -> None:
    """A checkpoint that never went through our own names."""
    import transformers

    torch.manual_seed(2)
    config = transformers.GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=2, n_positions=32)
    hf: Any = transformers.GPT2LMHeadModel(config)
    hf.eval().save_pretrained(tmp_path)
    model = GPT(pretrained=str(tmp_path)).resolve()
    module = model.build(SIGNATURES).eval()
    model.start(module)
    with torch.no_grad():
        torch.testing.assert_close(module(ids()), hf(ids()).logits, atol=1e-4, rtol=0)


def test_position_ids_and_attention_mask_mean_the_same(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = make()
    module = model.build(SIGNATURES).eval()
    save(model, module, tmp_path)
    hf = load_in_transformers(tmp_path)
    keep = torch.ones(3, 32, dtype=torch.long)
    keep[0, :5] = 0
    keep[1, 20:] = 0
    at = (keep.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        ours = module(ids(), position_ids=at, attention_mask=keep)
        theirs = hf(ids(), position_ids=at, attention_mask=keep).logits
    assert ours.isfinite().all()
    torch.testing.assert_close(ours[keep.bool()], theirs[keep.bool()], atol=1e-4, rtol=0)


def test_a_tied_head_is_saved_once(tmp_path: Path) -> None:
    model = make(tie_word_embeddings=True)
    save(model, model.build(SIGNATURES), tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model_type": "mamba"}, "architecture"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope type 'yarn'"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding_attention"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"hidden_act": "mish"}, "hidden_act"),
    ],
)
def test_unknown_features_are_refused_by_name(
    change: dict[str, Any], match: str, tmp_path: Path
) -> None:
    write_json(tmp_path / "config.json", {**make().hf_config(SIGNATURES), **change})
    with pytest.raises(RecipeError, match=match):
        GPT(pretrained=str(tmp_path)).resolve()


def test_transformers_4_wrote_rope_apart(tmp_path: Path) -> None:
    config = make(rope_theta=5e5, rope_scaling=LLAMA3, layout="llama").hf_config(SIGNATURES)
    del config["rope_parameters"]
    write_json(tmp_path / "config.json", config)
    model = GPT(pretrained=str(tmp_path)).resolve()
    assert model.rope_theta == 5e5
    assert model.rope_scaling is not None
    assert model.rope_scaling.factor == 4.0


def test_a_field_that_contradicts_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", make().hf_config(SIGNATURES))
    with pytest.raises(RecipeError, match="hidden_size contradicts") as caught:
        GPT(pretrained=str(tmp_path), hidden_size=64).resolve()
    assert (caught.value.expected, caught.value.got) == (48, 64)
    short = GPT(pretrained=str(tmp_path), max_position_embeddings=16).resolve()
    assert short.max_position_embeddings == 16


def test_pickles_and_missing_files_are_refused(tmp_path: Path) -> None:
    model = make(pretrained=str(tmp_path))
    with pytest.raises(RecipeError, match="cannot read config"):
        model.resolve()
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(RecipeError, match="pickles"):
        model.start(make().build(SIGNATURES))
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(RecipeError, match="cannot read model"):
        model.start(make().build(SIGNATURES))
    with pytest.raises(RecipeError, match="no such folder"):
        make(pretrained="./nowhere").resolve()
    with pytest.raises(RecipeError, match="neither a folder nor"):
        make(pretrained="nobody/nothing").resolve()
