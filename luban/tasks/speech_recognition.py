"""Write down what is said: transcripts of recordings, by CTC."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PrivateAttr, model_validator
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Baseline,
    Example,
    Examples,
    Guess,
    Metric,
    Ports,
    Record,
    Supervision,
    Tokenizer,
)
from luban.core.errors import DataError, UnfitError
from luban.core.files import write_json
from luban.core.palette import RED
from luban.data.records import unusable
from luban.data.rows import as_bytes, as_text, ids_type, padded
from luban.data.tokenizers.char import Char
from luban.inference.ctc import Search
from luban.metrics.character_error_rate import CharacterErrorRate
from luban.metrics.real_time_factor import RealTimeFactor
from luban.metrics.word_error_rate import WordErrorRate
from luban.tasks._guessing_sounds import guess_transcripts
from luban.tasks._learned import read_learned
from luban.tasks._sound import SoundTask
from luban.tasks._tokenized import TokenizedTask
from luban.tasks._transcripts import Continuations, changes, lines_of, needed, written

Array: TypeAlias = "np.ndarray[Any, Any]"

_FILE = "speed.json"
_TIMED = 8  #: batches whose recognition is timed


class SpeechRecognition(TokenizedTask, SoundTask):
    """Speech to text: ``audio`` with its ``text``.

    Connectionist temporal classification (Graves et al. 2006): the loss is -log of the
    probability of all alignments of the transcript, and counts its tokens. The padding token is
    the blank. A beam search may ask a language model of the training transcripts.
    """

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
    lm_weight: float = Field(
        default=0.5, ge=0, description="What the language model counts beside the sounds."
    )
    token_bonus: float = Field(
        default=0.0, description="What each token of a text adds to its log-probability."
    )
    _language: Continuations | None = PrivateAttr(default=None)
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
            DataError: for a record without text.
        """
        texts = [self.transcript(record) for record in records]
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
        """Write the tokenizer, the language model, and how fast it was after training."""
        super().save(folder)
        if self._language is not None:
            self._language.save(folder)
        write_json(folder / _FILE, dict(zip(("work", "sound", "n"), self._speed, strict=True)))

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        task = super().load(folder)
        if self.lm_order:
            task._language = Continuations.load(folder, task.tokenizer.end)
        work, sound, count = read_learned(folder / _FILE, "work", "sound", "n")
        task._speed = (float(work), float(sound), int(count))
        return task

    def ports(self) -> Ports:
        """Return bands, vocabulary and how many frames make a position; ``pad`` is the blank."""
        return Ports(
            accepts="frames",
            inputs=self.feature_size,
            outputs=self.tokenizer.size,
            length=self.longest,
            pad=self.tokenizer.pad,
            end=self.tokenizer.end,
            produces="alignment",
            stride=self.stride,
        )

    @classmethod
    def recognise(cls, sample: Sequence[Record]) -> Guess | None:
        """Read records with a recording and its text."""
        return guess_transcripts(sample)

    def transcript(self, record: Record) -> str:
        """Return the text of a record as it is learned.

        Raises:
            DataError: if it has none.
        """
        text = record.get("text")
        said = self._written(text) if isinstance(text, str) else ""
        if not said:
            raise unusable(record, "text", ", a string that is not blank")
        return said

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
                got=f"{room}, in {len(samples) / self.sampling_rate:.2f} seconds",
                fix="lower task.stride, take a tokenizer of longer tokens, or drop the row.",
            )
        return {
            "samples": samples,
            "labels": np.array(ids, ids_type(self.tokenizer)),
            "text": as_bytes(text),
        }

    def encode_input(self, record: Record) -> Example:
        """Return ``samples`` alone.

        Raises:
            DataError: for a record without audio.
            UnfitError: for a recording that is too long or damaged.
        """
        return {"samples": self.recording(record)}

    def supervision(self, example: Example) -> Supervision:
        """Every token of the transcript counts."""
        return Supervision(count=len(example["labels"]))

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

    def target(self, example: Example) -> Any:
        """Return ``{"text", "seconds"}``."""
        seconds = len(example["samples"]) / self.sampling_rate
        return {"text": as_text(example["text"]), "seconds": seconds}

    def metrics(self) -> tuple[Metric, ...]:
        """Return word and character error rate, and how fast it was."""
        how = changes(lowercase=self.lowercase, strip_punctuation=self.strip_punctuation)
        work, sound, count = self._speed
        rates = (WordErrorRate(normalised=how), CharacterErrorRate(normalised=how))
        if not sound:
            return rates
        note = f"measured once, after training, on {count} recordings of {sound:.1f} seconds"
        return (*rates, RealTimeFactor(factor=work / sound, how=note))

    def calibrate(self, model: nn.Module, batches: Iterable[Batch]) -> Self:
        """Return this task with how long it took to recognise some of the batches."""
        work, frames, count = 0.0, 0, 0
        for batch in islice(batches, _TIMED):
            start = time.perf_counter()
            self.predict(model, batch)
            work += time.perf_counter() - start
            frames += int(batch.inputs["attention_mask"].sum())
            count += len(batch)
        task = self.model_copy()
        task._speed = (work, frames * self.mel.hop_length / self.sampling_rate, count)
        return task

    def mistake(self, prediction: Any, target: Any) -> float:
        """Return the share of characters that are wrong."""
        rate = CharacterErrorRate()
        return rate.reduce(np.array([rate.row(prediction, target)]))

    def show(self, axes: Any, example: Example, prediction: Any, target: Any) -> bool:
        """Draw the spectrogram under the transcript; in red, over the truth, if it is wrong."""
        self.draw(axes, example)
        said = prediction["text"] or "(nothing)"
        wrong = target is not None and prediction["text"] != target["text"]
        axes.set_title(_short(said), fontsize=9, color=RED if wrong else "black")
        if wrong:
            axes.set_xlabel(_short(target["text"]), fontsize=9)
        return True

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return the commonest transcript of training data, whatever is heard."""
        ends = np.cumsum(train.lengths("text"))
        texts = np.split(np.asarray(train.flat("text")), ends[:-1])
        common = Counter(map(as_text, texts)).most_common(1)[0][0]
        return {"commonest": lambda example: {"text": common}}

    def _transcribed(self, model: nn.Module, batch: Batch, search: Search) -> list[Any]:
        logs_BSV = _logs(model(**batch.inputs)).double().cpu().numpy()
        found = []
        for logs_SV, length in zip(logs_BSV, self._heard(batch).tolist(), strict=True):
            ids, score = search(logs_SV[:length])
            found.append({"text": self.tokenizer.decode(ids), "score": score})
        return found

    def _search(self) -> Search:
        reader = self.tokenizer
        return Search(
            reader.pad,
            self.num_beams,
            self._language,
            self.lm_weight,
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
    logs: Tensor = wide.log_softmax(-1)
    return logs


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
