"""Any architecture of transformers: what we do not write ourselves."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError
from luban.core.extras import require
from luban.models._pretrained import label_names, locate, read_config, weight_files
from luban.models._wrapped import Wrapped, WrappedAnswerer, WrappedDecoder

_AUTO = {
    "next": "AutoModelForCausalLM",
    "label": "AutoModelForSequenceClassification",
    "tags": "AutoModelForTokenClassification",
    "tokens": "AutoModelForMaskedLM",
    "span": "AutoModelForQuestionAnswering",
    "sequence": "AutoModelForSeq2SeqLM",
}
#: What a configuration says of one directory or one task, not of the architecture.
_LOCAL = (
    "_name_or_path", "architectures", "dtype", "id2label", "label2id", "num_labels",
    "problem_type", "torch_dtype", "transformers_version",
)  # fmt: skip


class Huggingface(Model):
    """The class that transformers has for the task, from a directory or a hub name.

    Code that comes with a model is never run. Text is generated without a cache of keys and
    values, so slower than with our own models.
    """

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)
    produces: ClassVar[tuple[str, ...]] = tuple(_AUTO)

    pretrained: str | None = Field(
        default=None, description="Folder or hub name to take configuration and weights from."
    )
    config: dict[str, Any] | None = Field(
        default=None,
        description=(
            "A `config.json`; read from `pretrained` where that is given. Without `pretrained` and"
            " `vocab_size` the vocabulary is the task's."
        ),
    )

    def resolve(self) -> Self:
        """Return this model with its configuration in it, so that it needs no directory any more.

        Raises:
            RecipeError: if there is neither, or the directory brings code of its own.
        """
        if self.config is not None or self.pretrained is None:
            return self
        folder = locate(self.pretrained)
        config = {key: v for key, v in read_config(folder).items() if key not in _LOCAL}
        if "auto_map" in config:
            raise RecipeError(
                "this model needs code of its own, which is never run.",
                where=folder / "config.json",
                fix="choose a model that transformers itself has.",
            )
        return type(self).from_dict({**self.to_dict(), "config": config})

    def fits(self, signature: Signature) -> bool:
        """Return whether transformers has a class of this architecture for the task."""
        if not super().fits(signature) or self.config is None:
            return super().fits(signature)
        config = self._configuration(signature)
        # With two halves only what writes a second sequence gives what the task asks for.
        halves = getattr(config, "is_encoder_decoder", False)
        known = type(config) in _auto(signature)._model_mapping
        return known and halves == (signature.produces == "sequence")

    def build(self, signature: Signature) -> Wrapped:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if there is no configuration, or it does not suit the task.
            MissingExtra: if transformers is not installed.
        """
        self.check(signature)
        config = self._configuration(signature)
        _refuse_small(config, signature)
        config.use_cache = False
        try:
            model = _auto(signature).from_config(config, trust_remote_code=False)
        except Exception as error:  # whatever an architecture raises for odd numbers
            raise _unbuildable(error) from error
        kinds = {"next": WrappedDecoder, "sequence": WrappedAnswerer}
        chain = signature.outputs if signature.chain else 0
        module = kinds.get(signature.produces, Wrapped)(model.float(), signature.segments, chain)
        if module.context is not None and module.context < signature.length:
            raise RecipeError(
                "the model has fewer positions than the task's sequences.",
                where="model.config.max_position_embeddings",
                expected=f"at least {signature.length:,}",
                got=module.context,
                fix="shorten the task's sequences, or choose another model.",
            )
        return module

    def start(self, module: nn.Module) -> tuple[str, ...]:
        """Load the pretrained weights, if there are any, and return what stayed fresh.

        Raises:
            RecipeError: if there are no safetensors, they lack a layer of the model, or its answers
                begin with another token than the task's.
        """
        if self.pretrained is None or not isinstance(module, Wrapped):
            return ()
        folder = locate(self.pretrained)
        _check_decoder_start(module.model.config, folder)
        weight_files(folder)
        try:
            with _quiet():
                theirs, info = type(module.model).from_pretrained(
                    folder,
                    config=module.model.config,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    local_files_only=True,
                    dtype=torch.float32,
                )
        except Exception as error:  # whatever the library raises for a damaged directory
            raise _unbuildable(error) from error
        fresh = set(info["missing_keys"]) | {name for name, *_ in info["mismatched_keys"]}
        inside = {id(parameter) for parameter in module.blocks.parameters()}
        lost = [n for n, p in module.model.named_parameters() if n in fresh and id(p) in inside]
        if lost:
            raise RecipeError(
                "the pretrained weights do not fit this model.",
                where=folder,
                expected=", ".join(sorted(lost)[:5]),
                got="not among the weights, or of another shape",
            )
        module.model.load_state_dict(theirs.state_dict())
        return tuple(f"model.{n}" for n, _ in module.model.named_parameters() if n in fresh)

    def hf_config(self, signature: Signature) -> dict[str, Any]:
        """Return the ``config.json`` of the class built."""
        config = self._configuration(signature)
        config.architectures = [_auto(signature)._model_mapping[type(config)].__name__]
        plain: dict[str, Any] = json.loads(config.to_json_string())
        return plain

    def to_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors under the class's own names."""
        return {name.removeprefix("model."): tensor for name, tensor in tensors.items()}

    def from_hf(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors under our names: the inverse of ``to_hf``."""
        ours = "transitions."
        return {n if n.startswith(ours) else f"model.{n}": t for n, t in tensors.items()}

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return 6 per parameter in a product, 12 per layer, width and position for attention.

        Chowdhery et al. 2022, 2204.02311, appendix B; looking up an embedding costs nothing. For
        two sequences it is a rough figure: each token passes through one of the two halves.
        """
        config = self._configuration(signature)
        text = config.get_text_config()
        vocabulary = signature.produces in ("next", "tokens", "sequence")
        tied = vocabulary and getattr(config, "tie_word_embeddings", True)
        looked_up: int = 0 if tied else config.vocab_size * text.hidden_size
        attention: float = 12.0 * text.num_hidden_layers * text.hidden_size * signature.length
        return 6.0 * (parameters - looked_up) + attention

    def _configuration(self, signature: Signature) -> Any:
        """Return the library's configuration for a task."""
        plain = self.resolve().to_dict()["config"]
        if plain is None:
            raise RecipeError(
                "nothing says which architecture to build.",
                where="model",
                expected="pretrained, or config",
            )
        kind = plain.get("model_type")
        transformers = _library()
        if kind not in transformers.CONFIG_MAPPING:
            raise RecipeError(
                "transformers does not have this architecture.",
                where="model.config.model_type",
                got=kind,
                fix=f"update transformers ({transformers.__version__} here), or choose another.",
            )
        rest = {key: value for key, value in plain.items() if key != "model_type"}
        if self.pretrained is None:
            rest.setdefault("vocab_size", _needed(signature))
        try:
            config = transformers.AutoConfig.for_model(kind, **rest)
        except Exception as error:  # whatever a configuration raises for odd fields
            raise _unbuildable(error) from error
        if signature.produces in ("label", "tags"):
            names = label_names(signature)
            config.id2label = {int(index): name for index, name in names["id2label"].items()}
            config.label2id = names["label2id"]
            config.problem_type = names.get("problem_type")
        if signature.pad is not None:
            config.pad_token_id = signature.pad
        if signature.produces in ("next", "sequence") and signature.end is not None:
            config.eos_token_id = (
                [signature.end, *signature.ends] if signature.ends else signature.end
            )
            config.bos_token_id = signature.bos
        if signature.produces == "sequence" and signature.start is not None:
            config.decoder_start_token_id = signature.start
        if signature.produces == "next" and hasattr(config, "is_decoder"):
            config.is_decoder = True  # or BERT and its kin would look ahead
        return config


def _refuse_small(config: Any, signature: Signature) -> None:
    needed = _needed(signature)
    if config.vocab_size < needed:
        raise RecipeError(
            "the vocabulary is smaller than the task's.",
            where="model.config.vocab_size",
            expected=f"at least {needed:,}",
            got=config.vocab_size,
            fix="use the pretrained model's own tokenizer.",
        )


def _check_decoder_start(config: Any, folder: Path) -> None:
    """Refuse to begin answers with another token than the pretrained decoder is used to."""
    key = "decoder_start_token_id"
    told, used = read_config(folder).get(key), getattr(config, key, None)
    if config.is_encoder_decoder and None not in (told, used) and told != used:
        raise RecipeError(
            "the pretrained decoder begins its answers with another token than the task.",
            where=folder / "config.json",
            expected=f"{key}: {used}, that of the task's tokenizer",
            got=told,
            fix="take the tokenizer from the model's own folder: "
            f"task.tokenizer: {{name: pretrained, path: {folder}}}.",
        )


def _needed(signature: Signature) -> int:
    """Return how many tokens a task reads, or writes."""
    writes = signature.produces in ("next", "tokens", "sequence")
    return max(signature.inputs, signature.outputs if writes else 0)


def _library() -> Any:
    return require("transformers", "hf")


def _auto(signature: Signature) -> Any:
    return getattr(_library(), _AUTO[signature.produces])


def _unbuildable(error: Exception) -> RecipeError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return RecipeError(
        "transformers cannot build this model.", where="model", got=" ".join(lines[:3])
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's notes to itself: what it says is returned, or raised."""
    logs = _library().logging
    level, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity(logging.ERROR)
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(level)
        if bars:
            logs.enable_progress_bar()
