"""Hugging Face's layout of BERT: its ``config.json`` and its tensor names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from luban.core.errors import RecipeError

#: What a model that has no class in transformers is called.
OURS = "luban-bert"
CLASSES = {
    "label": "BertForSequenceClassification",
    "tags": "BertForTokenClassification",
    "tokens": "BertForMaskedLM",
    "span": "BertForQuestionAnswering",
}
#: Fields of the same name here and there, and what transformers takes where one is missing.
DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "classifier_dropout": None,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
}
#: Fields that only our own models have.
_EXTRA: dict[str, Any] = {"norm_first": False}


def fields_of(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the fields of our model that a ``config.json`` decides.

    Raises:
        RecipeError: for an architecture or a feature that this model does not have.
    """
    kind = config.get("model_type")
    if kind not in ("bert", OURS):
        raise RecipeError(
            "the bert model does not have this architecture.",
            where=folder / "config.json",
            expected="model_type bert",
            got=kind,
            fix="the model `huggingface` takes any architecture of transformers.",
        )
    position = config.get("position_embedding_type", "absolute")
    features = {
        f"position_embedding_type {position!r}": position != "absolute",
        "is_decoder": config.get("is_decoder", False),
        "add_cross_attention": config.get("add_cross_attention", False),
        "quantization_config": config.get("quantization_config") is not None,
    }
    for feature, used in features.items():
        if used:
            raise RecipeError(
                f"the bert model does not have {feature}.", where=folder / "config.json"
            )
    fields = {key: config.get(key, default) for key, default in {**DEFAULTS, **_EXTRA}.items()}
    for name, value in fields.items():
        if isinstance(value, int) and isinstance(DEFAULTS.get(name), float):
            fields[name] = float(value)  # JSON may write 0.0 as 0
    return fields


#: (ours, theirs) inside a block, and outside of the blocks.
_BLOCK = (
    ("self_attn.q_proj", "attention.self.query"),
    ("self_attn.k_proj", "attention.self.key"),
    ("self_attn.v_proj", "attention.self.value"),
    ("self_attn.o_proj", "attention.output.dense"),
    ("input_layernorm", "attention.output.LayerNorm"),
    ("mlp.up_proj", "intermediate.dense"),
    ("mlp.down_proj", "output.dense"),
    ("post_attention_layernorm", "output.LayerNorm"),
)
_AROUND = (
    ("encoder.word_embeddings", "bert.embeddings.word_embeddings"),
    ("encoder.position_embeddings", "bert.embeddings.position_embeddings"),
    ("encoder.token_type_embeddings", "bert.embeddings.token_type_embeddings"),
    ("encoder.embedding_norm", "bert.embeddings.LayerNorm"),
    ("encoder.norm", "bert.encoder.norm"),
    ("pooler.dense", "bert.pooler.dense"),
    ("predictions.dense", "cls.predictions.transform.dense"),
    ("predictions.norm", "cls.predictions.transform.LayerNorm"),
    ("predictions", "cls.predictions"),
)
_TO_HF, _FROM_HF = dict(_AROUND), {theirs: ours for ours, theirs in _AROUND}
_BLOCK_TO_HF, _BLOCK_FROM_HF = dict(_BLOCK), {theirs: ours for ours, theirs in _BLOCK}
#: Tensors of other files that say nothing new: buffers, tied weights, a head we do not have.
_SAID = re.compile(
    r"bert\.embeddings\.(position_ids|token_type_ids)|cls\.predictions\.decoder\.(weight|bias)"
    r"|cls\.seq_relationship\..*"
)


def to_bert(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our tensors under Hugging Face's names."""
    return {
        _renamed(name, "encoder.layers.", "bert.encoder.layer.", _BLOCK_TO_HF, _TO_HF): tensor
        for name, tensor in tensors.items()
    }


def from_bert(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return Hugging Face's tensors under our names: the inverse of ``to_bert``.

    It reads a bare ``BertModel`` too, and the names LayerNorm had in the first files.

    Raises:
        RecipeError: if the decoder is not tied to the embedding.
    """
    if not any(name.startswith("bert.") for name in tensors):
        inside = ("embeddings.", "encoder.", "pooler.")
        tensors = {("bert." if n.startswith(inside) else "") + n: t for n, t in tensors.items()}
    _refuse_untied(tensors)
    return {
        _renamed(name, "bert.encoder.layer.", "encoder.layers.", _BLOCK_FROM_HF, _FROM_HF): tensor
        for name, tensor in tensors.items()
        if not _SAID.fullmatch(name)
    }


def _refuse_untied(tensors: Mapping[str, Tensor]) -> None:
    decoder = tensors.get("cls.predictions.decoder.weight")
    words = tensors.get("bert.embeddings.word_embeddings.weight")
    if decoder is not None and words is not None and not torch.equal(decoder, words):
        raise RecipeError(
            "the bert model does not have a decoder apart from the embedding.",
            where="model.pretrained",
            fix="the model `huggingface` takes any architecture of transformers.",
        )


def _renamed(
    name: str, layers: str, other: str, block: Mapping[str, str], around: Mapping[str, str]
) -> str:
    rest, _, kind = name.rpartition(".")
    kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
    found = re.match(re.escape(layers) + r"(\d+)\.", name)
    if found:
        inner = rest[found.end() :]
        return f"{other}{found[1]}.{block.get(inner, inner)}.{kind}"
    return f"{around.get(rest, rest)}.{kind}"
