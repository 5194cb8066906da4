"""Find the entities in a text: names, places, titles, each with its type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import torch
from pydantic import Field, PrivateAttr, model_validator
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
from luban.core.errors import DataError
from luban.core.files import write_json
from luban.data.checks.set_apart import made_of
from luban.data.text.padding import SPECIALS, as_bytes, encoder_inputs, encoder_row, padded
from luban.data.text.tagging import Scheme, entities_of, forbidden, labels_of, tags_of
from luban.data.text.words import EncodedWords, encode_words
from luban.metrics.entity_f1 import EntityF1
from luban.nn.crf import viterbi
from luban.nn.losses import IGNORE, cross_entropy
from luban.tasks.answers.entities import (
    FITTINGS,
    SPELLED,
    FrequentTags,
    SchemeFinder,
    Words,
    gold_in,
    in_characters,
    kinds_in,
    on_words,
    sides_of,
    words_in,
)
from luban.tasks.inputs.tokenized import TokenizedTask
from luban.tasks.parts.exports import tagger
from luban.tasks.parts.learned_files import read_learned
from luban.tasks.parts.unknown_labels import unknown_label

Array: TypeAlias = "np.ndarray[Any, Any]"
_FILE = "tags.json"
_NEVER = -1e9  #: the score of what the scheme forbids
_NONE = -1  #: where a row has no further word
_APART = "texts encoded word by word, as a token of the whole stands for parts of two words"


class TokenClassification(TokenizedTask):
    """Named entities: ``tokens`` with ``tags``, or ``text`` with ``entities``.

    Tags of any scheme are read; the model learns those of ``scheme``, on the first sub-token of
    each word. What it predicts always is a valid sequence: the best one (Viterbi).
    """

    max_length: int = Field(
        default=128,
        ge=4,
        le=16_777_216,
        description="Tokens kept of a text; entities beyond are not found.",
    )
    scheme: Literal["bio", "bioes"] = Field(
        default="bio", description="The tags that the model learns; bioes also marks the ends."
    )
    tags: Literal["auto", "bio", "iob1", "bioes", "bmes", "bilou"] = Field(
        default="auto", description="The tags of the data; auto: what all training rows are."
    )
    malformed: Literal["refuse", "mend"] = Field(
        default="refuse",
        description=(
            "Rows whose tags break their scheme; mend: what goes on from nothing begins there, and "
            "what never ends ends where it stops."
        ),
    )
    units: Literal["words", "characters"] = Field(
        default="words",
        description=(
            "What is tagged in a `text`, where entities can begin and end: words, or each "
            "character (for entities within words, as in Korean)."
        ),
    )
    crf: bool = Field(
        default=False, description="Let the model learn which tags follow each other (a CRF)."
    )
    outside_weight: float = Field(
        default=1.0,
        gt=0,
        description="What a word outside of entities weighs in the loss; below 1, more is found.",
    )
    _types: tuple[str, ...] = PrivateAttr(default=())
    _written: Scheme = PrivateAttr(default="bio")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.crf and self.outside_weight != 1:
            raise ValueError("a chain scores whole sequences: crf has no outside_weight")
        return self

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with a vocabulary, the types, and the scheme of the data.

        Raises:
            DataError: if no record has words and entities, or none of them an entity.
        """
        types: set[str] = set()
        finder = SchemeFinder()

        def read() -> Iterator[str]:
            for words, tags, kinds in made_of(records, self._told):
                finder.see(tags)
                types.update(kinds)
                yield words.text

        texts = read()
        cutter = self.tokenizer.on_words(self.units == "characters")
        tokenizer = cutter.learn(texts, SPECIALS)
        for _ in texts:  # a tokenizer that learns nothing need not have read them
            pass
        task = self.model_copy(update={"tokenizer": tokenizer})
        task._written = finder.found() if self.tags == "auto" else SPELLED[self.tags]
        task._types = tuple(sorted(types))
        if not types:
            raise DataError(
                "no training record has an entity.",
                expected="tags other than O, or entities",
                fix="look at what data.source reads: the last column may not be that of the tags.",
            )
        return task

    def save(self, folder: Path) -> None:
        """Write the tokenizer, the types and the scheme of the data."""
        super().save(folder)
        write_json(folder / _FILE, {"types": self._types, "tags": self._written})

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        task = super().load(folder)
        types, task._written = read_learned(folder / _FILE, "types", "tags")
        task._types = tuple(types)
        return task

    def _told(self, record: Record) -> tuple[Words, Sequence[str], set[str]]:
        words = self._words(record)
        return words, *kinds_in(record, words)

    def _words(self, record: Record) -> Words:
        return words_in(record, characters=self.units == "characters")

    @property
    def _mend(self) -> bool:
        return self.malformed == "mend"

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags the model learns."""
        return labels_of(self._types, self.scheme)

    def signature(self) -> Signature:
        """Return vocabulary, tags, and whether neighbours are scored together."""
        tokenizer = self.tokenizer
        return Signature(
            accepts="tokens",
            inputs=tokenizer.size,
            outputs=len(self.labels),
            length=self.max_length,
            pad=tokenizer.pad,
            end=tokenizer.end,
            produces="tags",
            start=tokenizer.special("start"),
            mask=tokenizer.special("mask"),
            labels=self.labels,
            chain=self.crf,
        )

    def record_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a record without its entities."""
        return {
            "type": "object",
            "properties": {
                "text": {"type": "string", "minLength": 1},
                "tokens": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            },
            "anyOf": [{"required": ["text"]}, {"required": ["tokens"]}],
        }

    def encode(self, record: Record) -> Example:
        """Return what ``encode_input`` does, with the tag of each word and the entities."""
        return self.encode_batch([record])[0]

    def encode_input(self, record: Record) -> Example:
        """Return ``input_ids``, the position of each word, and the text with its words."""
        return self._encoded([self._words(record)])[0]

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        """Encode many records, their words on all cores."""
        rows = [self._words(record) for record in records]
        return [
            {**example, **self._gold(record, words, len(example["firsts"]))}
            for record, words, example in zip(records, rows, self._encoded(rows), strict=True)
        ]

    def _encoded(self, rows: Sequence[Words]) -> list[Example]:
        texts = [(row.text, row.spans) for row in rows]
        encoded = encode_words(self.tokenizer, texts)
        return [self._row(row, ids) for row, ids in zip(rows, encoded, strict=True)]

    def _row(self, row: Words, encoded: EncodedWords) -> Example:
        ids = encoder_row(self.tokenizer, encoded.ids, None, self.max_length)[0]["input_ids"]
        frame = self.tokenizer.frame()
        start, room = len(frame.before), self.max_length - len(frame.after)
        firsts = [start + first for first in encoded.firsts]
        return {
            "input_ids": ids,
            "firsts": np.array([first for first in firsts if first < room], np.int32),
            "apart": np.array(encoded.apart),
            "spans": np.array(row.spans, np.int32),
            "text": as_bytes(row.text),
            "given": np.array(row.given),
        }

    def _gold(self, record: Record, words: Words, kept: int) -> Example:
        entities = gold_in(record, words, self._written, mend=self._mend)
        for kind, _, _ in entities:
            if kind not in self._types:
                what = f"no training record has an entity of the type {kind!r}."
                raise unknown_label(kind, self._types, record, what)
        fitted, changed = on_words(entities, words)
        tags = tags_of(fitted, len(words.spans), self.scheme)
        told = in_characters(fitted, words)
        numbers = {label: number for number, label in enumerate(self.labels)}
        return {
            "labels": np.array([numbers[tag] for tag in tags[:kept]], np.int32),
            "entities": np.array(
                [(self._types.index(kind), start, end) for kind, start, end in told], np.int32
            ).reshape(-1, 3),
            "changed": np.array(changed, np.uint16),
        }

    def target_summary(self, example: Example) -> TargetSummary:
        """Every word that was kept is supervised, by its first sub-token.

        Entities in characters are adjusted to whole words, which are all that is predicted.
        """
        kept, cut = len(example["firsts"]), len(example["firsts"]) < len(example["spans"])
        changed = dict(zip(FITTINGS, example["changed"].tolist(), strict=True))
        notes = {**changed, _APART: int(example["apart"])}
        return TargetSummary(kept, truncated=cut, adjusted=any(changed.values()), notes=notes)

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return the examples, of some tokens each."""
        view = super().view(store, epoch, seed)
        return view.knowing(lengths=lambda: store.lengths("input_ids"))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Return what an encoder reads; the positions of words; and what predictions are made of.

        Shapes: ``firsts`` and ``labels`` (B, W), ``spans`` (B, V, 2) with all words, those beyond
        ``max_length`` too, ``text`` (B, bytes).
        """
        targets = {
            "firsts": padded([example["firsts"] for example in examples], _NONE),
            "words": torch.tensor([len(example["spans"]) for example in examples]),
            "given": torch.tensor([bool(example["given"]) for example in examples]),
            "text": padded([example["text"] for example in examples], 0),
            "bytes": torch.tensor([len(example["text"]) for example in examples]),
        }
        spans = [padded([example["spans"][:, side] for example in examples], 0) for side in (0, 1)]
        targets["spans"] = torch.stack(spans, 2)
        if all("labels" in example for example in examples):
            targets["labels"] = padded([example["labels"] for example in examples], IGNORE)
        return Batch(encoder_inputs(examples, self.tokenizer.pad), targets)

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the cross-entropy of each word's tag; with a chain, that of all tags together."""
        emissions, mask = _emissions(model, batch)
        labels = batch.targets["labels"]
        if self.crf:
            likelihood = model.transitions.log_likelihood(emissions, labels, mask)  # type: ignore[operator, union-attr]
            return Losses(-likelihood, mask.sum(1).to(likelihood.dtype))
        weight = None
        if self.outside_weight != 1:
            weight = emissions.new_ones(emissions.shape[-1])
            weight[0] = self.outside_weight
        return cross_entropy(emissions, labels, weight=weight)

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return ``{"entities": [{"type", "start", "end", "text", "score"}], "tags"}``.

        Places are words where words were given, else characters. The score of an entity is the
        mean probability of its tags. A text that was cut has ``"truncated": true``.
        """
        emissions, mask = _emissions(model, batch)
        tables = forbidden(self.labels, self.scheme)
        penalties = [emissions.new_tensor(np.where(table, _NEVER, 0.0)) for table in tables]
        if self.crf:
            chain: Any = model.transitions
            best = chain.decode(emissions, mask, penalties)
            chances = chain.marginals(emissions, mask)
        else:
            logs = emissions.log_softmax(-1)
            best, chances = viterbi(logs, mask, *penalties), logs.exp()
        return [
            self._said(numbers, chance, side)
            for numbers, chance, side in zip(best, chances.cpu(), sides_of(batch), strict=True)
        ]

    def _said(self, numbers: list[int], chances_WC: Tensor, side: Mapping[str, Any]) -> Any:
        scores = chances_WC[torch.arange(len(numbers)), numbers].tolist()
        tags = [self.labels[number] for number in numbers]
        cut = side["words"] - len(tags)
        found = []
        for kind, start, end in entities_of(tags, self.scheme):
            first, last = side["spans"][start][0], side["spans"][end - 1][1]
            places = (start, end) if side["given"] else (first, last)
            found.append(
                {
                    "type": kind,
                    "start": places[0],
                    "end": places[1],
                    "text": side["text"][first:last],
                    "score": sum(scores[start:end]) / (end - start),
                }
            )
        answer = {"entities": found, "tags": [*tags, *["O"] * cut]}
        return {**answer, "truncated": True} if cut else answer

    def reachable(self, example: Example) -> Any:
        """Return what the tags that are learned say: no entity beyond ``max_length``."""
        (side,) = sides_of(self.collate([example]))
        numbers = example["labels"].tolist()
        return self._said(numbers, torch.zeros(len(numbers), len(self.labels)), side)

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return the model; words and tags are found around it, as ``inference.json`` tells."""
        return tagger(self, model, batch, model.transitions if self.crf else None)

    def target(self, example: Example) -> Any:
        """Return the entities of an example, those beyond ``max_length`` too."""
        return {
            "entities": [
                {"type": self._types[kind], "start": start, "end": end}
                for kind, start, end in example["entities"].tolist()
            ]
        }

    def metrics(self) -> tuple[Metric, ...]:
        """Return F1, precision and recall of whole entities, and F1 by type."""
        return (
            EntityF1(),
            EntityF1(score="precision"),
            EntityF1(score="recall"),
            *(EntityF1(type=kind) for kind in self._types),
        )

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the tag that each word had most often in training; ``O`` for a new one."""
        frequent = FrequentTags(train)

        def tagged(example: Example) -> Any:
            numbers = frequent(example)
            (side,) = sides_of(self.collate([example]))
            return self._said(numbers, torch.zeros(len(numbers), len(self.labels)), side)

        return {"most-frequent-tag": tagged}


def _emissions(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the scores of each word's tags (B, W, C) in float32, and which words are real."""
    logits: Tensor = model(**batch.inputs)
    firsts = batch.targets["firsts"]
    index = firsts.clamp(min=0).unsqueeze(2).expand(-1, -1, logits.shape[2])
    emissions = logits.gather(1, index)
    return emissions.to(torch.promote_types(emissions.dtype, torch.float32)), firsts != _NONE
