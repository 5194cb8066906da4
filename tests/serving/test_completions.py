"""The real openai client against a real server with a small model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from luban.inference.sampling import SamplingParams
from luban.inference.text import TextGenerator
from luban.serving.route import Limits
from luban.serving.server import Server
from tests.inference.fakes import Bytes
from tests.serving.running import CONTEXT, client_of, metric, scripted, serving, tiny_gpt


@pytest.fixture(scope="module")
def generator() -> TextGenerator:
    return tiny_gpt()


@pytest.fixture(scope="module")
def server(generator: TextGenerator) -> Iterator[Server]:
    limits = Limits(max_tokens=64, choices=8, body_bytes=100_000)
    with serving(generator, limits=limits) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with client_of(server) as made:
        yield made


@pytest.fixture(scope="module")
def speaker() -> Iterator[openai.OpenAI]:
    """A model that says 仁者 to everything; a token is a byte."""
    with serving(scripted("仁者")) as running, client_of(running) as made:
        yield made


def complete(client: openai.OpenAI, prompt: Any = "the ", **options: Any) -> Any:
    options = {"model": "tiny", "max_tokens": 8, "seed": 1, **options}
    return client.completions.create(prompt=prompt, **options)


def test_answers_what_the_generator_says(client: openai.OpenAI, generator: TextGenerator) -> None:
    answer = complete(client, temperature=0.8, top_p=0.9, extra_body={"top_k": 20, "min_p": 0.01})
    params = SamplingParams(max_tokens=8, temperature=0.8, top_p=0.9, top_k=20, min_p=0.01, seed=1)
    [expected] = generator.generate("the ", params)
    assert answer.choices[0].text == expected.text
    assert answer.choices[0].finish_reason == expected.finish_reason
    assert answer.object == "text_completion"
    assert answer.model == "tiny"
    assert answer.id.startswith("cmpl-")
    assert answer.usage.prompt_tokens == 4
    assert answer.usage.completion_tokens == expected.completion_tokens
    assert answer.usage.total_tokens == 4 + expected.completion_tokens


def test_max_tokens_defaults_to_openai_s(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt="the ", seed=1)
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 16


def test_a_seed_repeats_and_seeds_differ(client: openai.OpenAI) -> None:
    texts = [complete(client, seed=seed, max_tokens=20).choices[0].text for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


def test_n_answers_differ_and_are_numbered(client: openai.OpenAI) -> None:
    answer = complete(client, n=3, max_tokens=20)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.text for choice in answer.choices}) == 3
    assert answer.usage.prompt_tokens == 4, "a prompt is counted once"


def test_every_form_of_prompt(client: openai.OpenAI, generator: TextGenerator) -> None:
    ids = [generator.encode("the "), generator.encode("仁者")]
    texts = complete(client, ["the ", "仁者"], n=2)
    tokens = complete(client, ids, n=2)
    assert [choice.index for choice in texts.choices] == [0, 1, 2, 3]
    assert [c.text for c in texts.choices] == [c.text for c in tokens.choices]
    assert texts.usage.prompt_tokens == 6
    assert complete(client, ids[1]).choices[0].text == texts.choices[2].text
    assert complete(client, "").usage.prompt_tokens == 1, "the end token stands for nothing"


def test_echo_and_logprobs(client: openai.OpenAI, generator: TextGenerator) -> None:
    choice = complete(client, "the 仁", echo=True, logprobs=3).choices[0]
    assert choice.text.startswith("the 仁")
    logprobs = choice.logprobs
    assert logprobs.tokens[:5] == list("the 仁")
    assert logprobs.token_logprobs[0] is None
    assert logprobs.top_logprobs[0] is None
    assert "".join(logprobs.tokens) == choice.text
    for token, offset in zip(logprobs.tokens, logprobs.text_offset, strict=True):
        assert choice.text[offset : offset + len(token)] == token
    ids = torch.tensor([generator.encode(choice.text)])
    with torch.no_grad():
        expected = generator._module(ids)[0].log_softmax(-1)
    for i in range(1, ids.shape[1]):
        given = logprobs.token_logprobs[i]
        assert given == pytest.approx(expected[i - 1, ids[0, i]].item(), abs=1e-4)
        best = logprobs.top_logprobs[i]
        assert 3 <= len(best) <= 4, "the three likeliest, and the one taken"
        assert max(best.values()) == pytest.approx(expected[i - 1].max().item(), abs=1e-4)
        assert best[logprobs.tokens[i]] == given


def test_echo_alone_scores_a_prompt(client: openai.OpenAI) -> None:
    answer = complete(client, ["the ", "a"], echo=True, logprobs=0, max_tokens=0)
    assert [choice.text for choice in answer.choices] == ["the ", "a"]
    assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
    assert len(answer.choices[0].logprobs.token_logprobs) == 4
    assert answer.usage.completion_tokens == 0


def test_echo_of_token_ids_is_their_text(client: openai.OpenAI, generator: TextGenerator) -> None:
    answer = complete(client, generator.encode("爱人 "), echo=True, max_tokens=1)
    assert answer.choices[0].text.startswith("爱人 ")


def test_without_logprobs_there_are_none(client: openai.OpenAI) -> None:
    assert complete(client).choices[0].logprobs is None


def test_stop_texts_end_the_answer() -> None:
    with serving(scripted("one two three")) as server, client_of(server) as client:
        greedy = {"max_tokens": 20, "temperature": 0}
        stopped = complete(client, stop=["three", "two"], **greedy).choices[0]
        assert (stopped.text, stopped.finish_reason) == ("one ", "stop")
        assert complete(client, stop="x", **greedy).choices[0].text == "one two three"
        ended = complete(client, **greedy)
        assert ended.choices[0].finish_reason == "stop"
        assert ended.usage.completion_tokens == 14, "the end token was generated too"
        cut = complete(client, max_tokens=3, temperature=0).choices[0]
        assert (cut.text, cut.finish_reason) == ("one", "length")


def test_characters_of_several_tokens_arrive_whole(speaker: openai.OpenAI) -> None:
    options = {"logprobs": 1, "max_tokens": 20, "temperature": 0}
    events = list(complete(speaker, stream=True, **options))
    assert [e.choices[0].text for e in events if e.choices[0].text] == ["仁", "者"]
    whole = complete(speaker, **options).choices[0]
    assert len(whole.logprobs.tokens) == 6
    assert whole.logprobs.text_offset == sorted(whole.logprobs.text_offset)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n": 3, "logprobs": 2},
        {"echo": True, "logprobs": 1},
        {"echo": True, "max_tokens": 0},
        {"prompt": ["a", "the "], "n": 2},
        {"stop": ["e", "a"], "max_tokens": 40},
    ],
    ids=str,
)
def test_a_stream_adds_up_to_the_whole(client: openai.OpenAI, options: dict[str, Any]) -> None:
    whole = complete(client, **options)
    events = list(complete(client, stream=True, stream_options={"include_usage": True}, **options))
    assert events[-1].choices == []
    assert events[-1].usage == whole.usage
    assert all(event.usage is None for event in events[:-1])
    assert len({event.id for event in events}) == 1
    for choice in whole.choices:
        parts = [e.choices[0] for e in events[:-1] if e.choices[0].index == choice.index]
        assert "".join(part.text for part in parts) == choice.text
        assert [p.finish_reason for p in parts if p.finish_reason] == [choice.finish_reason]
        assert parts[-1].finish_reason == choice.finish_reason
        if choice.logprobs is not None:
            for name in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
                joined = [x for part in parts for x in getattr(part.logprobs, name)]
                expected = getattr(choice.logprobs, name)
                if name in ("tokens", "text_offset"):
                    assert joined == expected
                assert len(joined) == len(expected)


def test_a_stream_without_usage_has_none(client: openai.OpenAI) -> None:
    events = list(complete(client, stream=True))
    assert all("usage" not in event.to_dict() for event in events)
    assert all(event.choices for event in events)


@given(text=st.text(max_size=40))
@settings(max_examples=50, deadline=None)
def test_any_text_survives_the_wire(speaker: openai.OpenAI, text: str) -> None:
    answer = complete(speaker, [text, "x"], echo=True, max_tokens=0)
    assert answer.choices[0].text == text
    if text:
        ids = Bytes().encode(text)
        assert complete(speaker, ids, echo=True, max_tokens=0).choices[0].text == text


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"max_tokens": 65}, "max_tokens", "allows 64"),
    ({"max_tokens": -1}, "max_tokens", "greater than or equal to 0"),
    ({"max_tokens": 0}, "max_tokens", "needs echo"),
    ({"max_tokens": 64, "prompt": "a" * 50}, "max_tokens", f"context length is {CONTEXT}"),
    ({"temperature": 2.5}, "temperature", "less than or equal to 2"),
    ({"temperature": "hot"}, "temperature", "valid number"),
    ({"top_p": 0}, "top_p", "greater than 0"),
    ({"n": 0}, "n", "greater than or equal to 1"),
    ({"n": 9}, "n", "At most 8 answers"),
    ({"logprobs": 21}, "logprobs", "less than or equal to 20"),
    ({"stop": ""}, "stop", "of 1 to 1,024 characters"),
    ({"stop": ["x"] * 17}, "stop", "at most 16"),
    ({"best_of": 3}, "best_of", "does not support"),
    ({"suffix": "end"}, "suffix", "does not support"),
    ({"logit_bias": {"5": 10}}, "logit_bias", "does not support"),
    ({"presence_penalty": 0.5}, "presence_penalty", "does not support"),
    ({"frequency_penalty": 0.5}, "frequency_penalty", "does not support"),
    ({"prompt": []}, "prompt", "must be a text, token ids"),
    ({"prompt": [-1]}, "prompt", "must be a text, token ids"),
    ({"prompt": ["a", 1]}, "prompt", "must be a text, token ids"),
    ({"extra_body": {"temprature": 1}}, "temprature", "Unrecognized request argument"),
]


@pytest.mark.parametrize(("options", "param", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_requests(
    client: openai.OpenAI, options: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        complete(client, **options)
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id is not None


@pytest.mark.parametrize("options", [{"prompt": [10_000]}, {"prompt": "a" * CONTEXT}])
def test_prompts_the_model_cannot_take(client: openai.OpenAI, options: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError, match=r"[Tt]he prompt"):
        complete(client, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"user": "someone"},
        {"best_of": 1, "suffix": "", "logit_bias": {}, "presence_penalty": 0},
        {"best_of": None, "echo": None, "logprobs": None, "n": None, "stop": None},
        {"stream_options": {"include_usage": True}},
    ],
    ids=str,
)
def test_fields_without_effect_are_taken(client: openai.OpenAI, options: dict[str, Any]) -> None:
    assert complete(client, **options).choices[0].text == complete(client).choices[0].text


def test_models(client: openai.OpenAI) -> None:
    [listed] = client.models.list().data
    assert (listed.id, listed.object, listed.owned_by) == ("tiny", "model", "luban")
    assert client.models.retrieve("tiny") == listed
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-4")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="does not exist here"):
        complete(client, model="gpt-4")


def test_tokens_are_counted(server: Server, client: openai.OpenAI) -> None:
    kinds = ("prompt", "completion")
    before = {kind: metric(server, "luban_tokens_total", {"kind": kind}) for kind in kinds}
    usage = complete(client, ["the ", "a"], n=2).usage
    after = {kind: metric(server, "luban_tokens_total", {"kind": kind}) for kind in kinds}
    assert after["prompt"] - before["prompt"] == usage.prompt_tokens
    assert after["completion"] - before["completion"] == usage.completion_tokens
    assert metric(server, "luban_first_piece_seconds_count") > 0
