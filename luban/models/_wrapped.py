"""A module of transformers behind the names that every module of ours has.

Shapes: B batch, T time, S input time, D width, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from luban.nn.cache import Conditioned
from luban.nn.crf import CRF
from luban.nn.packing import packed_mask


class Wrapped(nn.Module):
    """Calls the module with the arguments it takes and returns logits alone."""

    def __init__(self, model: Any, segments: int, chain: int = 0) -> None:
        super().__init__()
        self.model = model
        if chain:
            self.transitions = CRF(chain)
        self._known = set(inspect.signature(model.forward).parameters)
        # RoBERTa takes types and has but one, GPT-2 none: of a pair they see the separators.
        if getattr(model.config, "type_vocab_size", 0) < segments:
            self._known -= {"token_type_ids"}
        self.register_load_state_dict_pre_hook(_with_shared)  # type: ignore[no-untyped-call]

    @property
    def stem(self) -> nn.Module:
        """The token embedding."""
        found: nn.Module = self.model.get_input_embeddings()
        return found

    @property
    def blocks(self) -> nn.ModuleList:
        """The longest list of modules that is in no other list: the layers."""
        lists = {n: m for n, m in self.model.named_modules() if isinstance(m, nn.ModuleList)}
        outer = [m for n, m in lists.items() if not any(n.startswith(f"{o}.") for o in lists)]
        return max(outer, key=len, default=nn.ModuleList())

    @property
    def head(self) -> nn.Module | None:
        """What comes after the body; None where it is the embedding."""
        body = self.model.base_model
        if body is self.model:
            found = [self.model.get_output_embeddings()]
        else:
            found = [module for module in self.model.children() if module is not body]
        shared = {id(parameter) for parameter in self.stem.parameters()}
        own = [m for m in found if m is not None and {id(p) for p in m.parameters()} - shared]
        return own[-1] if own else None

    @property
    def context(self) -> int | None:
        """Longest sequence; None where positions are relative."""
        for module in self.model.modules():
            table = getattr(module, "position_embeddings", None)
            if isinstance(table, nn.Embedding) and table.padding_idx is not None:
                return table.num_embeddings - table.padding_idx - 1
        config = self.model.config.get_text_config()
        return getattr(config, "max_position_embeddings", None)

    def forward(  # noqa: PLR0913
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        segment_ids: Tensor | None = None,
    ) -> Tensor:
        """Return logits; of spans (B, T, 2): where they start and where they end.

        With ``segment_ids`` (B, T) a position looks back within its own segment only.
        """
        found = self._call(
            input_ids=input_ids,
            attention_mask=attention_mask if segment_ids is None else self._apart(segment_ids),
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            decoder_input_ids=decoder_input_ids,
        )
        return logits_of(found)

    def features(self, **inputs: Tensor) -> Tensor:
        """Return the last hidden states, shape (B, T, D); the arguments are those of forward."""
        found = self._call(**inputs, output_hidden_states=True)
        states = getattr(found, "hidden_states", None)
        last: Tensor = (found.decoder_hidden_states if states is None else states)[-1]
        return last

    def _apart(self, segment_ids_BT: Tensor) -> Tensor:
        """Return what is added to scores, (B, 1, T, T): nothing, or the lowest number."""
        mask = packed_mask(segment_ids_BT)
        weight = next(self.model.parameters())
        lowest = torch.finfo(weight.dtype).min
        return torch.where(mask, 0.0, lowest).to(weight.dtype)

    def _call(self, **inputs: Any) -> Any:
        free = {"output_hidden_states", "encoder_outputs"}
        known = self._known | free
        return self.model(**{k: v for k, v in inputs.items() if v is not None and k in known})


class WrappedDecoder(Wrapped):
    """A causal one, continued token by token.

    It reads all tokens again for each new one: slower than a cache of keys and values, and the
    same for every architecture.
    """

    def new_cache(self, batch_size: int, length: int) -> Replay:
        """Return an empty cache; any ``length`` fits."""
        return Replay([[] for _ in range(batch_size)])

    def decode(
        self, input_ids_BT: Tensor, cache: Replay, counts: Sequence[int] | None = None
    ) -> Tensor:
        """Read new tokens and return the logits that follow them, shape (B, V)."""
        ids_BT, last = cache.extended(input_ids_BT, counts)
        return self(ids_BT)[torch.arange(len(last)), last]  # type: ignore[no-any-return]


class WrappedAnswerer(Wrapped):
    """One that reads a sequence and writes another; what was read is encoded once."""

    def read(self, inputs: Mapping[str, Tensor], length: int) -> Conditioned[Replay]:
        """Read the input; return a cache for answers, of any ``length``."""
        ids = inputs["input_ids"]
        keep = inputs.get("attention_mask", torch.ones_like(ids))
        memory_BSD = self.model.get_encoder()(input_ids=ids, attention_mask=keep)[0]
        return Conditioned(Replay([[] for _ in range(len(ids))]), (memory_BSD, keep))

    def decode(
        self,
        input_ids_BT: Tensor,
        cache: Conditioned[Replay],
        counts: Sequence[int] | None = None,
    ) -> Tensor:
        """Read new target tokens and return the logits that follow them, shape (B, V)."""
        memory_BSD, keep = cache.memory
        ids_BT, last = cache.answers.extended(input_ids_BT, counts)
        found = self._call(
            encoder_outputs=(memory_BSD,), attention_mask=keep, decoder_input_ids=ids_BT
        )
        return logits_of(found)[torch.arange(len(last)), last]


class Replay:
    """The tokens of each row so far."""

    def __init__(self, rows: list[list[int]]) -> None:
        self.rows = rows

    def select(self, rows: Sequence[int]) -> Self:
        """Return the cache of these rows in this order; a row may be left out or repeated."""
        return type(self)([list(self.rows[row]) for row in rows])

    def extended(
        self, input_ids_BT: Tensor, counts: Sequence[int] | None
    ) -> tuple[Tensor, list[int]]:
        """Add new tokens; return all of them, padded on the right, and where each row ends."""
        counts = [input_ids_BT.shape[1]] * len(self.rows) if counts is None else counts
        for row, new, count in zip(self.rows, input_ids_BT.tolist(), counts, strict=True):
            row += new[:count]
        longest = max(map(len, self.rows))
        filled = [row + [0] * (longest - len(row)) for row in self.rows]
        return input_ids_BT.new_tensor(filled), [len(row) - 1 for row in self.rows]


def logits_of(found: Any) -> Tensor:
    """Return the logits of what a module of transformers gave."""
    if "start_logits" in found:
        return torch.stack([found["start_logits"], found["end_logits"]], -1)
    logits: Tensor = found["logits"]
    return logits


def _with_shared(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Fill in what a file leaves out because another name has the same weight."""
    names: dict[int, str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        first = names.setdefault(id(tensor), name)
        if first != name and prefix + first in state:
            state.setdefault(prefix + name, state[prefix + first])
