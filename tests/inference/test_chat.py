"""A conversation remembers, and forgets its oldest turns when the context is full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from luban.core.errors import RequestError
from luban.inference.chat import Conversation
from luban.inference.sampling import SamplingParams
from luban.inference.text import TextGenerator
from tests.inference.fakes import Bytes, Script

GREEDY = SamplingParams(max_tokens=8, temperature=0)


class Letters:
    """One line for each message."""

    def encode(
        self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        if any("bad" in m["content"] for m in messages):
            raise RequestError("no.")
        text = "".join(f"{m['role'][0]} {m['content']}\n" for m in messages)
        return text + "a " * add_generation_prompt


def conversation(answer: str = "yes", length: int = 60, system: str = "") -> Conversation:
    module = Script(list(answer.encode()))
    generator = TextGenerator(module, Bytes(), max_length=length, chat=Letters())
    return Conversation(generator, system)


def said(talk: Conversation, text: str, params: SamplingParams = GREEDY) -> tuple[int, str]:
    gone, chunks = talk.ask(text, params)
    return gone, "".join(chunk.text for chunk in chunks)


def test_it_remembers() -> None:
    talk = conversation()
    assert said(talk, "one") == (0, "yes")
    assert said(talk, "two") == (0, "yes")
    assert [m["content"] for m in talk.messages] == ["one", "yes", "two", "yes"]
    talk.reset()
    assert talk.messages == []


def test_the_oldest_turns_go_when_the_context_is_full_but_not_the_system() -> None:
    talk = conversation(system="S")
    found = [said(talk, f"message {n}")[0] for n in range(6)]
    assert found[0] == 0
    assert sum(found) == talk.forgotten > 0
    assert talk.messages[0]["role"] == "user"
    assert talk.messages[-2]["content"] == "message 5"
    assert "message 0" not in [m["content"] for m in talk.messages]


def test_what_alone_is_too_long_is_refused_and_nothing_is_forgotten() -> None:
    talk = conversation()
    said(talk, "one")
    before = list(talk.messages)
    for text in ("x" * 100, "bad"):
        with pytest.raises(RequestError):
            talk.ask(text, GREEDY)
        assert talk.messages == before
    assert talk.forgotten == 0


def test_an_answer_ends_with_the_context() -> None:
    talk = conversation("yes" * 40)
    _, answer = said(talk, "o" * 35, SamplingParams(max_tokens=500, temperature=0))
    assert len("u \na ") + 35 + len(answer) == 60


def test_another_end_token_ends_an_answer() -> None:
    module = Script(list(b"yes.no"))
    generator = TextGenerator(module, Bytes(), ends=(ord("."),))
    done = generator.generate("x", SamplingParams(max_tokens=20, temperature=0))[0]
    assert (done.text, done.finish_reason) == ("yes", "stop")
