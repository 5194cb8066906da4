"""Text in, text out: what `generate`, `chat` and the server call."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol

from torch import nn

from luban.core.contracts import Tokenizer
from luban.core.errors import RequestError
from luban.inference.engine import Decoding, Token, decoder, score
from luban.inference.sampling import SamplingParams
from luban.inference.stops import StopTexts

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class TextToken:
    """One token as text.

    Attributes:
        id: The token.
        text: The token on its own; a token that is part of a character reads ``\ufffd``.
        logprob: Natural logarithm of its probability under the model itself (None: first token
            of a text that is only scored).
        top: The likeliest tokens at this place as (text, logprob), best first.
    """

    id: int
    text: str
    logprob: float | None
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one answer grew by.

    Attributes:
        index: Which of the ``n`` answers.
        text: New text: whole characters, nothing that may still become a stop text.
        tokens: The tokens whose text begins in ``text``; the end token is not among them.
        completion_tokens: Tokens generated for this answer so far, the end token included.
        finish_reason: ``stop`` (end token or stop text), ``length``, or None while it goes on.
            The last chunk of every answer has one.
    """

    index: int
    text: str
    tokens: tuple[TextToken, ...]
    completion_tokens: int
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer; the fields are those of ``Chunk``."""

    index: int
    text: str
    tokens: tuple[TextToken, ...]
    completion_tokens: int
    finish_reason: FinishReason


class Chat(Protocol):
    """How a conversation is written for a model that was tuned on conversations."""

    def encode(
        self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str | Sequence[int]:
        """Return messages ({role, content}) as a prompt, up to where the next answer begins.

        Raises:
            RequestError: for messages the template refuses.
        """
        ...


class TextGenerator:
    """Continues text with a module and its tokenizer.

    It holds no state between calls, so calls may come from several threads.

    Args:
        module: A module that follows ``luban.nn.cache.Decoder``; it is put in evaluation mode.
        tokenizer: The tokenizer it was trained with.
        max_length: Longest sequence in tokens, prompt included (None: what the module can hold).
        slide: Go on beyond that, each time from the last half of what the module can hold;
            otherwise an answer ends there with ``length``.
        chat: How conversations are written, if the model can chat.
        ends: Tokens that end an answer, beside the end-of-text token.

    Raises:
        ContractError: if the module cannot decode.
    """

    def __init__(  # noqa: PLR0913
        self,
        module: nn.Module,
        tokenizer: Tokenizer,
        max_length: int | None = None,
        *,
        slide: bool = False,
        chat: Chat | None = None,
        ends: Collection[int] = (),
    ) -> None:
        self.chat = chat
        self._ends = frozenset((tokenizer.end, *ends))
        bounds = [bound for bound in (decoder(module).context, max_length) if bound]
        self.max_length: int | None = min(bounds, default=None)
        self._slide = slide
        self._module = module.eval()
        self._tokenizer = tokenizer

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return self._tokenizer.size

    @cached_property
    def longest_token(self) -> int:
        """The most characters that one token of a text stands for."""
        return max(1, int(self._tokenizer.token_bytes().max()))

    def encode(self, prompt: str | Sequence[int]) -> list[int]:
        """Return the tokens that stand for a prompt; an empty one is the end-of-text token.

        Raises:
            RequestError: if it is too long to add a token, or holds ids or characters that do
                not exist.
        """
        ids = self.tokens(prompt)
        if any(not 0 <= id_ < self._tokenizer.size for id_ in ids):
            raise RequestError(
                "the prompt has token ids that do not exist.",
                expected=f"0 to {self._tokenizer.size - 1}",
                got=next(id_ for id_ in ids if not 0 <= id_ < self._tokenizer.size),
            )
        if self.max_length is not None and len(ids) >= self.max_length:
            raise RequestError(
                "the prompt is too long.",
                expected=f"at most {self.max_length - 1:,} tokens",
                got=f"{len(ids):,} tokens",
                fix="shorten the prompt.",
            )
        return ids or [self._tokenizer.end]

    def tokens(self, prompt: str | Sequence[int]) -> list[int]:
        """Return the tokens of a prompt as long as it is; tokens stay as they are.

        A text begins with what the tokenizer puts before every text.

        Raises:
            RequestError: if it holds half a character.
        """
        if not isinstance(prompt, str):
            return list(prompt)
        try:
            return [*self._tokenizer.frame().before, *self._tokenizer.encode(prompt)]
        except UnicodeEncodeError:
            raise RequestError("the prompt holds half a character.", got=ascii(prompt)) from None

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens; special tokens are left out."""
        return self._tokenizer.decode(ids)

    def stream(
        self, prompt: str | Sequence[int], params: SamplingParams | None = None, n: int = 1
    ) -> Generator[Chunk, None, None]:
        """Yield the growth of ``n`` answers as it comes; close the generator to cancel.

        The prompt is checked at once, before the first chunk is asked for.

        Raises:
            RequestError: if the prompt does not fit.
        """
        ids = self.encode(prompt)
        if n < 1:
            raise RequestError("n is out of range.", expected="at least 1", got=n)
        return self._stream(ids, params or SamplingParams(), n)

    def generate(
        self, prompt: str | Sequence[int], params: SamplingParams | None = None, n: int = 1
    ) -> list[Completion]:
        """Return ``n`` whole answers, in order.

        Raises:
            RequestError: if the prompt does not fit.
        """
        parts: list[list[Chunk]] = [[] for _ in range(n)]
        for chunk in self.stream(prompt, params, n):
            parts[chunk.index].append(chunk)
        return [_join(chunks) for chunks in parts]

    def score(self, prompt: str | Sequence[int], top: int = 0) -> list[TextToken]:
        """Return the prompt's tokens with their logprobs (for ``echo`` and multiple choice).

        Raises:
            RequestError: if the prompt does not fit.
        """
        ids = self.encode(prompt)
        return [self._as_text(token) for token in score(self._module, ids, top)]

    def _stream(
        self, ids: list[int], params: SamplingParams, n: int
    ) -> Generator[Chunk, None, None]:
        length = len(ids) + params.max_tokens
        if self.max_length is not None and not self._slide:
            length = min(length, self.max_length)
        seeds = [None if params.seed is None else params.seed + i for i in range(n)]
        rows = [replace(params, seed=seed) for seed in seeds]
        decoding = Decoding(self._module, [ids] * n, rows, length)
        answers = [_Answer(self._tokenizer, ids, params.stop) for _ in range(n)]
        while decoding.live:
            for token in decoding.step():
                answer = answers[token.row]
                if token.id in self._ends:
                    reason, text, tokens = answer.end("stop")
                else:
                    full = len(decoding.sequences[token.row]) >= length
                    reason, text, tokens = answer.add(self._as_text(token), full)
                if reason is not None:
                    decoding.drop(token.row)
                yield Chunk(token.row, text, tokens, answer.count, reason)

    def _as_text(self, token: Token) -> TextToken:
        top = tuple((self._tokenizer.decode([id_]), logprob) for id_, logprob in token.top)
        return TextToken(token.id, self._tokenizer.decode([token.id]), token.logprob, top)


