"""Conversations through the real openai client, with a model that says what a test wants."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import openai
import pytest

from luban.core.errors import RequestError
from luban.inference.text import TextGenerator
from luban.serving.route import Limits
from luban.serving.server import Server
from tests.inference.fakes import Bytes, Script
from tests.serving.running import CONTEXT, client_of, metric, scripted, serving, tiny_gpt

ASK = [{"role": "user", "content": "a"}]


class Letters:
    """Writes ``u:text;`` for each message; refuses an answer without a question."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []

    def encode(
        self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        if messages[0]["role"] == "assistant":
            raise RequestError("the conversation begins with an answer.")
        self.seen = [dict(message) for message in messages]
        text = "".join(f"{m['role'][0]} {m['content']}\n" for m in messages)
        return text + "a " * add_generation_prompt


def chatting(generator: TextGenerator) -> TextGenerator:
    generator.chat = Letters()
    return generator


@pytest.fixture(scope="module")
def generator() -> TextGenerator:
    return chatting(tiny_gpt())


@pytest.fixture(scope="module")
def server(generator: TextGenerator) -> Iterator[Server]:
    with serving(generator, limits=Limits(max_tokens=64, choices=8)) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with client_of(server) as made:
        yield made


@pytest.fixture(scope="module")
def speaking() -> Iterator[Server]:
    """A model that says 仁者 to everything; a token is a byte."""
    with serving(chatting(scripted("仁者"))) as running:
        yield running


@pytest.fixture(scope="module")
def speaker(speaking: Server) -> Iterator[openai.OpenAI]:
    with client_of(speaking) as made:
        yield made


def chat(client: openai.OpenAI, messages: Any = ASK, **options: Any) -> Any:
    options = {"model": "tiny", "max_completion_tokens": 8, "seed": 1, **options}
    return client.chat.completions.create(messages=messages, **options)


def test_answers_what_the_generator_says(client: openai.OpenAI, generator: TextGenerator) -> None:
    conversation = [
        {"role": "developer", "content": "be brief"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "仁"}, {"type": "text", "text": "者"}],
        },
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "b"},
    ]
    answer = chat(client, conversation)
    prompt = "s be brief\nu 仁者\na a\nu b\na "
    same = client.completions.create(model="tiny", prompt=prompt, max_tokens=8, seed=1)
    choice = answer.choices[0]
    assert choice.message.content == same.choices[0].text
    assert (choice.message.role, choice.finish_reason) == (
        "assistant",
        same.choices[0].finish_reason,
    )
    assert choice.logprobs is None
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.usage == same.usage
    assert answer.usage.prompt_tokens == len(prompt)


def test_an_answer_may_be_sent_back_as_it_came(client: openai.OpenAI) -> None:
    message = chat(client).choices[0].message
    again = chat(client, [*ASK, message, {"role": "user", "content": "b", "name": "x"}])
    assert again.choices[0].message.content
    past = {**message.to_dict(), "tool_calls": None, "annotations": [], "audio": None}
    assert chat(client, [*ASK, past, *ASK]).choices[0].message.content


def test_an_answer_is_as_long_as_there_is_room_unless_asked() -> None:
    with serving(chatting(scripted("ab" * 100))) as server, client_of(server) as client:
        answer = client.chat.completions.create(model="tiny", messages=ASK, temperature=0)  # type: ignore[arg-type]
        assert answer.choices[0].message.content == "ab" * 100
        assert answer.choices[0].finish_reason == "stop"
        for name in ("max_tokens", "max_completion_tokens"):
            short = chat(client, temperature=0, **{"max_completion_tokens": None, name: 3})
            assert short.choices[0].message.content == "aba"
            assert short.choices[0].finish_reason == "length"


def test_stop_seed_and_n(client: openai.OpenAI) -> None:
    with serving(chatting(scripted("one two"))) as server, client_of(server) as one:
        stopped = chat(one, stop=[" two"], temperature=0, max_completion_tokens=20).choices[0]
        assert (stopped.message.content, stopped.finish_reason) == ("one", "stop")
    texts = [chat(client, seed=s, max_tokens=20).choices[0].message.content for s in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]
    three = chat(client, n=3, max_completion_tokens=20)
    assert [choice.index for choice in three.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in three.choices}) == 3


