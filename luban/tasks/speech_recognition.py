"""Write down what is said: transcripts of recordings, by CTC."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PrivateAttr, model_validator
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.colors import RED
from luban.core.contracts import (
    MEASUREMENTS,
    Baseline,
    Example,
    Examples,
    Illustrated,
    Metric,
    Product,
    Record,
    Signature,
    Statistics,
    TargetSummary,
    Tokenizer,
)
from luban.core.errors import DataError, UnfitError
from luban.core.files import write_json
from luban.data.checks.set_apart import made_of
from luban.data.files.records import unusable
from luban.data.text.padding import as_bytes, as_text, ids_type, padded
from luban.data.tokenizers.char import Char
from luban.inference.ctc import ADJUSTABLE, Search
from luban.metrics.character_error_rate import CharacterErrorRate
from luban.metrics.real_time_factor import RealTimeFactor
from luban.metrics.word_error_rate import WordErrorRate
from luban.tasks.answers.calibration import kept
from luban.tasks.answers.transcripts import (
    LANGUAGE_MODEL,
    Continuations,
    changes,
    lines_of,
    needed,
    shortened,
    written,
)
from luban.tasks.inputs.audio import SoundTask
from luban.tasks.inputs.tokenized import TokenizedTask
from luban.tasks.parts.exports import filters_of, meaning, tokens, transcripts
from luban.tasks.parts.learned_files import read_learned

Array: TypeAlias = "np.ndarray[Any, Any]"

_LOOKED = 8  #: batches by which the language model is weighed, and whose recognition is timed
_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)


class SpeechRecognition(TokenizedTask, SoundTask, Illustrated):
    """Speech to text: ``audio`` with its ``text``.

    Connectionist temporal classification (Graves et al. 2006): the loss is -log of the
    probability of all alignments of the transcript, and counts its tokens. The padding token is
    the blank. A beam search may ask a language model of the training transcripts.
    """

    adjustable: ClassVar[Mapping[str, tuple[float, float]]] = ADJUSTABLE

    tokenizer: Tokenizer = Field(default=Char())
    lowercase: bool = Field(default=False, description="Transcripts are learned in lower case.")
    strip_punctuation: bool = Field(
        default=False, description="Transcripts are learned without punctuation."
    )
    num_beams: int = Field(
        default=1, ge=1, le=1000, description="Texts kept in the search; 1: the likeliest path."
    )
    lm_order: int = Field(
        default=0,
        ge=0,
        le=10,
        description="Tokens of the longest n-gram of the language model; 0: there is none.",
    )
    lm_text: str | None = Field(
        default=None, description="A file of further text for the language model, line by line."
    )
    lm_weight: float | None = Field(
        default=None,
        ge=0,
        description=(
            "What the language model counts beside the sounds. None: that, of 0 to 2, with which "
            "the fewest words of validation data are wrong when training ends; 0 unless, by "
            "cross-validation, fewer are wrong than without it."
        ),
    )
    token_bonus: float = Field(
        default=0.0, description="What each token of a text adds to its log-probability."
    )
    _language: Continuations | None = PrivateAttr(default=None)
    _weight: float = PrivateAttr(default=0.5)  # if ``lm_weight`` does not say it
    #: Seconds of work, seconds of sound and recordings of the measurement after training.
    _speed: tuple[float, float, int] = PrivateAttr(default=(0.0, 0.0, 0))

    @model_validator(mode="after")
    def _searches(self) -> Self:
        if self.lm_order and self.num_beams == 1:
            raise ValueError("a language model needs a search: num_beams of at least 2")
        if self.lm_text is not None and not self.lm_order:
            raise ValueError("lm_text is read by a language model: set lm_order")
        return self

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with the vocabulary, and the language model, of transcripts.

        Raises:
            DataError: if no record has text.
        """
        texts = list(made_of(records, self.transcript))
        if not texts:
            raise DataError("there are no training records to learn from.")
        task = self._reading_with(self.tokenizer.learn(texts, ("pad",)))
        if self.lm_order:
            reader = task.tokenizer
            more = lines_of(self.lm_text) if self.lm_text else ()
            rows = reader.encode_batch([*texts, *map(self._written, more)])
            task._language = Continuations.of(rows, reader.size, reader.end, self.lm_order)
        return task

    def save(self, folder: Path) -> None:
        """Write the tokenizer, the language model, and what was found after training."""
        super().save(folder)
        if self._language is not None:
            self._language.save(folder)
        speed = dict(zip(("work", "sound", "n"), self._speed, strict=True))
        write_json(folder / MEASUREMENTS, {**speed, "lm_weight": self._weight})

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        task = super().load(folder)
        if self.lm_order:
            task._language = Continuations.load(folder, task.tokenizer.end)
        keys = ("work", "sound", "n")
        work, sound, count, task._weight = read_learned(folder / MEASUREMENTS, *keys, lm_weight=0.5)
        task._speed = (float(work), float(sound), int(count))
        return task

    def signature(self) -> Signature:
        """Return bands, vocabulary and how many frames make a position; ``pad`` is the blank."""
        return Signature(
            accepts="frames",
            inputs=self.feature_size,
            outputs=self.tokenizer.size,
            length=self.longest,
            pad=self.tokenizer.pad,
            end=self.tokenizer.end,
            produces="alignment",
            stride=self.stride,
        )

    def transcript(self, record: Record) -> str:
        """Return the text of a record as it is learned.

        Raises:
            DataError: if it has none.
        """
        text = record.get("text")
        if isinstance(text, str) and (said := self._written(text)):
            return said
        raise unusable(record, "text", ", a string that is not blank")

    def encode(self, record: Record) -> Example:
        """Return ``samples``, ``labels`` and, as bytes, ``text``.

        Raises:
            DataError: for a record without text or audio.
            UnfitError: for a recording that is too long, too short for its text, or damaged.
        """
        text, samples = self.transcript(record), self.recording(record)
        ids = self.tokenizer.encode(text)
        least, room = needed(ids), self._positions(int(self.mel.frames(len(samples))))
        if least > room:
            raise UnfitError(
                "this recording is too short for its text.",
                where=record.get("_where", ""),
                expected=f"at least {least} positions, for {text!r}",
                got=f"{room} positions, in {len(samples) / self.sampling_rate:.2f} seconds",
                fix="lower task.stride, take a tokenizer of longer tokens, or drop the row.",
            )
        return {
            "samples": samples,
            "labels": np.array(ids, ids_type(self.tokenizer)),
            "text": as_bytes(text),
        }

    def target_summary(self, example: Example) -> TargetSummary:
        """Every token of the transcript counts; it is noted if the recording is clipped."""
        return TargetSummary(count=len(example["labels"]), notes=self.clipping(example))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad features and transcripts."""
        targets: dict[str, Tensor] = {}
        if "labels" in examples[0]:
            rows = [example["labels"] for example in examples]
            targets = {
                "labels": padded(rows, self.tokenizer.pad),
                "label_lengths": torch.tensor([len(row) for row in rows]),
                "label_positions": torch.tensor([needed(row) for row in rows]),
            }
        return Batch(self.inputs(examples), targets)

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return -log P(transcript | sounds) in nats, and the number of its tokens.

        A recording that an augmentation made too short for its transcript does not count.
        """
        logs_BSV = _logs(model(**batch.inputs))
        lengths, counts = self._heard(batch), batch.targets["label_lengths"]
        sums = F.ctc_loss(
            logs_BSV.transpose(0, 1),
            batch.targets["labels"],
            lengths,
            counts,
            blank=self.tokenizer.pad,
            reduction="none",
            zero_infinity=True,
        )
        fits = batch.targets["label_positions"] <= lengths
        return Losses(sums * fits, counts * fits)

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return ``{"text", "score"}``; the score is the mean log-probability of a position."""
        return self._transcribed(model, batch, self._search())

    def validate_batch(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return the likeliest paths: a search takes longer, and finds what is no worse."""
        return self._transcribed(model, batch, Search(self.tokenizer.pad))

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return the model, how recordings become inputs, and how outputs become a transcript."""
        model_file = LANGUAGE_MODEL if self._language is not None else None
        said = transcripts(self._search(), self.lm_order, model_file) | tokens(self.tokenizer)
        about = meaning(self.name, self.reading(), said)
        sample, arrays = Batch(dict(batch.inputs), {}), filters_of(self.mel)
        return Product(model, sample, meaning=about, arrays=arrays)

    def target(self, example: Example) -> Any:
        """Return ``{"text", "seconds"}``."""
        seconds = len(example["samples"]) / self.sampling_rate
        return {"text": as_text(example["text"]), "seconds": seconds}

    def reachable(self, example: Example) -> Any:
        """Return the transcript as its tokens tell it: characters without a token are missing."""
        return {"text": self.tokenizer.decode(example["labels"].tolist())}

    def metrics(self) -> tuple[Metric, ...]:
        """Return word and character error rate, and how fast it was."""
        how = changes(lowercase=self.lowercase, strip_punctuation=self.strip_punctuation)
        if self.lm_weight is None and self._language is not None:
            how += f"{'; ' * bool(how)}lm_weight {self._weight:g}, by validation data"
        work, sound, count = self._speed
        rates = (WordErrorRate(normalised=how), CharacterErrorRate(normalised=how))
        if not sound:
            return rates
        note = f"measured once, after training, on {count} recordings of {sound:.1f} seconds"
        return (*rates, RealTimeFactor(factor=work / sound, how=note))

    def calibrate(self, model: nn.Module, batches: Iterable[Batch]) -> Self:
        """Return this task with what the language model counts best, and how fast it is then.

        Both are found on some of the batches.
        """
        task, looked = self.model_copy(), list(islice(batches, _LOOKED))
        if self.lm_weight is None and self._language is not None and looked:
            task._weight = self._best_weight(model, looked)
        work, frames, count = 0.0, 0, 0
        for batch in looked:
            start = time.perf_counter()
            task.predict(model, batch)
            work += time.perf_counter() - start
            frames += int(batch.inputs["attention_mask"].sum())
            count += len(batch)
        task._speed = (work, frames * self.mel.hop_length / self.sampling_rate, count)
        return task

    def mistake(self, prediction: Any, target: Any) -> float:
        """Return the share of characters that are wrong."""
        rate = CharacterErrorRate()
        return rate.compute(np.array([rate.statistics(prediction, target)]))

    def show(self, axes: Any, example: Example, prediction: Any, target: Any) -> bool:
        """Draw the spectrogram under the transcript; in red, over the truth, if it is wrong."""
        self.plot(axes, example)
        said = prediction["text"] or "(nothing)"
        wrong = target is not None and prediction["text"] != target["text"]
        axes.set_title(shortened(said), fontsize=9, color=RED if wrong else "black")
        if wrong:
            axes.set_xlabel(shortened(target["text"]), fontsize=9)
        return True

    def describe(self, example: Example, prediction: Any, target: Any) -> Mapping[str, str]:
        """Return what was said, and what was heard."""
        texts = {} if target is None else {"reference": target["text"]}
        return {**texts, "prediction": prediction["text"] or "(nothing)"}

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the commonest transcript of training data, whatever is heard."""
        ends = np.cumsum(train.lengths("text"))
        texts = np.split(np.asarray(train.flat("text")), ends[:-1])
        common = Counter(map(as_text, texts)).most_common(1)[0][0]
        return {"commonest": lambda example: {"text": common}}

    def _transcribed(self, model: nn.Module, batch: Batch, search: Search) -> list[Any]:
        found = map(search, self._logs_of(model, batch))
        return [{"text": self.tokenizer.decode(ids), "score": score} for ids, score in found]

    def _logs_of(self, model: nn.Module, batch: Batch) -> list[Array]:
        """Return the log-probabilities of outputs at the real positions of each recording."""
        logs_BSV = _logs(model(**batch.inputs)).double().cpu().numpy()
        return [logs[:end] for logs, end in zip(logs_BSV, self._heard(batch).tolist(), strict=True)]

    def _best_weight(self, model: nn.Module, batches: Sequence[Batch]) -> float:
        """Return the weight with the fewest wrong words, then characters; 0 unless it helps.

        Of equals it is the one in the middle: validation data are few, and it is far from harm.
        """
        read = [logs for batch in batches for logs in self._logs_of(model, batch)]
        truth = [text for batch in batches for text in self._texts(batch)]
        rates = (WordErrorRate(), CharacterErrorRate())

        def edits(weight: float) -> list[list[Statistics]]:
            search = replace(self._search(), lm_weight=weight)
            said = [{"text": self.tokenizer.decode(search(logs)[0])} for logs in read]
            return [[r.statistics(*pair) for pair in zip(said, truth, strict=True)] for r in rates]

        found = {weight: np.array(edits(weight)) for weight in _WEIGHTS}  # (2 rates, N, 4)

        def right(sums: Array) -> tuple[float, ...]:
            rows = sums.reshape(2, 1, 4)
            return tuple(-rate.compute(row) for rate, row in zip(rates, rows, strict=True))

        def sums(weight: float, some: Array) -> Array:
            total: Array = found[weight][:, some].sum(1).ravel()
            return total

        def best(some: Array) -> float:
            scores = {weight: right(sums(weight, some)) for weight in _WEIGHTS}
            equals = [weight for weight in _WEIGHTS if scores[weight] == max(scores.values())]
            return equals[len(equals) // 2]

        return kept(len(read), 0.0, best, sums, right)

    def _texts(self, batch: Batch) -> list[Any]:
        """Return the transcripts of a batch, as their tokens tell them."""
        labels, sizes = batch.targets["labels"].tolist(), batch.targets["label_lengths"].tolist()
        rows = zip(labels, sizes, strict=True)
        return [{"text": self.tokenizer.decode(row[:size])} for row, size in rows]

    @property
    def _lm_weight(self) -> float:
        return self._weight if self.lm_weight is None else self.lm_weight

    def _search(self) -> Search:
        reader = self.tokenizer
        return Search(
            reader.pad,
            self.num_beams,
            self._language,
            self._lm_weight,
            self.token_bonus,
            reader.end if self._language is not None else None,
        )

    def _heard(self, batch: Batch) -> Tensor:
        """Return how many positions of each recording are real, (B,)."""
        found: Tensor = self._positions(batch.inputs["attention_mask"].sum(1))
        return found

    def _positions(self, frames: Any) -> Any:
        return -(-frames // self.stride)

    def _written(self, text: str) -> str:
        return written(text, lowercase=self.lowercase, strip_punctuation=self.strip_punctuation)


def _logs(logits: Tensor) -> Tensor:
    """Return log-probabilities, in single precision at least."""
    wide = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    return wide.log_softmax(-1)