_Grown = tuple[FinishReason | None, str, tuple[TextToken, ...]]


class _Answer:
    """One answer on its way from tokens to text."""

    def __init__(self, tokenizer: Tokenizer, prompt: list[int], stop: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._stops = StopTexts(stop)
        # The end of the prompt is decoded along: some tokenizers drop a leading space.
        self._ids = _whole_end(tokenizer, prompt)
        self._window, self._read = 0, len(self._ids)
        self._text = ""
        self._sent = self._searched = 0
        self._waiting: list[tuple[int, TextToken]] = []
        self.count = 0

    def add(self, token: TextToken, full: bool) -> _Grown:
        """Take one token; ``full`` says that there is no room for another."""
        self.count += 1
        self._ids.append(token.id)
        self._waiting.append((len(self._text), token))
        self._decode(last=full)
        return self._grow("length" if full else None)

    def end(self, reason: FinishReason) -> _Grown:
        """Take the end token."""
        self.count += 1
        self._decode(last=True)
        return self._grow(reason)

    def _decode(self, last: bool) -> None:
        """Append what the tokens since the last whole character mean."""
        old = self._tokenizer.decode(self._ids[self._window : self._read]).rstrip("\ufffd")
        new = self._tokenizer.decode(self._ids[self._window :])
        if last:
            new = new.rstrip("\ufffd")
        elif new.endswith("\ufffd"):
            return
        self._text += new[len(old) :]
        self._window, self._read = self._read, len(self._ids)

    def _grow(self, reason: FinishReason | None) -> _Grown:
        """Release the text that can no longer become a stop text, with its tokens."""
        found = self._stops.add(self._text[self._searched :])
        if reason is not None:
            found = self._stops.found
        self._searched = len(self._text)
        if found is not None:
            return ("stop", *self._release(found))
        if reason is not None:
            return (reason, *self._release(len(self._text), all_tokens=True))
        return (None, *self._release(len(self._text) - self._stops.held))

    def _release(self, end: int, all_tokens: bool = False) -> tuple[str, tuple[TextToken, ...]]:
        text, self._sent = self._text[self._sent : end], end
        ready = [token for at, token in self._waiting if at < end or all_tokens]
        self._waiting = self._waiting[len(ready) :]
        return text, tuple(ready)


def _whole_end(tokenizer: Tokenizer, prompt: list[int]) -> list[int]:
    """Return some of the last tokens of a prompt, not beginning within a character."""
    count = min(4, len(prompt))
    while count < min(16, len(prompt)):
        if not tokenizer.decode(prompt[-count:]).startswith("\ufffd"):
            break
        count += 1
    return prompt[len(prompt) - count :]


def _join(chunks: list[Chunk]) -> Completion:
    last = chunks[-1]
    if last.finish_reason is None:
        raise ValueError("an answer without an end")
    return Completion(
        index=last.index,
        text="".join(chunk.text for chunk in chunks),
        tokens=tuple(token for chunk in chunks for token in chunk.tokens),
        completion_tokens=last.completion_tokens,
        finish_reason=last.finish_reason,
    )
