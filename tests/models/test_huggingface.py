"""Any architecture of transformers, from a directory alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from luban.core.contracts import Signature
from luban.core.errors import RecipeError
from luban.core.files import write_json
from luban.engine.checkpoint import untied
from luban.models._wrapped import WrappedAnswerer, WrappedDecoder, logits_of
from luban.models.huggingface import Huggingface

SIZES = {"vocab_size": 40, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
             "intermediate_size": 20, "max_position_embeddings": 16},
    "roberta": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                "intermediate_size": 20, "max_position_embeddings": 16, "type_vocab_size": 1},
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 20,
                   "max_position_embeddings": 16},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16},
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 20, "num_layers": 2, "num_heads": 2,
           "decoder_start_token_id": 0},
    "bart": {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 20,
             "decoder_ffn_dim": 20, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
             "max_position_embeddings": 16, "decoder_start_token_id": 2},
}  # fmt: skip
CASES = [
    *(
        (kind, what)
        for kind in ("bert", "distilbert")
        for what in ("label", "tags", "tokens", "span")
    ),
    ("roberta", "label"),
    ("gpt2", "next"),
    ("gpt2", "label"),
    ("t5", "sequence"),
    ("bart", "sequence"),
]
OUTPUTS = {"label": 3, "tags": 5, "span": 2}


def signature(produces: str, **more: Any) -> Signature:
    given: dict[str, Any] = {"segments": 2 if produces == "label" else 1, **more}
    return Signature("tokens", 40, OUTPUTS.get(produces, 40), 12, 0, 1, produces=produces, **given)


def model_of(kind: str) -> Huggingface:
    config = {"model_type": kind, **SIZES, **CONFIGS[kind]}
    return Huggingface.from_dict({"name": "huggingface", "config": config})


def read(produces: str) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    keep = torch.arange(8) < torch.tensor([[8], [5]])
    inputs = {"input_ids": torch.randint(3, 40, (2, 8), generator=draw).where(keep, 0)}
    if produces != "next":
        inputs["attention_mask"] = keep.long()
    if produces == "label":
        inputs["token_type_ids"] = ((torch.arange(8) > 2) & keep).long()
    if produces == "sequence":
        inputs["decoder_input_ids"] = torch.randint(3, 40, (2, 6), generator=draw)
    return inputs


def save(model: Huggingface, module: torch.nn.Module, asked: Signature, folder: Path) -> None:
    write_json(folder / "config.json", model.hf_config(asked))
    tensors = {k: v.contiguous() for k, v in model.to_hf(untied(module)).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(("kind", "produces"), CASES)
def test_transformers_and_we_read_what_we_write(kind: str, produces: str, tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(0)
    model, asked, inputs = model_of(kind), signature(produces), read(produces)
    module = model.build(asked).eval()
    save(model, module, asked, tmp_path)
    name = model.hf_config(asked)["architectures"][0]
    hf, info = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    theirs = dict(inputs)
    if kind != "bert":
        theirs.pop("token_type_ids", None)
    with torch.no_grad():
        ours = module(**inputs)
        torch.testing.assert_close(ours, logits_of(hf.eval()(**theirs)), atol=1e-5, rtol=0)
        again = Huggingface(pretrained=str(tmp_path)).resolve()
        back = again.build(asked).eval()
        assert again.start(back) == ()
        torch.testing.assert_close(back(**inputs), ours, atol=1e-5, rtol=0)
        assert again.resolve() == again
        # What load_saved does: the directory it came from is gone, tied weights are there once.
        elsewhere = again.replace(pretrained="/nowhere").build(asked).eval()
        elsewhere.load_state_dict(again.from_hf(again.to_hf(untied(back))))
        torch.testing.assert_close(elsewhere(**inputs), ours, atol=1e-5, rtol=0)
    assert len(module.blocks) == 2
    assert sum(p.numel() for p in module.stem.parameters()) == 40 * 16
    assert (module.head is None) == (produces in ("next", "sequence"))
    assert module.features(**inputs).shape[-1] == 16


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
@pytest.mark.parametrize("produces", ["label", "tags", "span"])
def test_an_encoder_starts_another_head(kind: str, produces: str, tmp_path: Path) -> None:
    model, asked = model_of(kind), signature("tokens")
    module = model.build(asked).eval()
    save(model, module, asked, tmp_path)
    again = Huggingface(pretrained=str(tmp_path)).resolve()
    other = again.build(signature(produces)).eval()
    fresh = again.start(other)
    head = other.head
    assert head is not None
    named = {id(p): name for name, p in other.named_parameters()}
    assert {named[id(p)] for p in head.parameters()} <= set(fresh)
    assert not any(".layer" in name for name in fresh)
    inputs = read("tags")
    expected = module.features(**inputs)
    torch.testing.assert_close(other.features(**inputs), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "gpt2"])
def test_padding_changes_nothing(kind: str) -> None:
    module = model_of(kind).build(signature("label")).double().eval()
    inputs = read("label")
    alone = {name: tensor[1:, :5] for name, tensor in inputs.items()}
    torch.testing.assert_close(module(**inputs)[1:], module(**alone), atol=1e-9, rtol=0)


def test_a_decoder_goes_on_as_it_reads() -> None:
    module = model_of("gpt2").build(signature("next")).eval()
    assert isinstance(module, WrappedDecoder)
    ids = read("next")["input_ids"]
    whole = module(ids)
    cache = module.new_cache(2, 12)
    first = module.decode(ids[:, :4], cache, [4, 2])
    torch.testing.assert_close(first, torch.stack([whole[0, 3], whole[1, 1]]))
    cache = cache.select([1, 0])
    after = module.decode(ids[[1, 0], 2:3], cache)
    torch.testing.assert_close(after[0], whole[1, 2])


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_a_decoder_looks_back_only_and_within_its_segment(kind: str) -> None:
    module = model_of(kind).build(signature("next")).eval()
    ids = read("label")["input_ids"].clone()
    whole = module(ids)
    ids[:, 5:] = 7
    torch.testing.assert_close(module(ids)[:, :5], whole[:, :5])
    segments = torch.tensor([[0] * 3 + [1] * 5] * 2)
    places = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4]] * 2)
    packed = module(ids, position_ids=places, segment_ids=segments)
    torch.testing.assert_close(packed[:, :3], module(ids[:, :3]))
    torch.testing.assert_close(packed[:, 3:], module(ids[:, 3:]))


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_an_answerer_writes_as_it_reads(kind: str) -> None:
    module = model_of(kind).build(signature("sequence")).eval()
    assert isinstance(module, WrappedAnswerer)
    inputs = read("sequence")
    whole, ids = module(**inputs), inputs["decoder_input_ids"]
    cache = module.read({k: v for k, v in inputs.items() if k != "decoder_input_ids"}, 6)
    for at in range(3):
        step = module.decode(ids[:, at : at + 1], cache)
        torch.testing.assert_close(step, whole[:, at])
    step = module.decode(ids[[1, 1, 0], 3:4], cache.select([1, 1, 0]))
    torch.testing.assert_close(step, whole[[1, 1, 0], 3])


def test_neighbouring_tags_are_scored_beside_the_head(tmp_path: Path) -> None:
    model, asked = model_of("bert"), signature("tags", chain=True)
    module = model.build(asked)
    tensors = model.to_hf(untied(module))
    assert "transitions.transitions" in tensors
    module.load_state_dict(model.from_hf(tensors))


def begin(model: Huggingface, produces: str) -> None:
    resolved = model.resolve()
    resolved.start(resolved.build(signature(produces)))


def test_bad_directories(tmp_path: Path) -> None:
    def refused(config: dict[str, Any], message: str, produces: str = "label") -> None:
        write_json(tmp_path / "config.json", config)
        with pytest.raises(RecipeError, match=message):
            begin(Huggingface(pretrained=str(tmp_path)), produces)

    bert = {"model_type": "bert", **SIZES, **CONFIGS["bert"]}
    refused({"model_type": "no-such-thing"}, "does not have this architecture")
    refused({}, "does not have this architecture")
    refused({**bert, "auto_map": {"AutoModel": "mine.Model"}}, "code of its own")
    refused({**bert, "vocab_size": 30}, "vocabulary is smaller")
    refused({**bert, "max_position_embeddings": 8}, "fewer positions")
    refused({**bert, "hidden_size": "wide"}, "cannot build this model")
    refused({**bert, "num_attention_heads": 3}, "cannot build this model")
    refused(bert, "not made for this task", "sequence")
    refused(bert, "there is no model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    refused(bert, "pickles, which can run code")
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    refused(bert, "cannot build this model")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    refused(bert, "do not fit this model")
    with pytest.raises(RecipeError, match="nothing says which architecture"):
        Huggingface().build(signature("label"))
