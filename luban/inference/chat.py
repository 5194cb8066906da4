"""A conversation that goes on: what was said, and how much of it the model still sees."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace

from luban.core.errors import RequestError
from luban.inference.sampling import SamplingParams
from luban.inference.text import Chunk, TextGenerator


@dataclass(slots=True)
class Conversation:
    """Messages so far, and the model that answers.

    Attributes:
        generator: Has a chat template.
        system: A first message that is never forgotten; empty: none.
        messages: What was said, as far as it is remembered.
        forgotten: Turns dropped since ``reset`` because the context was full.
    """

    generator: TextGenerator
    system: str = ""
    messages: list[dict[str, str]] = field(default_factory=list)
    forgotten: int = 0

    def reset(self) -> None:
        """Forget everything but the system message."""
        self.messages, self.forgotten = [], 0

    def ask(self, text: str, params: SamplingParams) -> tuple[int, Generator[Chunk, None, None]]:
        """Say something; return how many of the oldest turns had to go, and the answer as it comes.

        The answer becomes part of the conversation when it has come to its end. It gets at least
        a quarter of the context, or what ``params`` allow if that is less.

        Raises:
            RequestError: if the text alone does not fit, or the template refuses it; the
                conversation then is as before.
        """
        before = list(self.messages)
        self.messages.append({"role": "user", "content": text})
        try:
            prompt, gone = self._fitted(params.max_tokens)
            room = self._room(len(prompt), params.max_tokens)
            stream = self.generator.stream(prompt, replace(params, max_tokens=room))
        except RequestError:
            self.messages = before
            raise
        self.forgotten += gone
        return gone, self._answer(stream)

    def _fitted(self, wanted: int) -> tuple[list[int], int]:
        """Drop the oldest turns until the prompt leaves room for an answer."""
        longest, gone = self.generator.max_length, 0
        while True:
            prompt = self._prompt()
            if longest is None or len(prompt) + min(wanted, longest // 4) <= longest:
                return prompt, gone
            if len(self.messages) == 1:
                raise RequestError(
                    "the message is too long.",
                    expected=f"at most {longest - min(wanted, longest // 4):,} tokens",
                    got=f"{len(prompt):,} tokens, what the template adds included",
                    fix="shorten it.",
                )
            turn = 2 if self.messages[1]["role"] == "assistant" else 1
            del self.messages[:turn]
            gone += 1

    def _prompt(self) -> list[int]:
        chat = self.generator.chat
        if chat is None:
            raise RequestError("this model has no chat template.")
        first = [{"role": "system", "content": self.system}] if self.system else []
        return self.generator.tokens(chat.encode([*first, *self.messages]))

    def _room(self, prompt: int, wanted: int) -> int:
        longest = self.generator.max_length
        return wanted if longest is None else min(wanted, longest - prompt)

    def _answer(self, stream: Generator[Chunk, None, None]) -> Generator[Chunk, None, None]:
        said = ""
        for chunk in stream:
            said += chunk.text
            if chunk.finish_reason is not None:
                self.messages.append({"role": "assistant", "content": said})
            yield chunk
