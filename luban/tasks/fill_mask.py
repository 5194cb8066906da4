"""Guess hidden tokens from both sides: how encoders are pretrained."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Baseline,
    Example,
    Examples,
    Metric,
    Product,
    Record,
    Signature,
    TargetSummary,
    View,
)
from luban.core.errors import ContractError, DataError
from luban.data.baselines.ngrams import Unigram
from luban.data.checks.set_apart import made_of
from luban.data.files.records import unusable
from luban.data.text.document_pieces import encode_pieces
from luban.data.text.padding import SPECIALS, encoder_inputs, encoder_row, ids_type, padded
from luban.data.views.masking import SEEN, MaskedRows, Masking
from luban.metrics.loss import Loss
from luban.metrics.masked_accuracy import MaskedAccuracy
from luban.metrics.perplexity import Perplexity
from luban.nn.losses import cross_entropy
from luban.tasks.inputs.tokenized import TokenizedTask
from luban.tasks.parts.exports import meaning, tokens

_MASK = "[MASK]"
_SPELLED = re.compile(r"\[MASK\]|<mask>")  #: how users write a hidden token


class FillMask(TokenizedTask):
    """Masked language modelling (Devlin et al. 2018), without next-sentence prediction.

    A row is a window of the joined text, or a record. What is hidden is drawn anew in every
    epoch, and fixed for evaluation.
    """

    adjustable: ClassVar[Mapping[str, tuple[float, float]]] = {"candidates": (1, 1000)}

    max_length: int = Field(
        default=128, ge=4, le=16_777_216, description="Tokens of a row, specials included."
    )
    line_by_line: bool = Field(
        default=False, description="One record is one row; otherwise all text is joined."
    )
    mlm_probability: float = Field(default=0.15, gt=0, lt=1, description="Share to be guessed.")
    mask_replace_prob: float = Field(
        default=0.8, ge=0, le=1, description="Of these, how many [MASK] stands for."
    )
    random_replace_prob: float = Field(
        default=0.1, ge=0, le=1, description="Of these, how many a random token stands for."
    )
    candidates: int = Field(
        default=5, ge=1, le=16_777_216, description="Guesses served for each [MASK]."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.mask_replace_prob + self.random_replace_prob > 1:
            raise ValueError("mask_replace_prob and random_replace_prob add up to more than 1")
        return self

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with a vocabulary learned from the training text."""
        return self._reading_with(self.tokenizer.learn(made_of(records, _text), SPECIALS))

    def signature(self) -> Signature:
        """Return vocabulary size, length of a row and special tokens."""
        size, tokenizer = self.tokenizer.size, self.tokenizer
        return Signature(
            "tokens",
            size,
            size,
            self.max_length,
            tokenizer.pad,
            produces="tokens",
            start=self._special("start"),
            mask=self._special("mask"),
        )

    def encode(self, record: Record) -> Example:
        """Return the ids of a text; where texts are joined, closed by the separator."""
        return self.encode_batch([record])[0]

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        """Encode texts on all cores; a piece of a longer text gets no separator."""
        lists = encode_pieces(self.tokenizer, records, list(map(_text, records)))
        dtype = ids_type(self.tokenizer)
        end = self._special("separator")
        examples: list[Example] = []
        for ids, record in zip(lists, records, strict=True):
            closed = not self.line_by_line and record.get("_last", True)
            examples.append({"input_ids": np.array([*ids, end] if closed else ids, dtype)})
        return examples

    def encode_input(self, record: Record) -> Example:
        """Return the ids of a text in which ``[MASK]`` stands for what is to be guessed."""
        pieces = _SPELLED.split(_text(record))
        if len(pieces) == 1:
            raise DataError(
                "the text has nothing to guess.",
                where=record.get("_where", ""),
                expected=f"{_MASK} in the place of each hidden token",
                got=_text(record),
            )
        first, *rest = pieces
        parts = [first, *(part for text in rest for part in (self._special("mask"), text))]
        ids, _ = self.tokenizer.encode_parts([part for part in parts if part != ""])
        row, cut = encoder_row(self.tokenizer, ids, None, self.max_length)
        if cut:
            raise DataError(
                "the text is too long.",
                where=record.get("_where", ""),
                expected=f"at most {self._room:,} tokens",
                got=f"{len(ids):,} tokens",
                fix="shorten it, or train with a larger task.max_length.",
            )
        return {**row, "asked": np.array(1, np.uint8)}

    def record_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a text with hidden tokens."""
        text = {"type": "string", "description": f"A text with {_MASK} where a token is hidden."}
        return {"type": "object", "properties": {"text": text}, "required": ["text"]}

    def target_summary(self, example: Example) -> TargetSummary:
        """About ``mlm_probability`` of the tokens carry a loss at a time, at least one."""
        tokens = int((example["input_ids"] != self._special("separator")).sum())
        return TargetSummary(count=max(1, round(self.mlm_probability * tokens)) if tokens else 0)

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return rows with hidden tokens."""
        rows = MaskedRows(
            store,
            self._masking(),
            length=self._room,
            joined=not self.line_by_line,
            epoch=epoch,
            seed=seed,
        )
        if not self.line_by_line:
            return rows  # windows are all full
        around, longest = self.max_length - self._room, self.max_length
        return rows.knowing(
            lengths=lambda: np.minimum(store.lengths("input_ids") + around, longest)
        )

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Return what an encoder reads, (B, T), and labels where tokens are hidden."""
        if "asked" in examples[0]:
            return Batch(encoder_inputs(examples, self.tokenizer.pad), {})
        rows = [self._hidden(example) for example in examples]
        labels = padded([row["labels"] for row in rows], SEEN)
        return Batch(encoder_inputs(rows, self.tokenizer.pad), {"labels": labels})

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the cross-entropy of each row's hidden tokens."""
        logits: Tensor = model(**batch.inputs)
        return cross_entropy(logits, batch.targets["labels"], ignore_index=SEEN)

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return ``{"nats": …, "correct": …}`` of hidden tokens that are known.

        Of a text with ``[MASK]``: ``{"masks": [[{"token": …, "score": …}, …], …]}``.
        """
        logits_BTV: Tensor = model(**batch.inputs)
        if "labels" not in batch.targets:
            return self._guesses(logits_BTV, batch.inputs["input_ids"])
        labels = batch.targets["labels"]
        nats = cross_entropy(logits_BTV, labels, ignore_index=SEEN).sums.double()
        correct = (logits_BTV.argmax(-1) == labels).sum(1)
        return [
            {"nats": n, "correct": c} for n, c in zip(nats.tolist(), correct.tolist(), strict=True)
        ]

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return the model, how texts become its inputs, and how many guesses are told."""
        read = {
            "fields": ["text"],
            **tokens(self.tokenizer, self.max_length),
            "mask_token": _MASK,
            "rule": "cls, the tokens of the text with mask_token_id for each mask_token, sep",
        }
        said = {"top_k": self.candidates, "rule": "softmax of the logits at each mask_token_id"}
        about = meaning(self.name, read, said)
        return Product(model, Batch(dict(batch.inputs), {}), meaning=about)

    def target(self, example: Example) -> Any:
        """Return how many tokens are hidden."""
        return {"tokens": int((self._hidden(example)["labels"] != SEEN).sum())}

    def metrics(self) -> tuple[Metric, ...]:
        """Return loss (which decides the best checkpoint), perplexity and accuracy."""
        return (Loss(), Perplexity(), MaskedAccuracy())

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return a unigram model, which always guesses the most frequent token."""
        tokens = np.asarray(train.flat("input_ids"))
        tokens = tokens[tokens != self._special("separator")]
        counted = Unigram(tokens, self.tokenizer.size)
        frequent = int(np.bincount(tokens).argmax())

        def unigram(example: Example) -> Any:
            labels = self._hidden(example)["labels"]
            hidden = labels[labels != SEEN]
            nats = float(counted.nats(hidden).sum())
            return {"nats": nats, "correct": int((hidden == frequent).sum())}

        return {"unigram": unigram}

    def _hidden(self, example: Example) -> Example:
        """Return an example of a view as it is, a stored one with tokens hidden for good."""
        if "labels" in example:
            return example
        return self._masking().fixed(example["input_ids"][: self._room])

    @property
    def _room(self) -> int:
        """Tokens of a row, without what the tokenizer puts around them."""
        return self.max_length - self.tokenizer.frame().size

    def _masking(self) -> Masking:
        sizes = self.tokenizer.token_bytes()
        return Masking(
            self.mlm_probability,
            self.mask_replace_prob,
            self.random_replace_prob,
            self._special("mask"),
            self.tokenizer.frame(),
            self._special("separator"),
            np.flatnonzero(sizes),
        )

    def _guesses(self, logits_BTV: Tensor, ids_BT: Tensor) -> list[Any]:
        """Return the likeliest tokens of every mask of each row."""
        count = min(self.candidates, logits_BTV.shape[-1])
        found = []
        for logits_TV, ids_T in zip(logits_BTV, ids_BT, strict=True):
            best = logits_TV[ids_T == self._special("mask")].float().softmax(-1).topk(count)
            pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            masks = [
                [
                    {"token": self.tokenizer.decode([id_]), "score": score}
                    for id_, score in zip(indices, scores, strict=True)
                ]
                for indices, scores in pairs
            ]
            found.append({"masks": masks})
        return found

    def _special(self, role: str) -> int:
        found = self.tokenizer.special(role)
        if found is None:
            raise ContractError(f"the tokenizer has no {role} token.")
        return found


def _text(record: Record) -> str:
    text = record.get("text")
    if not isinstance(text, str):
        raise unusable(record, "text", "that is a string", also=", or build it by template")
    return text
