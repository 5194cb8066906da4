"""LoRA and its kin: as peft computes them, merged without a trace, loadable by peft."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import nn

from luban.adapters.peft import METHODS, UNFIT
from luban.core.contracts import Adapter, Model, Signature
from luban.core.errors import MissingExtra, RecipeError
from tests.adapters.toy import IDS, SIGNATURES, built, gpt, logits, train, trained_names

LORAS: list[dict[str, Any]] = [
    {},
    {"r": 2, "use_dora": True},
    {"r": 4, "use_rslora": True, "target_modules": ["q_proj", "v_proj"]},
]
# Of peft, about an attribute of transformers that was renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def twin(model: Model, module: nn.Module) -> Any:
    """The transformers model with the weights of one of ours."""
    config = transformers.AutoConfig.for_model(**model.hf_config(SIGNATURES))
    auto: Any = transformers.AutoModelForCausalLM
    made = auto.from_config(config).eval()
    made.load_state_dict(model.to_hf(module.state_dict()), strict=False)
    made.tie_weights()
    return made


@pytest.mark.parametrize("fields", LORAS, ids=["plain", "dora", "rslora"])
@pytest.mark.parametrize("layout", ["qwen3", "llama", "gpt2"])
def test_lora_is_merged_without_a_trace(layout: str, fields: dict[str, Any]) -> None:
    module = built(gpt(layout=layout))
    names, before = list(module.state_dict()), logits(module)
    adapter = Adapter.from_dict({"name": "lora", **fields})
    module = adapter.apply(module)
    torch.testing.assert_close(logits(module), before, atol=1e-6, rtol=0)
    assert all("lora_" in name for name in trained_names(module))
    train(module)
    after = logits(module)
    assert (after - before).abs().max() > 0.05
    module = adapter.merge(module)
    assert list(module.state_dict()) == names
    assert {type(layer) for layer in module.modules()} == {
        type(layer) for layer in built(gpt(layout=layout)).modules()
    }
    torch.testing.assert_close(logits(module), after, atol=1e-5, rtol=0)


def test_the_correction_is_the_one_of_the_paper() -> None:
    module = Adapter.from_dict({"name": "lora", "r": 3, "lora_alpha": 6}).apply(built(gpt()))
    train(module)
    layer = module.get_submodule("blocks")[1].mlp.up_proj  # type: ignore[index]
    a, b = layer.lora_A.default.weight, layer.lora_B.default.weight
    assert (a.shape, b.shape[1]) == ((3, 16), 3)
    x = torch.randn(5, 16)
    expected = x @ (layer.base_layer.weight + 6 / 3 * b @ a).T
    torch.testing.assert_close(layer(x), expected)


def test_every_linear_layer_of_the_blocks_is_adapted_and_no_other() -> None:
    module = Adapter.from_dict("lora").apply(built(gpt(tie_word_embeddings=False)))
    adapted = {name.partition(".lora_")[0] for name in trained_names(module)}
    assert len(adapted) == 2 * 7
    assert all(".layers." in name for name in adapted)


@pytest.mark.parametrize("fields", LORAS, ids=["plain", "dora", "rslora"])
@pytest.mark.parametrize("layout", ["qwen3", "llama"])
def test_peft_loads_what_was_saved(layout: str, fields: dict[str, Any], tmp_path: Path) -> None:
    model = gpt(layout=layout)
    module, base = built(model), twin(model, built(model))
    adapter = Adapter.from_dict({"name": "lora", **fields})
    module = adapter.apply(module)
    train(module)
    adapter.save(module, model, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    loaded = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    with torch.no_grad():
        theirs = loaded(IDS).logits
    torch.testing.assert_close(theirs, logits(module), atol=1e-5, rtol=0)
    assert (theirs - logits(built(model))).abs().max() > 0.05


def test_fresh_parameters_train_and_go_along(tmp_path: Path) -> None:
    model = gpt(tie_word_embeddings=False)
    module, base = built(model), twin(model, built(model))
    adapter = Adapter.from_dict("lora")
    module = adapter.apply(module, ("lm_head.weight", "model.norm.weight"))
    train(module)
    adapter.save(module, model, tmp_path)
    loaded = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    with torch.no_grad():
        theirs = loaded(IDS).logits
    torch.testing.assert_close(theirs, logits(module), atol=1e-5, rtol=0)
    plain = adapter.merge(module)
    assert (plain.get_parameter("lm_head.weight") != twin(model, built(model)).lm_head.weight).any()


def test_a_layout_that_joins_matrices_is_saved_under_our_names(tmp_path: Path) -> None:
    model = gpt(layout="gpt2")
    module = Adapter.from_dict("lora").apply(built(model))
    Adapter.from_dict("lora").save(module, model, tmp_path)
    loaded = peft.PeftModel.from_pretrained(built(model), tmp_path)
    train(module)
    assert any("layers.0.self_attn.q_proj" in name for name, _ in loaded.named_parameters())


@pytest.mark.parametrize("method", METHODS)
def test_other_methods(method: str, tmp_path: Path) -> None:
    model = gpt(layout="llama")
    module, base = built(model), twin(model, built(model))
    names, before = list(module.state_dict()), logits(module)
    adapter = Adapter.from_dict({"name": "peft", "method": method})
    module = adapter.apply(module)
    torch.testing.assert_close(logits(module), before, atol=1e-5, rtol=0)
    train(module)
    after = logits(module)
    assert (after - before).abs().max() > 1e-3
    adapter.save(module, model, tmp_path)
    with warnings.catch_warnings(action="ignore"), torch.no_grad():
        theirs = peft.PeftModel.from_pretrained(base, tmp_path).eval()(IDS).logits
    torch.testing.assert_close(theirs, after, atol=1e-5, rtol=0)
    module = adapter.merge(module)
    assert list(module.state_dict()) == names
    torch.testing.assert_close(logits(module), after, atol=1e-5, rtol=0)


def test_ia3_with_its_own_layers() -> None:
    fields = {
        "method": "ia3",
        "target_modules": ["k_proj", "v_proj", "down_proj"],
        "options": {"feedforward_modules": ["down_proj"]},
    }
    module = Adapter.from_dict({"name": "peft", **fields}).apply(built(gpt()))
    assert len(trained_names(module)) == 2 * 3
    assert module.get_parameter("model.layers.0.mlp.down_proj.ia3_l.default").shape == (
        1,
        64,
    )  # the inner width: it scales what goes in


@pytest.mark.parametrize("method", UNFIT)
def test_methods_that_do_not_fit_are_refused_with_a_reason(method: str) -> None:
    with pytest.raises(RecipeError, match="does not fit here: "):
        Adapter.from_dict({"name": "peft", "method": method})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "lora", "target_modules": ["query"]}, "no layer 'query'"),
        ({"name": "peft", "method": "magic"}, "must be one of boft"),
        ({"name": "peft", "options": {"rank": 3}}, "cannot be made so"),
    ],
)
def test_bad_fields(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Adapter.from_dict(fields).apply(built(gpt()))


def test_a_model_without_blocks_is_refused() -> None:
    module = built(Model.from_dict({"name": "rnn", "hidden_size": 8}))
    with pytest.raises(RecipeError, match="no blocks with layers"):
        Adapter.from_dict("lora").apply(module)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"luban\[peft\]"):
        Adapter.from_dict("lora").apply(built(gpt()))


_HEADS = {
    "label": transformers.BertForSequenceClassification,
    "tags": transformers.BertForTokenClassification,
    "tokens": transformers.BertForMaskedLM,
    "span": transformers.BertForQuestionAnswering,
}


@pytest.mark.parametrize("produces", _HEADS)
@pytest.mark.parametrize("name", ["lora", "peft"])
def test_peft_loads_an_adapted_bert(name: str, produces: str, tmp_path: Path) -> None:
    outputs = {"tokens": 23, "span": 2}.get(produces, 4)
    signature = Signature("tokens", 23, outputs, 8, 0, 1, produces, 2, 3)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = Model.from_dict({"name": "bert", **small, "initializer_range": 0.3})
    module = built(model, signature)
    config = transformers.BertConfig(**model.hf_config(signature))
    made: Any = _HEADS[produces](config)
    base = made.eval()
    base.load_state_dict(model.to_hf(module.state_dict()), strict=False)
    adapter = Adapter.from_dict(name)
    module = adapter.apply(module, ("pooler.dense.weight", "pooler.dense.bias"))
    head = {n for n in trained_names(module) if "lora_" not in n and "ia3_" not in n}
    assert {n.partition(".")[0] for n in head} <= {
        "pooler", "classifier", "qa_outputs", "predictions",
    }  # fmt: skip
    assert head
    chosen = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(chosen, 0.3)
    for _ in range(3):
        loss = module(IDS).log_softmax(-1)[..., 0].mean()
        loss.backward()
        optimizer.step()
    adapter.save(module, model, tmp_path)
    loaded = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    if produces == "tokens":  # peft leaves this one aside
        bias = load_file(tmp_path / "adapter_model.safetensors")[
            "base_model.model.cls.predictions.bias"
        ]
        whole: Any = loaded.get_base_model()
        whole.cls.predictions.bias.data.copy_(bias)
    with torch.no_grad():
        theirs = loaded(IDS)
    found = (
        torch.stack([theirs.start_logits, theirs.end_logits], -1)
        if produces == "span"
        else (theirs.logits)
    )
    torch.testing.assert_close(found, logits(module), atol=1e-5, rtol=0)
    assert (logits(module) - logits(built(model, signature))).abs().max() > 0.05
