"""Teach a language model to answer: the loss of what the assistant says, and of nothing else."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr
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
    Tokenizer,
    View,
)
from luban.core.errors import DataError, RecipeError, RequestError, UnfitError
from luban.core.files import temporary_folder
from luban.data.baselines.ngrams import Unigram
from luban.data.checks.set_apart import made_of
from luban.data.text.chat_messages import texts_in
from luban.data.text.chat_template import ChatTemplate
from luban.data.text.chat_template_files import CHATML, read_template, tokens_named, write_template
from luban.data.text.padding import as_bytes, as_text, cut_at, ids_type, padded
from luban.data.views.packing import Packed, positions_of
from luban.inference.text import TextGenerator
from luban.metrics.bits_per_byte import BitsPerByte
from luban.metrics.loss import Loss
from luban.metrics.perplexity import Perplexity
from luban.nn.losses import IGNORE, cross_entropy
from luban.tasks.inputs.conversations import (
    at_row,
    exchange_in,
    fitted,
    messages_in,
    tools_of,
)
from luban.tasks.inputs.tokenized import TokenizedTask
from luban.tasks.parts.exports import continuations, meaning, tokens

Array = np.ndarray[Any, Any]


class InstructionTuning(TokenizedTask, Generative):
    """Conversations: ``messages``, or ``prompt`` and ``completion``.

    Only answers carry a loss, each with the token that ends it. In training, several short
    conversations share a window, and none sees another.
    """

    context: int = Field(
        default=512,
        ge=4,
        le=16_777_216,
        description="Tokens of a window; a longer conversation is cut.",
    )
    format: Literal["chat", "raw"] = Field(
        default="chat",
        description="raw: prompt, completion and end token, without a chat template.",
    )
    chat_template: str | None = Field(
        default=None,
        description="Jinja, or a file that holds it (None: the tokenizer's own, else ChatML).",
    )
    system: str = Field(
        default="", description="System message of conversations that have none of their own."
    )
    packing: bool = Field(
        default=True,
        description="Train on windows of several conversations; without it, on one per row.",
    )
    _chat: ChatTemplate | None = PrivateAttr(default=None)
    _bytes: Array | None = PrivateAttr(default=None)

    def learn(self, records: Iterable[Record]) -> Self:
        """Return this task with a vocabulary, which has the tokens of the chat template.

        Raises:
            DataError: for a record that holds no conversation, or a template that does not
                close answers with a special token.
        """
        source, own = self._source()
        tokenizer = self.tokenizer.learn(self._texts(records), () if own else tokens_named(source))
        task = self._reading_with(tokenizer)
        with temporary_folder() as folder:
            tokenizer.save(folder)
            if source:
                task._chat = ChatTemplate(source, folder)
        return task

    def save(self, folder: Path) -> None:
        """Write the tokenizer and the chat template."""
        super().save(folder)
        if self._chat is not None:
            write_template(folder, self._chat.source)

    def load(self, folder: Path) -> Self:
        """Return this task with what ``save`` wrote."""
        task = super().load(folder)
        if self.format == "chat":
            task._chat = ChatTemplate(read_template(folder), folder)
        return task

    def signature(self) -> Signature:
        """Return vocabulary size, window length and special tokens; an answer ends with ``end``."""
        size, tokenizer = self.tokenizer.size, self.tokenizer
        return Signature(
            "tokens",
            size,
            size,
            self.context,
            tokenizer.pad,
            self._end,
            begin=tokenizer.special("begin"),
            ends=tuple(id_ for id_ in self._ends if id_ != self._end),
        )

    def encode(self, record: Record) -> Example:
        """Return the tokens of a conversation, and which of them are answers."""
        notes: tuple[str, ...] = ()
        if self._chat is None:
            ids, spans = self._exchange(*exchange_in(record))
        else:
            try:
                turns = self._chat.turns(messages_in(record, self.system), tools_of(record))
            except RequestError as error:
                raise at_row(error, record) from None
            ids, spans, notes = turns.ids, turns.spans, turns.notes
        if not spans:
            raise UnfitError(
                "no answer of the conversation is to be learned.",
                where=record.get("_where", ""),
                expected="an answer without weight: 0 or train: false",
            )
        whole = len(ids)
        ids, spans, cut = fitted(ids, spans, self.context, self._end)
        if not cut and len(ids) < whole:
            notes = (*notes, "prompts whose beginning is cut off")
        answers = np.zeros(len(ids), np.uint8)
        for first, last in spans:
            answers[first:last] = 1
        dtype = ids_type(self.tokenizer)
        return {
            "input_ids": np.array(ids, dtype),
            "answers": answers,
            "cut": np.array(cut, np.uint8),
            "notes": as_bytes("\n".join(notes)),
        }

    def _exchange(self, prompt: str, answer: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return prompt and answer as the tokens of one text, and where the answer stands."""
        frame = self.tokenizer.frame()
        ((found, spans),) = self.tokenizer.encode_spans([prompt + answer])
        ids = [*frame.before, *found]
        start = len(frame.before) + cut_at(spans, len(prompt))
        if not start:  # something must come before an answer
            ids, start = [self.tokenizer.end, *ids], 1
        return [*ids, self.tokenizer.end], [(start, len(ids) + 1)]

    def record_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a conversation with its answers."""
        text = {"type": "string"}
        message = {
            "type": "object",
            "properties": {"role": text, "content": text},
            "required": ["role", "content"],
        }
        fields = {
            "messages": {"type": "array", "items": message, "minItems": 1},
            "prompt": text,
            "completion": text,
        }
        return {"type": "object", "properties": fields}

    def target_summary(self, example: Example) -> TargetSummary:
        """Every token of an answer is supervised; an end token alone teaches nothing."""
        said = example["input_ids"][example["answers"] == 1]
        return TargetSummary(
            count=int((said != self._end).sum()),
            ends=bool(said[-1] in self._ends) if len(said) else None,
            truncated=bool(example["cut"]),
            notes=Counter(as_text(example["notes"]).splitlines()),
        )

    def view(self, store: Examples, epoch: int | None, seed: int) -> View:
        """Return windows of several conversations to train on, single ones to evaluate."""
        if epoch is None or not self.packing:
            alone = super().view(store, epoch, seed)
            return alone.knowing(lengths=lambda: store.lengths("input_ids"))
        lengths = store.lengths("input_ids")
        return Packed(store, lengths, length=self.context, epoch=epoch, seed=seed)

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Return inputs and next tokens, (B, T), padded on the right.

        Packed windows also have ``position_ids``, from 0 in each conversation, and
        ``segment_ids``.
        """
        rows = [example["input_ids"] for example in examples]
        inputs = {"input_ids": padded(rows, self.tokenizer.pad)[:, :-1]}
        if "segment_ids" in examples[0]:
            segments = [example["segment_ids"] for example in examples]
            inputs["position_ids"] = padded([positions_of(s) for s in segments], 0)[:, :-1]
            inputs["segment_ids"] = padded(segments, 0)[:, :-1]
        said = padded([example["answers"] for example in examples], 0)[:, 1:]
        labels = padded(rows, 0)[:, 1:].masked_fill(said == 0, IGNORE)
        return Batch(inputs, {"labels": labels})

    def loss(self, model: nn.Module, batch: Batch) -> Losses:
        """Return the cross-entropy of each row's answers.

        Raises:
            RecipeError: if the rows are packed and the model cannot keep them apart.
        """
        if "segment_ids" in batch.inputs:
            _check_apart(model)
        logits: Tensor = model(**batch.inputs)
        return cross_entropy(logits, batch.targets["labels"])

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """Return the negative log-likelihood of each row's answers: ``{"nats": …}``."""
        losses = self.loss(model, batch)
        return [{"nats": nats} for nats in losses.sums.double().tolist()]

    def exported(self, model: nn.Module, batch: Batch) -> Product:
        """Return the model and how a conversation becomes its input."""
        chat = "chat_template in tokenizer_config.json, or chat_template.jinja"
        read = {
            "fields": ["messages"] if self._chat is not None else ["prompt"],
            **tokens(self.tokenizer),
            "context": self.context,
            "system": self.system,
            "chat_template": chat if self._chat is not None else None,
            "answer_eos_token_ids": list(self._ends),
        }
        said = continuations()
        about = meaning(self.name, read, said)
        return Product(model, Batch({"input_ids": batch.inputs["input_ids"]}, {}), meaning=about)

    def target(self, example: Example) -> Any:
        """Return how many tokens and bytes the answers have."""
        said = example["input_ids"][example["answers"] == 1]
        sizes = self.tokenizer.token_bytes() if self._bytes is None else self._bytes
        return {"tokens": len(said), "bytes": int(sizes[said].sum())}

    def metrics(self) -> tuple[Metric, ...]:
        """Return loss (which decides the best checkpoint), perplexity and bits per byte."""
        return (Loss(), Perplexity(), BitsPerByte())

    def baselines(self, train: Examples) -> Mapping[str, Baseline]:
        """Return a unigram model of the answers."""
        said = train.flat("input_ids")[np.flatnonzero(train.flat("answers"))]
        counted = Unigram(said, self.tokenizer.size)

        def unigram(example: Example) -> Any:
            tokens = example["input_ids"][example["answers"] == 1]
            return {"nats": float(counted.nats(tokens).sum())}

        return {"unigram": unigram}

    def generator(self, model: nn.Module) -> TextGenerator:
        """Return the generator that answers conversations, and continues prompts."""
        return TextGenerator(model, self.tokenizer, chat=self._chat, ends=self._ends)

    @property
    def _end(self) -> int:
        return self.tokenizer.end if self._chat is None else self._chat.end

    @property
    def _ends(self) -> tuple[int, ...]:
        """The tokens that end an answer when it is generated."""
        return (*(() if self._chat is None else self._chat.ends), self.tokenizer.end)

    def _reading_with(self, tokenizer: Tokenizer) -> Self:
        task = self.model_copy(update={"tokenizer": tokenizer})
        task._bytes = tokenizer.token_bytes()
        return task

    def _source(self) -> tuple[str, bool]:
        """Return the chat template (empty: none), and whether it is the tokenizer's own.

        Raises:
            DataError: if it is a file that cannot be read.
        """
        if self.format == "raw":
            return "", False
        if self.chat_template is None:
            own = self.tokenizer.chat_template
            return own or CHATML, bool(own)
        if "{" in self.chat_template:
            return self.chat_template, False
        try:
            return Path(self.chat_template).expanduser().read_text(encoding="utf-8"), False
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                "cannot read the chat template.",
                where="task.chat_template",
                expected="Jinja, or the name of a file that holds it",
                got=str(error),
            ) from None

    def _texts(self, records: Iterable[Record]) -> Iterator[str]:
        for texts in made_of(records, self._texts_of):
            yield from texts

    def _texts_of(self, record: Record) -> list[str]:
        if self.format == "raw":
            return list(exchange_in(record))
        found = []
        for message in messages_in(record, self.system):
            found.append(f"{message['role']}\n")  # what templates write before each message
            found += texts_in({k: v for k, v in message.items() if k != "role"})
        return found


def _check_apart(model: nn.Module) -> None:
    inner = getattr(model, "_orig_mod", model)  # a compiled module hides its arguments
    if "segment_ids" not in inspect.signature(inner.forward).parameters:
        raise RecipeError(
            "this model cannot keep the conversations of one window apart.",
            where="task.packing",
            expected="a model that takes segment_ids, as gpt does",
            got=type(inner).__name__,
            fix="set task.packing: false.",
        )
