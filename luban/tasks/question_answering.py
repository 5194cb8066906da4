"""Answer a question with a piece of a text, or say that the text does not tell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import torch
from pydantic import Field, PrivateAttr, model_validator
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Baseline,
    Example,
    Examples,
    Illustrated,
    Metric,
    Product,
    Record,
    Signature,
    TargetSummary,
    View,
)
from luban.core.errors import DataError
from luban.core.files import write_json
from luban.core.unicode_text import without_blanks
from luban.data.checks.set_apart import made_of
from luban.data.text.padding import SPECIALS, as_bytes, as_text, ids_type, padded
from luban.metrics.answer_f1 import AnswerF1
from luban.metrics.exact_match import ExactMatch
from luban.nn.losses import IGNORE, cross_entropy
from luban.tasks.answers.answer_spans import (
    Answer,
    Cutter,
    WindowView,
    answer_at,
    answer_texts,
    answers_in,
    best_no_answer_threshold,
    most_alike,
    places_of,
    text_in,
)
from luban.tasks.answers.calibration import HALF
from luban.tasks.inputs.tokenized import TokenizedTask
from luban.tasks.parts.exports import asker
from luban.tasks.parts.learned_files import read_learned

Array: TypeAlias = "np.ndarray[Any, Any]"
_FILE = "answers.json"
_FACTS = ("language", "unanswerable", "threshold")
_LOOKED_AT = 100_000  #: characters of contexts that tell the language
_NEVER = -1e9  #: the score of what is no answer


class QuestionAnswering(TokenizedTask, Illustrated):
    """Extractive answers, as in SQuAD: the span of the ``context`` that answers a ``question``.

    ``answers`` are ``{text, start}``; an empty list says that the context has none. A long context
    is read in windows that overlap, and the best span of all of them is the answer. The score is
    the probability among all spans and "no answer".
    """

    adjustable: ClassVar[Mapping[str, tuple[float, float]]] = {"max_answer_length": (1, 1000)}

    max_length: int = Field(
        default=384, ge=8, le=16_777_216, description="Tokens of question and window."
    )
    doc_stride: int = Field(
        default=128,
        ge=0,
        le=16_777_216,
        description="Tokens that neighbouring windows of a context share.",
    )
    max_question_length: int = Field(
        default=64, ge=1, le=16_777_216, description="Tokens kept of a question."
    )
    max_answer_length: int = Field(
        default=30, ge=1, le=16_777_216, description="Tokens an answer has at most."
    )
    language: Literal["auto", "en", "zh"] = Field(
        default="auto", description="How answers are compared; auto: as contexts are written."
    )
    _written: Literal["en", "zh"] = PrivateAttr(default="en")
    _unanswerable: bool = PrivateAttr(default=False)
    _threshold: float = PrivateAttr(default=HALF)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        least = self.max_question_length + 3 + self.doc_stride + 1
        if self.max_length < least:
            raise ValueError(
                f"max_length must be {least} at least: max_question_length, doc_stride, "
                "3 special tokens, and one to go on by"
            )
        return self

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with a vocabulary, the language, and whether some have no answer."""
        task = self.model_copy()
        looked, last = "", ""

        def read() -> Iterator[str]:
            nonlocal looked, last
            for question, context, answers in made_of(records, _told):
                task._unanswerable |= not answers
                yield question
                if context != last:
                    yield context
                    looked += context if len(looked) < _LOOKED_AT else ""
                last = context

        texts = read()
        tokenizer = self.tokenizer.learn(texts, SPECIALS)
        for _ in texts:  # a tokenizer that learns nothing need not have read them
            pass
        cutter = Cutter(tokenizer, self.max_length, self.doc_stride)
        cutter.check_room(self.max_question_length)
        found: Literal["en", "zh"] = "zh" if without_blanks(looked) else "en"
        task._written = found if self.language == "auto" else self.language
        return task._reading_with(tokenizer)

    def save(self, folder: Path) -> None:
        """Write the tokenizer, the language, and when to say that there is no answer."""
        super().save(folder)
        facts = (self._written, self._unanswerable, self._threshold)
        write_json(folder / _FILE, dict(zip(_FACTS, facts, strict=True)))

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        task = super().load(folder)
        found = read_learned(folder / _FILE, *_FACTS)
        task._written, task._unanswerable, task._threshold = found
        return task

    def signature(self) -> Signature:
        """Return the vocabulary; what comes out is whether an answer begins and ends."""
        tokenizer = self.tokenizer
        return Signature(
            accepts="tokens",
            inputs=tokenizer.size,
            outputs=2,
            length=self.max_length,
            pad=tokenizer.pad,
            end=tokenizer.end,
            produces="span",
            start=tokenizer.special("start"),
            mask=tokenizer.special("mask"),
            segments=1 + max(tokenizer.frame(pair=True).types),
        )

    def record_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a question with its context."""
        text = {"type": "string", "minLength": 1}
        return {
            "type": "object",
            "properties": {"question": text, "context": text},
            "required": ["question", "context"],
        }

    def encode(self, record: Record) -> Example:
        """Return what ``encode_input`` does, with the answers and where they stand."""
        return self.encode_batch([record])[0]

    def encode_input(self, record: Record) -> Example:
        """Return question and whole context as ids, and the characters of each context token."""
        return self._encoded([record])[0]

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        """Encode many records on all cores, each context once."""
        return [
            {**example, **self._gold(record, example)}
            for record, example in zip(records, self._encoded(records), strict=True)
        ]

    def _encoded(self, records: Sequence[Record]) -> list[Example]:
        contexts = {text_in(record, "context"): 0 for record in records}
        spans = self.tokenizer.encode_spans(list(contexts))
        known = dict(zip(contexts, spans, strict=True))
        for record in records:
            if not known[record["context"]][0]:
                raise DataError(
                    "the tokenizer keeps nothing of the context.",
                    where=record.get("_where", ""),
                    got=record["context"],
                )
        questions = self.tokenizer.encode_batch([text_in(record, "question") for record in records])
        dtype = ids_type(self.tokenizer)
        return [
            {
                "question_ids": np.array(question[: self.max_question_length], dtype),
                "context_ids": np.array(known[record["context"]][0], dtype),
                "spans": np.array(known[record["context"]][1], np.int32).reshape(-1, 2),
                "text": as_bytes(record["context"]),
            }
            for question, record in zip(questions, records, strict=True)
        ]

    def _gold(self, record: Record, example: Example) -> Example:
        answers = answers_in(record)
        texts = json.dumps([text for text, _ in answers], ensure_ascii=False)
        places = places_of(record, answers, record["context"], example["spans"])
        return {"answers": as_bytes(texts), "places": places}

    def target_summary(self, example: Example) -> TargetSummary:
        """Both ends of the answer are supervised in each window of the context."""
        sizes = (np.array(len(example[name])) for name in ("question_ids", "context_ids"))
        return TargetSummary(count=2 * int(self._cutter.counts(*sizes)))

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return windows to train on; for evaluation, questions with their whole contexts."""
        sides = ("question_ids", "context_ids")
        if epoch is None:
            whole = super().view(store, epoch, seed)
            return whole.knowing(lengths=lambda: np.sum([*map(store.lengths, sides)], axis=0))
        windows = WindowView(store, self._cutter)
        return windows.knowing(lengths=lambda: self._cutter.lengths(*map(store.lengths, sides)))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Return inputs (B, T), or (B, W, T) if a context has W > 1 windows, padded in both.

        Examples are windows, or questions with whole contexts. In the targets, ``places`` has the
        context token of each position (-1 elsewhere), ``begins`` where an answer may begin.
        """
        rows = [[e] if "offset" in e else self._cutter.windows(e) for e in examples]
        most = max(map(len, rows))
        none: Example = {name: np.zeros(0, np.int64) for name in ("input_ids", "token_type_ids")}
        flat = [window for row in rows for window in [*row, *[none] * (most - len(row))]]
        ids = padded([window["input_ids"] for window in flat], self.tokenizer.pad)
        size = ids.shape[1]
        places, begins = np.full(ids.shape, -1), np.zeros(ids.shape, bool)
        labels = np.full((len(flat), 2), IGNORE)
        for i, window in enumerate(flat):
            if "begins" in window:
                at = self._cutter.shown(window)
                places[i, at] = np.arange(len(window["begins"])) + int(window["offset"])
                begins[i, at] = window["begins"]
                labels[i] = window.get("labels", IGNORE)
        kept = padded([np.ones(len(window["input_ids"]), np.int64) for window in flat], 0)
        inputs = {
            "input_ids": ids,
            "attention_mask": kept,
            "token_type_ids": padded([window["token_type_ids"] for window in flat], 0),
        }
        targets = {"places": torch.from_numpy(places), "begins": torch.from_numpy(begins)}
        if all("labels" in row[0] for row in rows):
            targets["labels"] = torch.from_numpy(labels)
        shape = (len(rows), most) if most > 1 else (len(rows),)
        inputs = {name: tensor.view(*shape, size) for name, tensor in inputs.items()}
        targets = {name: tensor.view(*shape, -1) for name, tensor in targets.items()}
        return Batch(inputs, targets | _sources(examples))

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the cross-entropy of where the answer begins and of where it ends, both counted.

        In a window without the whole answer, the first token stands for "not here".
        """
        logits, places = _logits(model, batch)
        allowed = places >= 0
        allowed[..., 0] = True
        sides = logits.masked_fill(~allowed.unsqueeze(-1), _NEVER).transpose(-1, -2)
        return cross_entropy(sides, batch.targets["labels"].view(sides.shape[:3]))

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return ``{"answer", "start", "end", "score", "no_answer"}``; places are characters.

        Where no answer is likelier than the threshold found on validation data, and training data
        had such questions, the answer is empty and has no place.
        """
        found = self._best(model, batch)
        for answer in found:
            if self._unanswerable and answer["no_answer"] > self._threshold:
                answer |= {"answer": "", "start": None, "end": None, "score": answer["no_answer"]}
        return found

    def _best(self, model: nn.Module, batch: Batch) -> list[dict[str, Any]]:
        """Return the likeliest span of each example, and the probability that there is none."""
        logits, places = _logits(model, batch)
        begins = batch.targets["begins"].view(places.shape)
        starts = logits[..., 0].masked_fill(~begins, _NEVER)
        ends = logits[..., 1].masked_fill(places < 0, _NEVER)
        longest = self.max_answer_length
        ahead = nn.functional.pad(ends, (0, longest - 1), value=_NEVER).unfold(-1, longest, 1)
        scores = (starts.unsqueeze(-1) + ahead).flatten(1)  # (B, windows x positions x lengths)
        # A window that holds an answer is sure of it: the surest decides (Devlin et al. 2018).
        absent = logits[:, :, 0].sum(-1).masked_fill(~(places >= 0).any(-1), -_NEVER).amin(1)
        total = torch.cat([scores, absent.unsqueeze(1)], 1).logsumexp(1)
        value, index = scores.max(1)
        first = places.flatten(1).gather(1, (index // longest).unsqueeze(1)).squeeze(1)
        last = first + index % longest
        sides = (first, last, (value - total).exp(), (absent - total).exp())
        answers = []
        for row, (a, b, score, none) in enumerate(zip(*(s.tolist() for s in sides), strict=True)):
            text = as_text(batch.targets["text"][row, : batch.targets["bytes"][row]].cpu().numpy())
            place = answer_at(text, batch.targets["spans"][row], a, b)
            answers.append({**place, "score": score, "no_answer": none})
        return answers

    def calibrate(self, model: nn.Module, batches: Iterable[Batch]) -> Self:
        """Return this task with the threshold of "no answer" that improves F1, else 0.5."""
        if not self._unanswerable:
            return self
        metric, rows = AnswerF1(language=self._written), []
        for batch in batches:
            for answer, true in zip(self._best(model, batch), _answers(batch), strict=True):
                target = {"answers": true}
                gains = (
                    metric.statistics(answer, target)[0],
                    metric.statistics({"answer": ""}, target)[0],
                )
                rows.append((answer["no_answer"], *gains))
        task = self.model_copy()
        task._threshold = best_no_answer_threshold(np.array(rows).reshape(-1, 3))
        return task

    def reachable(self, example: Example) -> Any:
        """Return the best of the answers that are learned: whole tokens, as far as one window goes.

        Where there is none it is empty if training data had such questions, else it cannot be.
        """
        places = example["places"].tolist()
        if not places and self._unanswerable:
            return {"answer": "", "start": None, "end": None}
        text, metric, target = as_text(example["text"]), self.metrics()[0], self.target(example)
        spans = self._cutter.reachable(example, places or [(0, 0)], self.max_answer_length)
        found = [answer_at(text, example["spans"], first, last) for first, last in spans]
        return max(found, key=lambda answer: metric.statistics(answer, target))

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return the model of one window; windows and answers are made around it."""
        return asker(self, model, batch, self._threshold if self._unanswerable else None)

    def target(self, example: Example) -> Any:
        """Return ``{"answers": [...]}``, empty if there is none."""
        return {"answers": answer_texts(example["answers"])}

    def metrics(self) -> tuple[Metric, ...]:
        """Return F1 of answers, which decides the best checkpoint, and exact matches."""
        return (AnswerF1(language=self._written), ExactMatch(language=self._written))

    def describe(self, example: Example, prediction: Any, target: Any) -> Mapping[str, str]:
        """Return the question, the passage, the right answers, and the one that was found."""
        question = self.tokenizer.decode(example["question_ids"].tolist())
        texts = {"question": question, "context": as_text(example["text"])}
        if target is not None:
            texts["reference"] = " | ".join(target["answers"]) or "(no answer)"
        return {**texts, "prediction": prediction["answer"] or "(no answer)"}

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the sentence of the context that shares most tokens with the question."""
        return {"most-alike-sentence": most_alike}

    @property
    def _cutter(self) -> Cutter:
        return Cutter(self.tokenizer, self.max_length, self.doc_stride)


def _told(record: Record) -> tuple[str, str, Sequence[Answer]]:
    return text_in(record, "question"), text_in(record, "context"), answers_in(record)


def _logits(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return logits (B, W, T, 2), at least float32, and ``places`` (B, W, T)."""
    inputs, places = batch.inputs, batch.targets["places"]
    if places.dim() == 2:
        logits, places = model(**inputs).unsqueeze(1), places.unsqueeze(1)
    else:  # windows that are only there to fill up are not read
        real = inputs["attention_mask"].any(-1)
        read: Tensor = model(**{name: tensor[real] for name, tensor in inputs.items()})
        logits = read.new_zeros(*places.shape, 2).masked_scatter(real[..., None, None], read)
    return logits.to(torch.promote_types(logits.dtype, torch.float32)), places


def _sources(examples: Sequence[Example]) -> dict[str, Tensor]:
    """Return what answers are cut from: text, places of tokens; and true answers, if known."""
    if "offset" in examples[0]:
        return {}
    spans = [padded([example["spans"][:, side] for example in examples], 0) for side in (0, 1)]
    found = {
        "spans": torch.stack(spans, 2),
        "text": padded([example["text"] for example in examples], 0),
        "bytes": torch.tensor([len(example["text"]) for example in examples]),
    }
    if all("answers" in example for example in examples):
        found["answers"] = padded([example["answers"] for example in examples], ord(" "))
    return found


def _answers(batch: Batch) -> list[list[str]]:
    return [answer_texts(row) for row in batch.targets["answers"].cpu().numpy()]
