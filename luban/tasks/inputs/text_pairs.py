"""What tasks over one text, or two of them, share: an encoder reads, and one answer follows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, PrivateAttr

from luban.core.contracts import Example, Examples, Record, Signature, TargetSummary, View
from luban.core.errors import DataError
from luban.core.files import write_json
from luban.data.checks.set_apart import made_of
from luban.data.files.records import unusable
from luban.data.text.padding import SPECIALS, encoder_inputs, encoder_row
from luban.tasks.inputs.tokenized import TokenizedTask
from luban.tasks.parts.exports import tokens
from luban.tasks.parts.learned_files import read_learned

_FILE = "texts.json"


class PairTask(TokenizedTask, ABC):
    """A task that reads ``text``, and ``text_pair`` if the training records have one."""

    max_length: int = Field(
        default=128,
        ge=4,
        le=16_777_216,
        description="Tokens kept of an example; of two texts the longer is cut.",
    )
    _pairs: bool = PrivateAttr(default=False)

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with a vocabulary, and what the answers in training data tell.

        Raises:
            DataError: if no record has text and answer.
        """
        answers: dict[bool, Counter[Hashable]] = {True: Counter(), False: Counter()}

        def read() -> Iterator[str]:
            for one, two, answer in made_of(records, self._told):
                answers[two is not None][answer] += 1
                yield from [one] if two is None else [one, two]

        texts = read()
        tokenizer = self.tokenizer.learn(texts, SPECIALS)
        for _ in texts:  # a tokenizer that learns nothing need not have read them
            pass
        if not any(answers.values()):
            raise DataError("there are no training records to learn from.")
        pairs = answers[True].total() > answers[False].total()  # encoding sets the others apart
        task = self.model_copy(update={"tokenizer": tokenizer})
        task._pairs = pairs
        return task.learn_answers(answers[pairs])

    def _told(self, record: Record) -> tuple[str, str | None, Hashable]:
        return text_of(record), pair_of(record), self.answer(record)

    @abstractmethod
    def answer(self, record: Record) -> Hashable:
        """Return the answer a record gives, in a form that can be counted.

        Raises:
            DataError: if there is none, or it is none of this task.
        """

    @abstractmethod
    def learn_answers(self, answers: Counter[Any]) -> Self:
        """Return this task with what the answers of all training records tell."""

    @abstractmethod
    def encode_answer(self, record: Record) -> np.ndarray[Any, Any]:
        """Return the answer of a record as the array ``label``.

        Raises:
            DataError: as ``answer``.
        """

    def save(self, folder: Path) -> None:
        """Write the tokenizer and whether there are two texts."""
        super().save(folder)
        write_json(folder / _FILE, {"pairs": self._pairs})

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        task = super().load(folder)
        (task._pairs,) = read_learned(folder / _FILE, "pairs")
        return task

    def signature_for(self, outputs: int, labels: tuple[str, ...], problem: str) -> Signature:
        """Return the signature of a model that reads what this task encodes."""
        tokenizer = self.tokenizer
        return Signature(
            accepts="tokens",
            inputs=tokenizer.size,
            outputs=outputs,
            length=self.max_length,
            pad=tokenizer.pad,
            end=tokenizer.end,
            produces="label",
            start=tokenizer.special("start"),
            mask=tokenizer.special("mask"),
            segments=1 + max(tokenizer.frame(self._pairs).types),
            labels=labels,
            problem=problem,
        )

    def record_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a record without its answer."""
        names = ["text", "text_pair"] if self._pairs else ["text"]
        fields = {name: {"type": "string"} for name in names}
        return {"type": "object", "properties": fields, "required": names}

    def reading(self) -> dict[str, Any]:
        """Return how a record becomes inputs: for programs without Luban."""
        return {
            "fields": list(self.record_schema()["required"]),
            **tokens(self.tokenizer, self.max_length),
            "add_special_tokens": True,
            "truncation": "longest_first",
        }

    def encode(self, record: Record) -> Example:
        """Return ``input_ids`` with special tokens, ``token_type_ids`` of pairs, ``label``.

        Raises:
            DataError: for a record without text or answer.
        """
        return self.encode_batch([record])[0]

    def encode_input(self, record: Record) -> Example:
        """Return the same without ``label``.

        Raises:
            DataError: for a record without text.
        """
        example = self._inputs([record])[0]
        if not self.target_summary(example).count:
            raise unusable(record, "text", ", a string that is not blank")
        return example

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        """Encode many records, their texts on all cores."""
        return [
            {**example, "label": self.encode_answer(record)}
            for example, record in zip(self._inputs(records), records, strict=True)
        ]

    def _inputs(self, records: Sequence[Record]) -> list[Example]:
        first = self.tokenizer.encode_batch([text_of(record) for record in records])
        second: Sequence[list[int] | None] = [None] * len(records)
        if self._pairs:
            second = self.tokenizer.encode_batch([_pair_needed(record) for record in records])
        elif extra := next((r for r in records if pair_of(r) is not None), None):
            raise _mixed(extra, had=False)
        return [
            encoder_row(self.tokenizer, one, two, self.max_length)[0]
            for one, two in zip(first, second, strict=True)
        ]

    def target_summary(self, example: Example) -> TargetSummary:
        """One answer counts, unless there is no text at all to tell it from."""
        bare = len(example["input_ids"]) <= self.tokenizer.frame(self._pairs).size
        return TargetSummary(count=0 if bare else 1)

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return the examples, of some tokens each."""
        view = super().view(store, epoch, seed)
        return view.knowing(lengths=lambda: store.lengths("input_ids"))

    def inputs(self, examples: Sequence[Example]) -> Mapping[str, Any]:
        """Return what the model reads of examples."""
        return encoder_inputs(examples, self.tokenizer.pad)


def text_of(record: Record, field: str = "text") -> str:
    """Return a text of a record.

    Raises:
        DataError: if it has none.
    """
    text = record.get(field)
    if isinstance(text, str):
        return text
    raise unusable(record, field, "that is a string")


def pair_of(record: Record) -> str | None:
    """Return the second text of a record, if it has one."""
    return None if record.get("text_pair") is None else text_of(record, "text_pair")


def _pair_needed(record: Record) -> str:
    return text_of(record, "text_pair")


def _mixed(record: Record, *, had: bool) -> DataError:
    return DataError(
        "some records have a second text and others have none.",
        where=record.get("_where", ""),
        expected="a field 'text_pair'" if had else "no field 'text_pair', as in the records before",
        fix="give every record both texts, or drop the field.",
    )
