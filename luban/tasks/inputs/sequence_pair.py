"""What tasks share that read one text and write another: translation, summarisation.

Shapes: B examples, S tokens of the input, U tokens of the answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from luban.core.batch import Batch, Losses
from luban.core.contracts import (
    Example,
    Examples,
    Illustrated,
    Metric,
    Product,
    Record,
    Signature,
    TargetSummary,
    Task,
    Tokenizer,
    View,
)
from luban.data.checks.set_apart import made_of
from luban.data.files.records import unusable
from luban.data.text.padding import as_bytes, as_text, encoder_row, ids_type, kept, padded
from luban.inference.beam import BeamParams, beam_search
from luban.inference.engine import GeneratedSequence, generate_sequences
from luban.inference.sampling import SamplingParams
from luban.metrics.loss import Loss
from luban.metrics.perplexity import Perplexity
from luban.nn.losses import IGNORE, cross_entropy
from luban.tasks.inputs.text_pairs import text_of
from luban.tasks.parts.exports import meaning, tokens

#: Between the references of an example: a byte that no UTF-8 text holds.
_BETWEEN = b"\xff"
_TARGET = "target"  #: folder of the target's own tokenizer, if it has one


class SequencePair(Task, Illustrated, ABC):
    """A task that reads one text and writes another, both closed by the end token.

    An encoder-decoder reads the input and writes the answer. With ``decoder_only`` a causal
    model reads the input as a prompt and goes on after its end token; the loss is on the answer
    alone either way.
    """

    adjustable: ClassVar[Mapping[str, tuple[float, float]]] = {
        "num_beams": (1, 16),
        "length_penalty": (-10, 10),
        "max_new_tokens": (1, 4096),
        "no_repeat_ngram_size": (0, 1000),
    }

    #: The fields of a record.
    reads: ClassVar[str]
    writes: ClassVar[str]

    tokenizer: Tokenizer = Field(description="Learned on both sides, if it serves both.")
    target_tokenizer: Tokenizer | None = Field(
        default=None, description="A tokenizer of its own for the answer."
    )
    max_source_length: int = Field(
        default=128, ge=2, le=16_777_216, description="Tokens kept of the input."
    )
    max_target_length: int = Field(
        default=128, ge=2, le=16_777_216, description="Tokens kept of the answer."
    )
    label_smoothing: float = Field(default=0.1, ge=0.0, lt=1.0)
    decoder_only: bool = Field(
        default=False, description="For causal models: the input is a prompt, the answer goes on."
    )
    num_beams: int = Field(
        default=5, ge=1, le=1_024, description="Answers searched side by side; 1: greedy."
    )
    length_penalty: float = Field(
        default=1.0, description="Power of the length that divides an answer's log-probability."
    )
    max_new_tokens: int | None = Field(
        default=None, ge=1, le=16_777_216, description="Longest answer (None: max_target_length)."
    )
    no_repeat_ngram_size: int = Field(
        default=0,
        ge=0,
        le=16_777_216,
        description="No n-gram of this size twice in an answer; 0: it may.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.decoder_only and self.target_tokenizer is not None:
            raise ValueError("a causal model has one vocabulary: leave out target_tokenizer")
        return self

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with vocabularies learned from training text.

        Raises:
            DataError: if no record has input and answer.
        """
        if self.target_tokenizer is None:
            both = (text for texts in made_of(records, self._texts) for text in texts)
            return self._with(self.tokenizer.learn(both, ("pad",)), None)
        targets: list[str] = []

        def sources() -> Iterator[str]:
            for source, *rest in made_of(records, self._texts):
                targets.extend(rest)
                yield source

        tokenizer = self.tokenizer.learn(rest := sources(), ("pad",))
        for _ in rest:  # a tokenizer that learns nothing need not have read them
            pass
        return self._with(tokenizer, self.target_tokenizer.learn(targets, ("pad",)))

    def save(self, folder: Path) -> None:
        """Write the tokenizers."""
        self.tokenizer.save(folder)
        if self.target_tokenizer is not None:
            (folder / _TARGET).mkdir(exist_ok=True)
            self.target_tokenizer.save(folder / _TARGET)

    def load(self, folder: Path) -> Self:
        """Return this task with the tokenizers in ``folder``."""
        target = self.target_tokenizer
        own = None if target is None else target.load(folder / _TARGET)
        return self._with(self.tokenizer.load(folder), own)

    def signature(self) -> Signature:
        """Return both vocabularies and the special tokens of the answer."""
        writer = self._writer
        source, target = self.max_source_length, max(self.max_target_length, self._longest)
        return Signature(
            accepts="tokens",
            inputs=self.tokenizer.size,
            outputs=writer.size,
            length=source + target if self.decoder_only else max(source, target),
            pad=writer.pad,
            end=writer.end,
            produces="next" if self.decoder_only else "sequence",
            start=None if self.decoder_only else self._decoder_start,
            begin=writer.special("begin"),
        )

    def record_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a record without its answer."""
        properties = {self.reads: {"type": "string"}}
        return {"type": "object", "properties": properties, "required": [self.reads]}

    def encode(self, record: Record) -> Example:
        """Return ``input_ids``, ``labels``, and both texts as bytes to measure and compare with.

        Of several answers the first is learned, and all are measured against.

        Raises:
            DataError: for a record without input or answer.
        """
        return self.encode_batch([record])[0]

    def encode_input(self, record: Record) -> Example:
        """Return ``input_ids``.

        Raises:
            DataError: for a record without text.
        """
        text = text_of(record, self.reads)
        if not text.strip():
            raise unusable(record, self.reads, ", a string that is not blank")
        return {"input_ids": self._encoded([text])[0]}

    def encode_batch(self, records: Sequence[Record]) -> list[Example]:
        """Encode many records, on all cores if their files are large."""
        texts = [self._texts(record) for record in records]
        inputs = self._encoded([source for source, *_ in texts])
        written = self._writer.encode_batch([first for _, first, *_ in texts])
        return [
            {
                "input_ids": ids,
                "labels": self._closed(labels),
                "source": as_bytes(source),
                "references": np.frombuffer(_BETWEEN.join(r.encode() for r in all_), np.uint8),
            }
            for ids, labels, (source, *all_) in zip(inputs, written, texts, strict=True)
        ]

    def target_summary(self, example: Example) -> TargetSummary:
        """Every token of the answer is supervised; an empty input or answer teaches nothing."""
        labels = example["labels"]
        ends = bool(labels[-1] == self._writer.end)
        around = 1 if self.decoder_only else self._writer.frame().size
        empty = (ends and len(labels) <= around) or not example["source"].size
        return TargetSummary(0 if empty else len(labels), ends=ends, truncated=not ends)

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return the examples, as long as both their sides."""
        view = super().view(store, epoch, seed)
        return view.knowing(lengths=lambda: store.lengths("input_ids") + store.lengths("labels"))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Pad both sides; the decoder reads the start token, then the answer up to its last."""
        rows = [example["input_ids"].astype(np.int64) for example in examples]
        if "labels" not in examples[0]:
            return Batch(self._inputs(rows), {})
        labels = [example["labels"].astype(np.int64) for example in examples]
        if self.decoder_only:
            prompts = [len(row) for row in rows]
            whole = [np.concatenate(pair) for pair in zip(rows, labels, strict=True)]
            told = [
                np.concatenate([np.full(size - 1, IGNORE), answer])
                for size, answer in zip(prompts, labels, strict=True)
            ]
            inputs = {"input_ids": padded([row[:-1] for row in whole], self.tokenizer.pad)}
            # Only predicting needs to know where a prompt ends.
            targets = {"labels": padded(told, IGNORE), "prompt": torch.tensor(prompts)}
            return Batch(inputs, targets)
        start = np.array([self._decoder_start])
        before = [np.concatenate([start, row[:-1]]) for row in labels]
        inputs = self._inputs(rows) | {"decoder_input_ids": padded(before, self._writer.pad)}
        return Batch(inputs, {"labels": padded(labels, IGNORE)})

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the cross-entropy of each answer's tokens."""
        logits: Tensor = model(**batch.inputs)
        smoothing = self.label_smoothing if model.training else 0.0
        return cross_entropy(logits, batch.targets["labels"], label_smoothing=smoothing)

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return the answer to each input, with its mean log-probability per token."""
        return [
            {
                "text": self._writer.decode(answer.tokens).strip(),
                "score": answer.logprob / len(answer.tokens),
            }
            for answer in self._answers(model, batch)
        ]

    def generation_config(self) -> dict[str, Any]:
        """Return how an answer is searched, as transformers' ``generate`` reads it."""
        return {
            "do_sample": False,
            "num_beams": self.num_beams,
            "length_penalty": self.length_penalty,
            "max_new_tokens": self._longest,
            "no_repeat_ngram_size": self.no_repeat_ngram_size,
            "early_stopping": False,
        }

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return the model, how a text becomes its input, and how an answer is searched."""
        own = None if self.target_tokenizer is None else f"{_TARGET}/tokenizer.json"
        read = {
            "fields": [self.reads],
            **tokens(self.tokenizer, self.max_source_length),
            "rule": "what the tokenizer gives for the text, with its special tokens, truncated",
        }
        said = {
            **self.generation_config(),
            "decoder_only": self.decoder_only,
            "decoder_start_token_id": None if self.decoder_only else self._decoder_start,
            "target_tokenizer": own,
            "target_eos_token_id": self._writer.end,
            "rule": "beam search as transformers' generate does it, settings in "
            "generation_config.json; the tokens of the answer decoded, blanks at its ends cut",
        }
        about = meaning(self.name, read, said)
        inputs = {name: t for name, t in batch.inputs.items() if name != "prompt"}
        return Product(model, Batch(inputs, {}), meaning=about)

    def target(self, example: Example) -> Any:
        """Return the references, and how many tokens are learned."""
        parts = example["references"].tobytes().split(_BETWEEN)
        return {"references": [part.decode() for part in parts], "tokens": len(example["labels"])}

    def reachable(self, example: Example) -> Any:
        """Return what is learned of the answer: as far as it was kept, as its tokens tell it."""
        return {"text": self._writer.decode(example["labels"].tolist()[: self._longest]).strip()}

    def describe(self, example: Example, prediction: Any, target: Any) -> Mapping[str, str]:
        """Return the input, what is to be written, and what was."""
        texts = {self.reads: self.source(example)}
        if target is not None:
            texts["reference"] = "\n".join(target["references"])
        return {**texts, "prediction": prediction["text"] or "(nothing)"}

    def validate_batch(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return each answer's negative log-likelihood: searching takes too long for a look."""
        return [{"nats": nats} for nats in self.loss(model, batch).sums.double().tolist()]

    def validation_metrics(self) -> tuple[Metric, ...]:
        """Return loss, which decides the best checkpoint, and perplexity."""
        return (Loss(), Perplexity())

    def source(self, example: Example) -> str:
        """Return the input text of an encoded record."""
        return as_text(example["source"])

    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """Return the metrics of written texts."""

    @property
    def _writer(self) -> Tokenizer:
        return self.target_tokenizer or self.tokenizer

    @property
    def _decoder_start(self) -> int:
        """What the decoder reads first: the tokenizer's directory may tell, else the padding."""
        told = self._writer.special("decoder_start")
        return self._writer.pad if told is None else told

    @property
    def _longest(self) -> int:
        return self.max_new_tokens or self.max_target_length

    @torch.inference_mode()
    def _answers(self, model: Any, batch: Batch) -> list[GeneratedSequence]:
        """Search the answers with the protocol of the model: causal, or encoder-decoder."""
        ids, longest = batch.inputs["input_ids"], self._longest
        if self.decoder_only:
            sizes = batch.targets.get("prompt", batch.inputs.get("prompt"))
            counts = [ids.shape[1]] * len(ids) if sizes is None else sizes.tolist()
            prompts = [row[:n].tolist() for row, n in zip(ids, counts, strict=True)]
            memory = None
        else:
            prompts = [[self._decoder_start]] * len(ids)
            memory = model.read(batch.inputs, longest + 1)
        if self.num_beams == 1:
            params = SamplingParams(
                max_tokens=longest,
                temperature=0.0,
                no_repeat_ngram_size=self.no_repeat_ngram_size,
            )
            each = [params] * len(prompts)
            return generate_sequences(model, prompts, each, self._writer.end, memory)
        if memory is None:
            memory = model.new_cache(len(prompts), max(map(len, prompts)) + longest)
        search = BeamParams(
            num_beams=self.num_beams,
            length_penalty=self.length_penalty,
            max_new_tokens=longest,
            no_repeat_ngram_size=self.no_repeat_ngram_size,
            end=self._writer.end,
        )
        return beam_search(model, prompts, memory, search)

    def _inputs(self, rows: Sequence[np.ndarray[Any, Any]]) -> dict[str, Tensor]:
        ids = padded(rows, self.tokenizer.pad)
        if self.decoder_only:
            return {"input_ids": ids, "prompt": torch.tensor([len(row) for row in rows])}
        return {"input_ids": ids, "attention_mask": kept(rows)}

    def _encoded(self, texts: Sequence[str]) -> list[np.ndarray[Any, Any]]:
        return [
            encoder_row(self.tokenizer, ids, None, self.max_source_length)[0]["input_ids"]
            for ids in self.tokenizer.encode_batch(texts)
        ]

    def _closed(self, ids: list[int]) -> np.ndarray[Any, Any]:
        """Return an answer with what the tokenizer puts around; cut, it has no end.

        After a prompt nothing stands before it.
        """
        writer = self._writer
        row = [*ids, writer.end] if self.decoder_only else writer.frame().row(ids)[0]
        return np.array(row[: self.max_target_length], ids_type(writer))

    def _texts(self, record: Record) -> list[str]:
        """Return the input and all answers of a record."""
        found = record.get(self.writes)
        several = found if isinstance(found, list | tuple) else [found]
        texts = [answer for answer in several if isinstance(answer, str)]
        if not texts or len(texts) < len(several):
            raise unusable(record, self.writes, "that is a string, or a list of them")
        return [text_of(record, self.reads), *texts]

    def _with(self, tokenizer: Tokenizer, target: Tokenizer | None) -> Self:
        """Return this task with tokenizers that close a text with the end token themselves."""
        both = {"tokenizer": tokenizer.closed(), "target_tokenizer": target and target.closed()}
        return self.model_copy(update=both)