def test_logprobs(client: openai.OpenAI, speaker: openai.OpenAI) -> None:
    choice = chat(client, logprobs=True, top_logprobs=3, temperature=0).choices[0]
    tokens = choice.logprobs.content
    assert "".join(token.token for token in tokens) == choice.message.content
    for token in tokens:
        assert bytes(token.bytes).decode() == token.token
        assert len(token.top_logprobs) == 3
        best = token.top_logprobs[0]
        assert (best.token, best.logprob) == (token.token, token.logprob)
        assert token.logprob <= 0
    assert all(not t.top_logprobs for t in chat(client, logprobs=True).choices[0].logprobs.content)
    parts = chat(speaker, logprobs=True, temperature=0).choices[0].logprobs.content
    assert [token.bytes for token in parts] == [None] * 6


@pytest.mark.parametrize(
    "options", [{}, {"n": 3, "logprobs": True, "top_logprobs": 2}, {"stop": ["e", "a"]}], ids=str
)
def test_a_stream_adds_up_to_the_whole(client: openai.OpenAI, options: dict[str, Any]) -> None:
    whole = chat(client, max_tokens=20, **options)
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    events = list(chat(client, max_tokens=20, **options, **usage))
    assert events[-1].choices == []
    assert events[-1].usage == whole.usage
    assert all(event.usage is None for event in events[:-1])
    assert {event.object for event in events} == {"chat.completion.chunk"}
    assert len({event.id for event in events}) == 1
    for choice in whole.choices:
        parts = [e.choices[0] for e in events[:-1] if e.choices[0].index == choice.index]
        assert [part.delta.role for part in parts] == ["assistant"] + [None] * (len(parts) - 1)
        assert "".join(part.delta.content or "" for part in parts) == choice.message.content
        assert [p.finish_reason for p in parts if p.finish_reason] == [choice.finish_reason]
        assert parts[-1].finish_reason == choice.finish_reason
        if choice.logprobs is not None:
            joined = [t for part in parts if part.logprobs for t in part.logprobs.content]
            assert [t.token for t in joined] == [t.token for t in choice.logprobs.content]


def test_the_client_s_own_helper_understands_the_stream(speaker: openai.OpenAI) -> None:
    with speaker.chat.completions.stream(model="tiny", messages=ASK, temperature=0) as stream:  # type: ignore[arg-type]
        said = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert said == ["", "仁", "者"], "first comes who speaks"
    assert final.choices[0].message.content == "仁者"


def test_characters_of_several_tokens_arrive_whole(speaker: openai.OpenAI) -> None:
    events = chat(speaker, stream=True, temperature=0, max_completion_tokens=20)
    said = [event.choices[0].delta.content for event in events]
    assert [text for text in said if text] == ["仁", "者"]


TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": []}, "messages", "at least 1 item"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "Field required"),
    ({"messages": [{"role": "king", "content": "a"}]}, "messages[0].role", "must be one of"),
    ({"messages": [*ASK, {"role": "tool", "content": "a"}]}, "messages[1].role", "calls no tools"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "valid"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
     "messages[0].content", "Input should be"),
    ({"messages": [{**ASK[0], "tool_calls": [TOOL]}]}, "messages[0].tool_calls", "calls no tools"),
    ({"messages": [{**ASK[0], "x": 1}]}, "messages[0].x", "Unrecognized request argument"),
    ({"messages": "a"}, "messages", "list"),
    ({"tools": [TOOL]}, "tools", "calls no tools"),
    ({"tool_choice": "auto"}, "tool_choice", "calls no tools"),
    ({"functions": [{"name": "f"}]}, "functions", "calls no tools"),
    ({"function_call": "auto"}, "function_call", "calls no tools"),
    ({"response_format": {"type": "json_object"}}, "response_format", "plain text only"),
    ({"modalities": ["audio"]}, "modalities", "plain text only"),
    ({"max_completion_tokens": 65}, "max_completion_tokens", "allows 64"),
    ({"max_completion_tokens": None, "max_tokens": 65}, "max_tokens", "allows 64"),
    ({"max_completion_tokens": 0}, "max_completion_tokens", "greater than or equal to 1"),
    ({"max_completion_tokens": 64, "messages": [{"role": "user", "content": "a" * 50}]},
     "max_completion_tokens", f"context length is {CONTEXT}"),
    ({"n": 9}, "n", "At most 8 answers"),
    ({"top_logprobs": 3}, "top_logprobs", "needs logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "less than or equal to 20"),
    ({"logit_bias": {"5": 10}}, "logit_bias", "does not support"),
    ({"temperature": 3}, "temperature", "less than or equal to 2"),
    ({"extra_body": {"temprature": 1}}, "temprature", "Unrecognized request argument"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "param", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_requests(
    client: openai.OpenAI, options: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        chat(client, **options)
    assert (caught.value.param or "") == param
    assert caught.value.type == "invalid_request_error"


def test_what_the_template_refuses(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="begins with an answer"):
        chat(client, [{"role": "assistant", "content": "a"}])
    with pytest.raises(openai.BadRequestError, match="The prompt has"):
        chat(client, [{"role": "user", "content": "a" * CONTEXT}])
    with pytest.raises(openai.NotFoundError, match="does not exist here"):
        chat(client, model="gpt-4")


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [], "tool_choice": "none", "response_format": {"type": "text"}},
        {"store": False},
        {"modalities": ["text"], "user": "someone", "presence_penalty": 0, "logit_bias": {}},
    ],
    ids=str,
)
def test_fields_without_effect_are_taken(client: openai.OpenAI, options: dict[str, Any]) -> None:
    same = chat(client, **options).choices[0].message.content
    assert same == chat(client).choices[0].message.content


@pytest.mark.parametrize("half", ["model", "content", "field"])
@pytest.mark.parametrize("server_of", ["server", "speaking"])
def test_half_a_character_is_the_client_s_fault(
    half: str, server_of: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(server_of)
    text = "a\ud800"
    body: dict[str, Any] = {
        "model": text if half == "model" else "tiny",
        "messages": [{"role": "user", "content": text if half == "content" else "a"}],
        **({text: 1} if half == "field" else {}),
    }
    answer = httpx.post(
        f"{server.url}/v1/chat/completions",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
        trust_env=False,
    )
    assert answer.status_code == 400, answer.text


def test_a_model_without_a_template_does_not_chat() -> None:
    with serving(scripted("a")) as server, client_of(server) as client:
        with pytest.raises(openai.NotFoundError, match="Unknown request URL"):
            chat(client)
        said = client.completions.create(model="tiny", prompt="x", temperature=0)
        assert said.choices[0].text == "a"


def test_one_queue_and_one_count_for_both_routes(server: Server, client: openai.OpenAI) -> None:
    before = metric(server, "luban_tokens_total", {"kind": "prompt"})
    chat(client)
    client.completions.create(model="tiny", prompt="abc", max_tokens=1)
    assert metric(server, "luban_tokens_total", {"kind": "prompt"}) - before == len("u a\na ") + 3


def test_a_fault_in_mid_stream_is_an_event() -> None:
    class Broken(Script):
        def decode(self, input_ids_BT: Any, cache: Any, counts: Any = None) -> Any:
            if int(cache.states_LBD[0].max()) >= 1:
                raise RuntimeError("secret detail")
            return super().decode(input_ids_BT, cache, counts)

    generator = chatting(TextGenerator(Broken(list(b"abc")), Bytes()))
    with serving(generator) as server, client_of(server) as client:
        with pytest.raises(openai.APIError, match="its log says why") as caught:
            list(chat(client, stream=True, temperature=0))
        assert "secret" not in str(caught.value)
