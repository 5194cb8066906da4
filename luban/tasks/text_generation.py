"""Predict the next token of a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Baseline,
    Example,
    Examples,
    Generative,
    Metric,
    Product,
    Record,
    Signature,
    TargetSummary,
    View,
)
from luban.core.errors import DataError
from luban.data.baselines.ngrams import KneserNey, Unigram
from luban.data.checks.set_apart import made_of
from luban.data.files.records import unusable
from luban.data.text.document_pieces import encode_pieces
from luban.data.text.padding import ids_type
from luban.data.views.windows import Windows
from luban.inference.sampling import SamplingParams
from luban.inference.text import TextGenerator
from luban.metrics.bits_per_byte import BitsPerByte
from luban.metrics.distinct import Distinct
from luban.metrics.loss import Loss
from luban.metrics.memorisation import Memorisation
from luban.metrics.perplexity import Perplexity
from luban.metrics.repetition import Repetition
from luban.nn.losses import IGNORE, cross_entropy
from luban.tasks.inputs.tokenized import TokenizedTask
from luban.tasks.parts.exports import continuations, meaning, tokens

#: The memorisation check looks at this many training tokens, to bound memory and time.
SEARCHED_TOKENS = 20_000_000


class TextGeneration(TokenizedTask, Generative):
    """Causal language modelling over windows of a token stream.

    Documents are joined end to end, each closed by the end token. One example is one window of
    ``context`` tokens; each epoch shifts the windows by another offset.
    """

    context: int = Field(default=256, ge=2, le=16_777_216, description="Tokens a window sees.")
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    sample_tokens: int = Field(
        default=300, ge=1, le=16_777_216, description="Length of samples in the report."
    )

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with a vocabulary learned from the training text."""
        return self._reading_with(self.tokenizer.learn(made_of(records, _text)))

    def signature(self) -> Signature:
        """Return vocabulary size, window length and special tokens."""
        size, tokenizer = self.tokenizer.size, self.tokenizer
        begin = tokenizer.special("begin")
        return Signature(
            "tokens", size, size, self.context, tokenizer.pad, tokenizer.end, begin=begin
        )

    def encode(self, record: Record) -> Example:
        """Return the ids of a document, closed by the end token."""
        return self.encode_batch([record])[0]

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        """Encode documents on all cores, with what the tokenizer puts before a text.

        A piece of a longer document gets no end token, and nothing before it if it goes on.
        """
        lists = encode_pieces(self.tokenizer, records, list(map(_text, records)))
        dtype, before = ids_type(self.tokenizer), self.tokenizer.frame().before
        end = self.tokenizer.end
        return [
            {
                "input_ids": np.array(
                    [
                        *(before if record.get("_first", True) else ()),
                        *ids,
                        *([end] if record.get("_last", True) else ()),
                    ],
                    dtype=dtype,
                )
            }
            for ids, record in zip(lists, records, strict=True)
        ]

    def target_summary(self, example: Example) -> TargetSummary:
        """Every token is supervised; an end token alone teaches nothing."""
        ids, before = example["input_ids"], self.tokenizer.frame().before
        ends = bool(len(ids) and ids[-1] == self.tokenizer.end)
        begins = len(before) if tuple(ids[: len(before)].tolist()) == before else 0
        return TargetSummary(count=max(0, len(ids) - ends - begins), ends=ends or None)

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return windows of ``context`` + 1 tokens over the joined documents.

        Raises:
            DataError: if the text to train on does not fill one window.
        """
        tokens = len(store.flat("input_ids"))
        if epoch is not None and tokens <= self.context:
            raise DataError(
                "the training text is shorter than the context.",
                where="task.context",
                expected=f"more than {self.context:,} tokens of text",
                got=f"{tokens:,} tokens",
                fix=f"lower task.context (to {max(2, tokens // 20)}, say), or add text.",
            )
        return Windows(store, "input_ids", length=self.context, epoch=epoch, seed=seed)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Return inputs and next tokens, both (B, T); short windows are padded at the end."""
        rows = [example["input_ids"] for example in examples]
        longest = max(len(row) for row in rows)
        ids = np.full((len(rows), longest), self.tokenizer.pad, dtype=np.int64)
        labels = np.full((len(rows), longest - 1), IGNORE, dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            labels[i, : len(row) - 1] = row[1:]
        return Batch(
            {"input_ids": torch.from_numpy(ids[:, :-1])}, {"labels": torch.from_numpy(labels)}
        )

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the cross-entropy of each window's next tokens."""
        logits: Tensor = model(**batch.inputs)
        smoothing = self.label_smoothing if model.training else 0.0
        return cross_entropy(logits, batch.targets["labels"], label_smoothing=smoothing)

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return the negative log-likelihood of each window: ``{"nats": …}``."""
        losses = self.loss(model, batch)
        return [{"nats": nats} for nats in losses.sums.double().tolist()]

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return the model and how a prompt becomes its input."""
        read = {"fields": ["text"], **tokens(self.tokenizer), "context": self.context}
        said = continuations()
        about = meaning(self.name, read, said)
        return Product(model, Batch(dict(batch.inputs), {}), meaning=about)

    def target(self, example: Example) -> Any:
        """Return how many tokens and bytes a window predicts."""
        predicted = example["input_ids"][1:]
        return {
            "tokens": len(predicted),
            "bytes": int(self.tokenizer.token_bytes()[predicted].sum()),
        }

    def metrics(self) -> tuple[Metric, ...]:
        """Return loss (which decides the best checkpoint), perplexity and bits per byte."""
        return (Loss(), Perplexity(), BitsPerByte())

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return a unigram model and an interpolated Kneser-Ney 5-gram model."""
        tokens, size = train.flat("input_ids"), self.tokenizer.size
        return {
            "unigram": _Counted(Unigram(tokens, size)),
            "kneser-ney-5": _Counted(KneserNey(tokens, size)),
        }

    def generator(self, model: nn.Module) -> TextGenerator:
        """Return the generator that continues prompts, beyond the context too."""
        return TextGenerator(model, self.tokenizer, slide=True)

    def samples(self, model: nn.Module, count: int, seed: int) -> list[Any]:
        """Return texts drawn at temperature 1 from the end-of-text token on."""
        params = SamplingParams(max_tokens=self.sample_tokens, temperature=1.0, seed=seed)
        return [
            completion.text for completion in self.generator(model).generate("", params, n=count)
        ]

    def references(self, held_out: Examples, count: int, seed: int) -> list[Any]:
        """Return excerpts of unseen text, as long as samples."""
        tokens = held_out.flat("input_ids")
        room = max(1, len(tokens) - self.sample_tokens)
        starts = np.random.default_rng(seed).integers(0, room, count)
        return [
            self.tokenizer.decode(tokens[start : start + self.sample_tokens].tolist())
            for start in starts
        ]

    def sample_metrics(self, train: Examples) -> tuple[Metric, ...]:
        """Return diversity, repetition and the longest verbatim overlap with training text."""
        text = self.tokenizer.decode(train.flat("input_ids")[:SEARCHED_TOKENS].tolist())
        return (Distinct(n=1), Distinct(n=2), Repetition(), Memorisation().against(text))


class _Counted:
    """A model that counts, as a predictor of windows."""

    def __init__(self, model: Unigram | KneserNey) -> None:
        self._model = model

    def __call__(self, example: Example) -> Any:
        return {"nats": float(self._model.nats(example["input_ids"])[1:].sum())}


def _text(record: Record) -> str:
    text = record.get("text")
    if not isinstance(text, str):
        raise unusable(record, "text", "that is a string", also=", or build it by template")
    return text
