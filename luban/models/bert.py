"""A bidirectional encoder whose saved directory is a Hugging Face BERT with the task's head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError
from luban.models._bert_layout import CLASSES, DEFAULTS, OURS, fields_of, from_bert, to_bert
from luban.models._pretrained import (
    label_names,
    load_pretrained,
    locate,
    read_config,
    read_weights,
    resolved,
)
from luban.nn.activations import Activation
from luban.nn.encoder import Encoder, EncoderModel
from luban.nn.shape import Shape


class Bert(Model):
    """BERT (Devlin et al. 2018, 1810.04805): learned positions, segments, LayerNorm after.

    With ``norm_first`` (Xiong et al. 2020, 2002.04745) or ``pooling: mean`` there is no class in
    transformers that computes the same; the saved names stay BERT's, and it starts others here.
    """

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)
    produces: ClassVar[tuple[str, ...]] = ("label", "tags", "tokens", "span")

    hidden_size: int = Field(default=256, ge=1, le=1_048_576)
    num_hidden_layers: int = Field(default=4, ge=1, le=1_024)
    num_attention_heads: int = Field(default=4, ge=1, le=1_048_576)
    intermediate_size: int | None = Field(
        default=None, ge=1, le=1_048_576, description="None: 4 hidden_size."
    )
    hidden_act: Activation = "gelu"
    hidden_dropout_prob: float = Field(default=0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(default=0.1, ge=0, lt=1)
    classifier_dropout: float | None = Field(
        default=None, ge=0, lt=1, description="Before the head (None: hidden_dropout_prob)."
    )
    pooling: Literal["cls", "mean"] = Field(
        default="cls",
        description="One vector for a label: BERT's pooler of the first position, or the mean.",
    )
    norm_first: bool = Field(default=False, description="Normalise before each part, not after.")
    vocab_size: int | None = Field(
        default=None, ge=1, le=16_777_216, description="None: the task's."
    )
    max_position_embeddings: int | None = Field(
        default=None, ge=1, le=16_777_216, description="Longest sequence (None: the task's)."
    )
    type_vocab_size: int = Field(
        default=2, ge=1, le=1_048_576, description="Kinds of positions: two texts."
    )
    layer_norm_eps: float = Field(default=1e-12, gt=0)
    initializer_range: float = Field(default=0.02, gt=0)
    pretrained: str | None = Field(
        default=None, description="Folder or hub name to take shape and weights from."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            heads = self.num_attention_heads
            raise ValueError(f"hidden_size must be a multiple of num_attention_heads ({heads})")
        return self

    def build(self, signature: Signature) -> Encoder:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the model cannot take what the task gives.
        """
        sizes = self._sizes(signature)
        shape = Shape(
            hidden_size=self.hidden_size,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_attention_heads,
            head_dim=self.hidden_size // self.num_attention_heads,
            intermediate_size=sizes["intermediate_size"],
            hidden_act=self.hidden_act,
            norm="layer",
            norm_eps=self.layer_norm_eps,
            causal=False,
            gated=False,
            attention_bias=True,
            mlp_bias=True,
            dropout=self.hidden_dropout_prob,
            attention_dropout=self.attention_probs_dropout_prob,
            norm_first=self.norm_first,
        )
        body = EncoderModel(
            shape,
            sizes["vocab_size"],
            sizes["max_position_embeddings"],
            self.type_vocab_size,
            self.num_hidden_layers,
        )
        last = self.classifier_dropout
        return Encoder(
            body,
            shape,
            signature.produces,
            signature.outputs,
            pooling=self.pooling,
            head_dropout=self.hidden_dropout_prob if last is None else last,
            init_std=self.initializer_range,
            chain=signature.chain,
        )

    def resolve(self) -> Self:
        """Return this model with every field that a pretrained directory decides filled in.

        Raises:
            RecipeError: if a field given contradicts the directory, or this model lacks one of
                its features.
        """
        if self.pretrained is None:
            return self
        folder = locate(self.pretrained)
        # No weight depends on these.
        free = (
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "classifier_dropout",
            "initializer_range",
        )
        return resolved(self, fields_of(read_config(folder), folder), folder, free)

    def start(self, module: nn.Module) -> tuple[str, ...]:
        """Load the pretrained weights, if there are any, and return what stayed fresh.

        A head is taken over if the directory has the same one, of the same size.
        """
        if self.pretrained is None:
            return ()
        folder = locate(self.pretrained)
        tensors = self.from_hf(read_weights(folder))
        names = read_config(folder).get("architectures") or ()
        ours = CLASSES["label" if isinstance(module, Encoder) and module.labels else "tags"]
        if ours not in names:  # sequences and tokens have a classifier of one name
            tensors = {n: t for n, t in tensors.items() if not n.startswith("classifier.")}
        heads = ("pooler.", "classifier.", "qa_outputs.", "predictions.", "transitions.")
        return load_pretrained(module, tensors, self.pretrained, fresh=heads)

    def hf_config(self, signature: Signature) -> dict[str, Any]:
        """Return a ``config.json`` that transformers 4 and 5 read, where it has such a class."""
        fields = {**self.to_dict(), **self._sizes(signature)}
        config = {
            "architectures": [CLASSES[signature.produces]],
            "model_type": "bert",
            **{key: fields[key] for key in DEFAULTS},
            "pad_token_id": signature.pad,
        }
        if signature.produces in ("label", "tags"):
            config |= label_names(signature)
        if self.norm_first or (signature.produces == "label" and self.pooling == "mean"):
            own = {"norm_first": self.norm_first, "pooling": self.pooling}
            del config["architectures"]
            config |= {"model_type": OURS, **own}
        return config

    def to_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors under their Hugging Face names."""
        return to_bert(tensors)

    def from_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the module's tensors from Hugging Face's: the inverse of ``to_hf``."""
        return from_bert(tensors)

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return 6 per parameter in a product, 12 per layer, width and position for attention.

        Chowdhery et al. 2022, 2204.02311, appendix B. Looking up an embedding costs nothing; what
        reads the whole example (pooler, classifier) is used once for all its positions.
        """
        sizes, width = self._sizes(signature), self.hidden_size
        length: int = signature.length or sizes["max_position_embeddings"]
        tables = sizes["max_position_embeddings"] + self.type_vocab_size
        if signature.produces != "tokens":
            tables += sizes["vocab_size"]
        once = 0
        if signature.produces == "label":
            once = (width + 1) * (signature.outputs + width * (self.pooling == "cls"))
        everywhere = parameters - tables * width - once
        return 6.0 * (everywhere + once / length) + 12.0 * self.num_hidden_layers * width * length

    def _sizes(self, signature: Signature) -> dict[str, int]:
        """Return the sizes that None leaves to the task."""
        self.check(signature)
        vocab, positions = self.vocab_size or signature.inputs, self.max_position_embeddings
        needed = max(signature.inputs, signature.outputs if signature.produces == "tokens" else 0)
        if vocab < needed:
            raise RecipeError(
                "the vocabulary is smaller than the task's.",
                where="model.vocab_size",
                expected=f"at least {needed:,}",
                got=vocab,
                fix="use the pretrained model's own tokenizer.",
            )
        positions = positions or signature.length
        if not positions or positions < signature.length:
            raise RecipeError(
                "the model has fewer positions than the task's sequences.",
                where="model.max_position_embeddings",
                expected=f"at least {signature.length:,}" if signature.length else "a number",
                got=self.max_position_embeddings,
                fix="shorten the task's sequences, or choose another model.",
            )
        if signature.segments > self.type_vocab_size:
            raise RecipeError(
                "the model tells fewer kinds of positions apart than the task has.",
                where="model.type_vocab_size",
                expected=f"at least {signature.segments}",
                got=self.type_vocab_size,
            )
        inner = self.intermediate_size or 4 * self.hidden_size
        return {
            "vocab_size": vocab,
            "max_position_embeddings": positions,
            "intermediate_size": inner,
        }
