"""The Hugging Face layouts of an encoder-decoder: ``config.json`` and tensor names.

Pegasus and Marian name everything alike; they differ in where they normalise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from luban.core.errors import RecipeError

LAYOUTS = {"pegasus": "PegasusForConditionalGeneration", "marian": "MarianMTModel"}

#: config.json key -> our field. Both halves must agree where we have one field.
_KEYS = {
    "vocab_size": "vocab_size",
    "d_model": "hidden_size",
    "encoder_layers": "num_hidden_layers",
    "decoder_layers": "num_decoder_layers",
    "encoder_attention_heads": "num_attention_heads",
    "decoder_attention_heads": "num_attention_heads",
    "encoder_ffn_dim": "intermediate_size",
    "decoder_ffn_dim": "intermediate_size",
    "activation_function": "hidden_act",
    "max_position_embeddings": "max_position_embeddings",
    "scale_embedding": "scale_embedding",
    "init_std": "initializer_range",
}
_MARIAN = {
    "decoder_vocab_size": "decoder_vocab_size",
    "share_encoder_decoder_embeddings": "share_encoder_decoder_embeddings",
}
_DROPS = {"dropout": "dropout", "attention_dropout": "attention_dropout"}
#: What transformers takes where config.json says nothing.
_DEFAULTS: dict[str, Any] = {
    "activation_function": "gelu",
    "scale_embedding": False,
    "share_encoder_decoder_embeddings": True,
}
#: Hugging Face calls the activation x sigmoid(x) by two names.
_ACTIVATIONS = {"swish": "silu"}


def fields_of(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the fields of our model that a ``config.json`` decides.

    Raises:
        RecipeError: for an architecture or a feature that this model does not have.
    """
    layout = config.get("model_type")
    if layout not in LAYOUTS:
        raise RecipeError(
            "the seq2seq model does not have this architecture.",
            where=folder / "config.json",
            expected=f"model_type {', '.join(LAYOUTS)}",
            got=layout,
        )
    given = {key: value for key, value in config.items() if value is not None}
    full = {**_DEFAULTS, **given}
    full["activation_function"] = _ACTIVATIONS.get(
        full["activation_function"], full["activation_function"]
    )
    if layout == "marian":
        full.setdefault("decoder_vocab_size", full.get("vocab_size"))
    keys = {**_KEYS, **(_MARIAN if layout == "marian" else {})}
    fields: dict[str, Any] = {"layout": layout}
    for theirs, ours in keys.items():
        if theirs in full and fields.setdefault(ours, full[theirs]) != full[theirs]:
            raise RecipeError(
                f"the seq2seq model has one {ours} for both halves.",
                where=folder / "config.json",
                got=f"{fields[ours]} and {full[theirs]}",
            )
    features = {
        "tie_word_embeddings: false": not config.get("tie_word_embeddings", True),
        "quantization_config": config.get("quantization_config") is not None,
    }
    for feature, used in features.items():
        if used:
            raise RecipeError(
                f"the seq2seq model does not have {feature}.", where=folder / "config.json"
            )
    return fields


def config_of(layout: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of ``config.json`` that follows from our fields, all of them filled in."""
    keys = {**_KEYS, **_DROPS, **(_MARIAN if layout == "marian" else {})}
    return {
        "architectures": [LAYOUTS[layout]],
        "model_type": layout,
        "is_encoder_decoder": True,
        **{theirs: fields[ours] for theirs, ours in keys.items()},
        "activation_dropout": 0.0,
        "tie_word_embeddings": True,
        "forced_eos_token_id": None,  # or it would end every answer at the length limit
    }


#: Our names of parts to theirs.
_PARTS = {
    "self_attn.o_proj": "self_attn.out_proj",
    "input_layernorm": "self_attn_layer_norm",
    "cross_attn.q_proj": "encoder_attn.q_proj",
    "cross_attn.k_proj": "encoder_attn.k_proj",
    "cross_attn.v_proj": "encoder_attn.v_proj",
    "cross_attn.o_proj": "encoder_attn.out_proj",
    "cross_attention_layernorm": "encoder_attn_layer_norm",
    "post_attention_layernorm": "final_layer_norm",
    "mlp.up_proj": "fc1",
    "mlp.down_proj": "fc2",
    "norm": "layer_norm",
}
_BACK = {theirs: ours for ours, theirs in _PARTS.items()}
_PLACES = tuple(f"model.{half}.embed_positions.weight" for half in ("encoder", "decoder"))
_EMBEDDINGS = tuple(f"model.{half}.embed_tokens.weight" for half in ("encoder", "decoder"))
_SHARED = "model.shared.weight"
_NAME = re.compile(r"(?P<stack>(?:en|de)coder\.(?:layers\.\d+\.)?)(?P<part>.+)\.(?P<kind>\w+)")


def to_pegasus(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our tensors under Pegasus's names."""
    out: dict[str, Tensor] = {}
    shared = "decoder_embed_tokens.weight" not in tensors
    for name, tensor in tensors.items():
        if name == "embed_tokens.weight":
            out[_SHARED if shared else _EMBEDDINGS[0]] = tensor
        elif name == "decoder_embed_tokens.weight":
            out[_EMBEDDINGS[1]] = tensor
        elif name == "embed_positions_PD":
            out |= {place: tensor.clone() for place in _PLACES}
        elif found := _NAME.fullmatch(name):
            part = _PARTS.get(found["part"], found["part"])
            out[f"model.{found['stack']}{part}.{found['kind']}"] = tensor
        else:
            out[name] = tensor
    return out


def from_pegasus(tensors: Mapping[str, Tensor], *, shared: bool) -> dict[str, Tensor]:
    """Return Pegasus's tensors under our names: the inverse of ``to_pegasus``."""
    tied = {"lm_head.weight", *(_EMBEDDINGS if shared else (_SHARED,)), _PLACES[1]}
    ours = {
        _SHARED: "embed_tokens.weight",
        _EMBEDDINGS[0]: "embed_tokens.weight",
        _EMBEDDINGS[1]: "decoder_embed_tokens.weight",
        _PLACES[0]: "embed_positions_PD",
    }
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in tied:
            continue
        if name in ours:
            out[ours[name]] = tensor
        elif found := _NAME.fullmatch(name.removeprefix("model.")):
            part = _BACK.get(found["part"], found["part"])
            out[f"{found['stack']}{part}.{found['kind']}"] = tensor
        else:
            out[name] = tensor
    return out
