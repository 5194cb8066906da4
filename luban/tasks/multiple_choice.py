"""Choose the likeliest of several continuations: how language models are commonly examined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeGuard

import numpy as np
import torch
from pydantic import Field
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
from luban.core.errors import DataError, UnfitError
from luban.data.checks.set_apart import made_of
from luban.data.files.records import own_fields
from luban.data.text.padding import cut_at, ids_type, padded
from luban.metrics.choice_accuracy import ChoiceAccuracy
from luban.nn.losses import IGNORE, cross_entropy
from luban.tasks.inputs.tokenized import TokenizedTask
from luban.tasks.parts.exports import meaning, tokens

Array = np.ndarray[Any, Any]
_FORMS = "query and choices, or context_options and continuation"


class MultipleChoice(TokenizedTask):
    """Questions with choices, scored by the likelihood of each choice after the question.

    Records have ``query``, ``choices`` and ``gold`` (the place of the right one, from 0); or
    ``context_options``, ``continuation`` and ``gold``, where it is the context that varies.
    Training raises the likelihood of the right continuation.
    """

    context: int = Field(
        default=256,
        ge=4,
        le=16_777_216,
        description="Tokens read; the beginning of a longer query goes.",
    )
    delimiter: str = Field(
        default=" ", description="Between query and choice; its last blanks count as the choice's."
    )

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with a vocabulary learned from queries and choices."""
        return self._reading_with(self.tokenizer.learn(self._texts(records)))

    def signature(self) -> Signature:
        """Return vocabulary size, longest sequence and special tokens."""
        size, tokenizer = self.tokenizer.size, self.tokenizer
        begin = tokenizer.special("begin")
        return Signature(
            "tokens", size, size, self.context, tokenizer.pad, tokenizer.end, begin=begin
        )

    def encode(self, record: Record) -> Example:
        """Return what ``encode_input`` does, and the place of the right choice."""
        example = self.encode_input(record)
        return {**example, "gold": np.array(gold_in(record, len(example["sizes"])), np.uint16)}

    def encode_input(self, record: Record) -> Example:
        """Return every context with its continuation, encoded as one text.

        ``lengths``: tokens of each; ``asked``: how many of these are context; ``sizes``: bytes
        of each choice.
        """
        pairs = pairs_in(record)
        blank = len(self.delimiter.rstrip())
        before, after = self.delimiter[:blank], self.delimiter[blank:]
        asking = [first + before for first, _ in pairs]
        whole = [text + after + second for text, (_, second) in zip(asking, pairs, strict=True)]
        started = self.tokenizer.frame().before
        rows, asked = [], []
        encoded = zip(self.tokenizer.encode_spans(whole), asking, strict=True)
        for number, ((ids, spans), text) in enumerate(encoded):
            cut = cut_at(spans, len(text))
            context, choice = [*started, *ids[:cut]], ids[cut:]
            room = self.context - len(choice)
            if room < 1:
                raise UnfitError(
                    f"choice {number} does not fit into the context.",
                    where=record.get("_where", ""),
                    expected=f"at most {self.context - 1:,} tokens",
                    got=f"{len(choice):,} tokens",
                    fix="raise task.context.",
                )
            context = (context or [self.tokenizer.end])[-room:]
            rows.append([*context, *choice])
            asked.append(len(context))
        dtype = ids_type(self.tokenizer)
        return {
            "input_ids": np.concatenate([np.array(row, dtype) for row in rows]),
            "lengths": np.array([len(row) for row in rows], np.uint32),
            "asked": np.array(asked, np.uint32),
            "sizes": np.array([len(second.encode()) for _, second in pairs], np.uint32),
        }

    def record_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a question and its choices."""
        text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
        return {
            "type": "object",
            "properties": {"query": text, "choices": {**texts, "minItems": 2}},
            "required": ["query", "choices"],
        }

    def target_summary(self, example: Example) -> TargetSummary:
        """The tokens of the right choice are supervised."""
        gold = int(example["gold"])
        return TargetSummary(count=int(example["lengths"][gold] - example["asked"][gold]))

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return the questions, as long as all their sequences."""
        view = super().view(store, epoch, seed)
        return view.knowing(lengths=lambda: store.lengths("input_ids"))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Return the right sequence (the first, where that is not known) and all of them.

        Inputs are ``input_ids`` (B, T) and targets ``labels`` (B, T): what training reads. The
        targets ``choices`` and ``choice_labels`` (B, C, T) are what is scored; where an example
        has fewer than C choices, labels are ignored. ``sizes`` (B, C) are bytes, 0 for no choice.
        """
        pad, most = self.tokenizer.pad, max(len(example["lengths"]) for example in examples)
        rows, labels = [], []
        for example in examples:
            for row, asked in _sequences(example):
                rows.append(row[:-1])
                answer = row[1:].astype(np.int64)
                answer[: asked - 1] = IGNORE
                labels.append(answer)
            missing = most - len(example["lengths"])
            rows += [np.full(1, pad)] * missing
            labels += [np.full(1, IGNORE)] * missing
        choices = padded(rows, pad).view(len(examples), most, -1)
        choice_labels = padded(labels, IGNORE).view(len(examples), most, -1)
        right = torch.tensor([int(example.get("gold", 0)) for example in examples])
        every = torch.arange(len(examples))
        targets = {
            "labels": choice_labels[every, right],
            "choices": choices,
            "choice_labels": choice_labels,
            "sizes": padded([example["sizes"] for example in examples], 0, most),
        }
        return Batch({"input_ids": choices[every, right]}, targets)

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the cross-entropy of each right continuation."""
        logits: Tensor = model(**batch.inputs)
        return cross_entropy(logits, batch.targets["labels"])

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return the likeliest choice of each example.

        ``choice`` goes by the log-likelihood (``scores``), ``normalised_choice`` by the
        log-likelihood per byte (``normalised_scores``).
        """
        targets = batch.targets
        choices = targets["choices"]
        logits: Tensor = model(input_ids=choices.flatten(0, 1))
        found = cross_entropy(logits, targets["choice_labels"].flatten(0, 1))
        scores_BC = -found.sums.double().view(choices.shape[:2])
        predictions = []
        for scores, sizes in zip(scores_BC.tolist(), targets["sizes"].tolist(), strict=True):
            there = [(score, size) for score, size in zip(scores, sizes, strict=True) if size]
            plain = [score for score, _ in there]
            normalised = [score / size for score, size in there]
            predictions.append(
                {
                    "choice": plain.index(max(plain)),
                    "scores": plain,
                    "normalised_choice": normalised.index(max(normalised)),
                    "normalised_scores": normalised,
                }
            )
        return predictions

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return the model and how a question becomes one sequence for each choice."""
        cut = len(self.delimiter.rstrip())
        read = {
            "fields": ["query", "choices"],
            **tokens(self.tokenizer),
            "context": self.context,
            "after_query": self.delimiter[:cut],
            "before_choice": self.delimiter[cut:],
            "rule": "query + after_query + before_choice + choice encoded as one text, after what "
            "the tokenizer puts before texts; the choice begins with the first token that reaches "
            "beyond after_query; eos_token_id before it if nothing is; the first tokens are cut "
            "if there are more than context",
        }
        said = {
            "rule": "the score of a choice is the sum of the log-softmax of its tokens, each "
            "after those before it; normalised, divided by the bytes of the choice"
        }
        about = meaning(self.name, read, said)
        return Product(model, Batch(dict(batch.inputs), {}), meaning=about)

    def target(self, example: Example) -> Any:
        """Return the place of the right choice."""
        return {"choice": int(example["gold"])}

    def reachable(self, example: Example) -> Any:
        """Return the right choice; the first of those that became the same tokens."""
        rows = [(row.tolist(), asked) for row, asked in _sequences(example)]
        return {"choice": rows.index(rows[int(example["gold"])])}

    def metrics(self) -> tuple[Metric, ...]:
        """Return the accuracy of likelihoods, as they are and per byte."""
        return (ChoiceAccuracy(), ChoiceAccuracy(normalised=True))

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return chance, as its expected value, and the longest choice."""

        def chance(example: Example) -> Any:
            return {"choice": list(range(len(example["sizes"])))}

        def longest(example: Example) -> Any:
            return {"choice": np.flatnonzero(example["sizes"] == example["sizes"].max()).tolist()}

        return {"chance": chance, "longest": longest}

    def _texts(self, records: Iterable[Record]) -> Iterator[str]:
        for pairs in made_of(records, pairs_in):
            yield from dict.fromkeys(text for pair in pairs for text in pair)


def _sequences(example: Example) -> Iterator[tuple[Array, int]]:
    """Yield each context with its continuation, and how many of its tokens are context."""
    ends = np.cumsum(example["lengths"], dtype=np.int64)
    rows = np.split(example["input_ids"], ends[:-1])
    yield from zip(rows, example["asked"].tolist(), strict=True)


def pairs_in(record: Record) -> list[tuple[str, str]]:
    """Return each (context, continuation) of a record.

    Raises:
        DataError: naming the row and what is missing.
    """
    query, choices = record.get("query"), record.get("choices")
    contexts, continuation = record.get("context_options"), record.get("continuation")
    if isinstance(query, str) and _is_texts(choices):
        return [(query, choice) for choice in choices]
    if _is_texts(contexts) and isinstance(continuation, str) and continuation.strip():
        return [(context, continuation) for context in contexts]
    raise DataError(
        "the record is no question with choices.",
        where=record.get("_where", ""),
        expected=f"{_FORMS}: at least two, none of them blank",
        got=", ".join(f"{key}: {type(v).__name__}" for key, v in own_fields(record).items()),
        fix="name the fields with data.source.fields: {query: YOURS, choices: YOURS}.",
    )


def _is_texts(value: Any) -> TypeGuard[Sequence[str]]:
    """Return whether a value is a list of at least two texts, none of them blank."""
    if not isinstance(value, list | tuple) or len(value) < 2:
        return False
    return all(isinstance(item, str) and item.strip() for item in value)


def gold_in(record: Record, count: int) -> int:
    """Return the place of the right choice.

    Raises:
        DataError: naming the row, if it is not one of the choices.
    """
    gold = record.get("gold")
    if isinstance(gold, bool) or not isinstance(gold, int) or not 0 <= gold < count:
        raise DataError(
            "the record does not say which choice is right.",
            where=record.get("_where", ""),
            expected=f"gold: a whole number from 0 to {count - 1}",
            got=gold,
        )
    return gold
