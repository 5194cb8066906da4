"""The three Hugging Face layouts of a decoder: their ``config.json`` and their tensor names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from luban.core.errors import RecipeError

LAYOUTS = {"qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM", "gpt2": "GPT2LMHeadModel"}

#: config.json key -> our field, for the fields both have. GPT-2 has names of its own.
_SHARED = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads",
    "num_key_value_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate_size": "intermediate_size",
    "hidden_act": "hidden_act",
    "rms_norm_eps": "rms_norm_eps",
    "max_position_embeddings": "max_position_embeddings",
    "attention_bias": "attention_bias",
    "mlp_bias": "mlp_bias",
    "tie_word_embeddings": "tie_word_embeddings",
}
_GPT2 = {
    "vocab_size": "vocab_size",
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "activation_function": "hidden_act",
    "layer_norm_epsilon": "layer_norm_epsilon",
    "n_positions": "max_position_embeddings",
    "tie_word_embeddings": "tie_word_embeddings",
}
#: What transformers takes where config.json says nothing.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "qwen3": {"head_dim": 128, "hidden_act": "silu", "rms_norm_eps": 1e-6},
    "llama": {"hidden_act": "silu", "rms_norm_eps": 1e-6, "mlp_bias": False},
    "gpt2": {"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5},
}


def fields_of(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the fields of our model that a ``config.json`` decides.

    Raises:
        RecipeError: for an architecture or a feature that this model does not have.
    """
    layout = config.get("model_type")
    if layout not in LAYOUTS:
        raise RecipeError(
            "the gpt model does not have this architecture.",
            where=folder / "config.json",
            expected=f"model_type {', '.join(LAYOUTS)}",
            got=layout,
        )
    _refuse_unknown_features(config, folder)
    full = {
        "tie_word_embeddings": layout == "gpt2",
        "attention_bias": False,
        **_DEFAULTS[layout],
        **{key: value for key, value in config.items() if value is not None},
    }
    names = _GPT2 if layout == "gpt2" else _SHARED
    fields = {ours: full[theirs] for theirs, ours in names.items() if theirs in full}
    if layout != "gpt2":
        rope = _rope(config)
        fields["rope_theta"] = float(rope.pop("rope_theta", 10_000.0))
        fields["rope_scaling"] = rope if rope.pop("rope_type", "default") == "llama3" else None
    return {"layout": layout, **fields}


def config_of(layout: str, fields: Mapping[str, Any], dropout: float) -> dict[str, Any]:
    """Return the part of ``config.json`` that follows from our fields, all of them filled in."""
    names = _GPT2 if layout == "gpt2" else _SHARED
    config = {theirs: fields[ours] for theirs, ours in names.items()}
    head = {"architectures": [LAYOUTS[layout]], "model_type": layout}
    if layout == "gpt2":
        drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
        return {**head, **config, **drops}
    scaling = fields["rope_scaling"]
    rope = {"rope_type": "default"} if scaling is None else scaling
    if layout == "qwen3":
        del config["mlp_bias"]
    return {
        **head,
        **config,
        "attention_dropout": dropout,
        # transformers 5 reads rope_parameters, 4.x the other two.
        "rope_parameters": {**rope, "rope_theta": fields["rope_theta"]},
        "rope_theta": fields["rope_theta"],
        "rope_scaling": scaling,
    }


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    rope.setdefault("rope_type", rope.pop("type", "default"))
    rope.setdefault("rope_theta", config.get("rope_theta", 10_000.0))
    return rope


def _refuse_unknown_features(config: Mapping[str, Any], folder: Path) -> None:
    rope = _rope(config)
    layers = set(config.get("layer_types") or ()) - {"full_attention"}
    features = {
        f"rope type {rope['rope_type']!r}": rope["rope_type"] not in ("default", "llama3"),
        "partial_rotary_factor": rope.get("partial_rotary_factor", 1.0) != 1.0,
        "use_sliding_window": config.get("use_sliding_window", False),
        f"layer types {', '.join(sorted(layers))}": bool(layers),
        "quantization_config": config.get("quantization_config") is not None,
        "scale_attn_weights: false": not config.get("scale_attn_weights", True),
        "scale_attn_by_inverse_layer_idx": config.get("scale_attn_by_inverse_layer_idx", False),
        "add_cross_attention": config.get("add_cross_attention", False),
    }
    for feature, used in features.items():
        if used:
            raise RecipeError(
                f"the gpt model does not have {feature}.", where=folder / "config.json"
            )


#: Our names of GPT-2's tensors: (theirs, ours, whether the matrix is transposed).
_GPT2_TENSORS = (
    ("wte", "model.embed_tokens", False),
    ("wpe", "model.embed_positions", False),
    ("ln_f", "model.norm", False),
    ("ln_1", "input_layernorm", False),
    ("ln_2", "post_attention_layernorm", False),
    ("attn.c_proj", "self_attn.o_proj", True),
    ("mlp.c_fc", "mlp.up_proj", True),
    ("mlp.c_proj", "mlp.down_proj", True),
)
_QKV = ("q_proj", "k_proj", "v_proj")


def to_gpt2(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our tensors under GPT-2's names: matrices transposed, q, k and v in one."""
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, rest, kind = _split(name, "model.layers.")
        if rest in ("self_attn.k_proj", "self_attn.v_proj"):
            continue
        if rest == "self_attn.q_proj":
            parts = [tensors[name.replace("q_proj", part)] for part in _QKV]
            theirs, tensor, turned = "attn.c_attn", torch.cat(parts), True
        elif rest == "lm_head":
            out[name] = tensor
            continue
        else:
            theirs, turned = next((t, turn) for t, ours, turn in _GPT2_TENSORS if ours == rest)
        prefix = "transformer." + ("" if layer is None else f"h.{layer}.")
        out[f"{prefix}{theirs}.{kind}"] = _turn(tensor) if turned else tensor
    return out


def from_gpt2(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return GPT-2's tensors under our names: the inverse of ``to_gpt2``."""
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, rest, kind = _split(name.removeprefix("transformer."), "h.")
        prefix = "" if layer is None else f"model.layers.{layer}."
        if rest == "attn.c_attn":
            for part, piece in zip(_QKV, tensor.chunk(3, -1), strict=True):
                out[f"{prefix}self_attn.{part}.{kind}"] = _turn(piece)
        elif rest == "lm_head":
            out[name] = tensor
        elif rest != "attn":  # attn.bias and attn.masked_bias are causal masks of old files
            ours, turned = next((o, turn) for t, o, turn in _GPT2_TENSORS if t == rest)
            out[f"{prefix}{ours}.{kind}"] = _turn(tensor) if turned else tensor
    return out


def _turn(tensor: Tensor) -> Tensor:
    """Transpose a matrix; a bias stays as it is."""
    return tensor.T.contiguous() if tensor.dim() == 2 else tensor.contiguous()


def _split(name: str, layers: str) -> tuple[str | None, str, str]:
    """Split ``model.layers.3.mlp.up_proj.bias`` into ``3``, ``mlp.up_proj`` and ``bias``."""
    rest, _, kind = name.rpartition(".")
    found = re.match(re.escape(layers) + r"(\d+)\.", name)
    return (found[1], rest[found.end() :], kind) if found else (None, rest, kind)
