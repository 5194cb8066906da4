"""Streaming: whole characters, no stop text, the right reason, and the sum equals the parts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from luban.core.contracts import Signature
from luban.core.errors import ContractError, RequestError
from luban.inference.sampling import SamplingParams
from luban.inference.text import Chunk, Completion, TextGenerator
from luban.models.gpt import GPT
from tests.inference.fakes import Bytes, Script

GREEDY = SamplingParams(temperature=0, max_tokens=200)


def says(text: str | bytes, context: int | None = None) -> TextGenerator:
    tokens = text.encode() if isinstance(text, str) else text
    return TextGenerator(Script(list(tokens), context), Bytes())


def greedy(
    max_tokens: int = 200, stop: Sequence[str] = (), logprobs: int | None = None
) -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=max_tokens, stop=tuple(stop), logprobs=logprobs)


def only(found: Sequence[Completion]) -> Completion:
    (one,) = found
    return one


def test_half_characters_wait() -> None:
    chunks = list(says("aé漢🙂z").stream("prompt", GREEDY))
    assert [chunk.text for chunk in chunks] == [
        "a", "", "é", "", "", "漢", "", "", "", "🙂", "z", "",
    ]  # fmt: skip
    assert [chunk.finish_reason for chunk in chunks] == [None] * 11 + ["stop"]
    assert [chunk.completion_tokens for chunk in chunks] == list(range(1, 13))
    # The tokens of a character come with it.
    assert [len(chunk.tokens) for chunk in chunks] == [1, 0, 2, 0, 0, 3, 0, 0, 0, 4, 1, 0]


def test_a_character_cut_by_the_limit_is_left_out() -> None:
    done = only(says("ab漢").generate("p", greedy(max_tokens=4)))
    assert (done.text, done.finish_reason, done.completion_tokens) == ("ab", "length", 4)


def test_invalid_bytes_read_as_replacement_characters() -> None:
    assert only(says(b"a\xff\xfeb").generate("p", GREEDY)).text == "a\ufffd\ufffdb"


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (["lo w"], "hel"),
        (["world", "lo"], "hel"),
        (["d"], "hello worl"),
        (["h"], ""),
        (["hello world!"], "hello world"),
        (["xyz"], "hello world"),
    ],
)
def test_stop_texts_end_the_answer_and_are_not_part_of_it(stop: list[str], text: str) -> None:
    chunks = list(says("hello world").stream("lo w", greedy(stop=stop)))
    assert "".join(chunk.text for chunk in chunks) == text
    assert chunks[-1].finish_reason == "stop"
    assert bytes(token.id for chunk in chunks for token in chunk.tokens).decode() == text


def test_what_may_become_a_stop_text_is_held_back() -> None:
    chunks = list(says("a<e<end>b").stream("p", greedy(stop=["<end>"])))
    assert [chunk.text for chunk in chunks] == ["a", "", "", "<e", "", "", "", ""]
    assert [len(chunk.tokens) for chunk in chunks] == [1, 0, 0, 2, 0, 0, 0, 0]
    # The limit comes while text is held: then it is no stop text.
    assert only(says("a<en").generate("p", greedy(3, ["<end>"]))).text == "a<e"


def test_the_limit_ends_with_length() -> None:
    done = only(says("abcdef").generate("p", greedy(max_tokens=3)))
    assert (done.text, done.finish_reason) == ("abc", "length")


def test_a_full_context_ends_with_length() -> None:
    generator = says("abcdef", context=8)
    done = only(generator.generate("12345", GREEDY))
    assert (done.text, done.finish_reason) == ("abc", "length")
    assert only(generator.generate("1234567", GREEDY)).text == "a"
    with pytest.raises(RequestError, match="too long") as caught:
        generator.stream("12345678", GREEDY)
    assert caught.value.expected == "at most 7 tokens"
    assert caught.value.got == "8 tokens"
    shorter = TextGenerator(Script(b"abcdef", context=8), Bytes(), max_length=6)
    assert only(shorter.generate("12345", GREEDY)).text == "a"


def test_an_empty_prompt_is_the_end_token() -> None:
    assert says("x").encode("") == [256]
    assert only(says("x").generate("", GREEDY)).text == "x"


def test_prompts_may_be_tokens() -> None:
    assert says("x").encode([1, 2]) == [1, 2]
    with pytest.raises(RequestError, match="do not exist") as caught:
        says("x").encode([1, 257])
    assert caught.value.got == 257


@given(st.text("aé漢🐍", max_size=6), st.lists(st.sampled_from([256, 10]), max_size=4))
def test_answers_begin_with_nothing_of_the_prompt(text: str, after: list[int]) -> None:
    """Wherever its last characters are cut into tokens, and whatever follows them."""
    prompt = [*text.encode(), *after] or [97]
    assert only(says("é2").generate(prompt, GREEDY)).text == "é2"


def test_a_character_may_begin_in_the_prompt_and_end_in_the_answer() -> None:
    assert only(says("🐍".encode()[2:]).generate([97, *"🐍".encode()[:2]], GREEDY)).text == "🐍"


def test_logprobs_come_with_their_alternatives() -> None:
    done = only(says("ab").generate("p", greedy(logprobs=2)))
    assert [token.text for token in done.tokens] == ["a", "b"]
    assert [token.top[0][0] for token in done.tokens] == ["a", "b"]
    assert all(len(token.top) == 2 for token in done.tokens)
    assert done.tokens[0].logprob == pytest.approx(-256 * 2.718281828**-10, rel=0.02)
    plain = only(says("ab").generate("p", greedy()))
    assert plain.tokens[0].top == ()
    assert plain.tokens[0].logprob == done.tokens[0].logprob


def test_score_gives_every_prompt_token() -> None:
    scored = says("").score("aab", top=1)
    assert [token.text for token in scored] == ["a", "a", "b"]
    assert scored[0].logprob is None
    assert scored[1].logprob == pytest.approx(-256 * 2.718281828**-10, rel=0.02)
    assert scored[2].logprob == pytest.approx(-10, abs=0.1)
    assert [token.top[0][0] for token in scored[1:]] == ["a", "a"]
    assert len(says("").score("a")) == 1


def test_closing_the_stream_cancels() -> None:
    module = Script(b"abc" * 50)
    stream = TextGenerator(module, Bytes()).stream("p", GREEDY)
    assert isinstance(next(iter(stream)), Chunk)
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)


def test_a_module_that_cannot_decode_is_refused() -> None:
    with pytest.raises(ContractError, match="Linear cannot continue"):
        TextGenerator(nn.Linear(2, 2), Bytes())


def test_n_must_be_positive() -> None:
    with pytest.raises(RequestError, match="n is out of range"):
        says("a").stream("p", GREEDY, n=0)


@pytest.fixture(scope="module")
def generator() -> TextGenerator:
    torch.manual_seed(0)
    fields = {"hidden_size": 32, "num_hidden_layers": 1, "initializer_range": 0.5, "dropout": 0.5}
    model = GPT.from_dict({"name": "gpt", **fields})
    return TextGenerator(model.build(Signature("tokens", 257, 257, 64)), Bytes())


def test_answers_of_one_request_differ_and_repeat(generator: TextGenerator) -> None:
    params = SamplingParams(seed=5, max_tokens=20)
    first, again = (generator.generate("hello", params, n=3) for _ in range(2))
    assert first == again
    assert [one.index for one in first] == [0, 1, 2]
    assert len({one.text for one in first}) == 3
    assert generator.generate("hello", params)[0].text == first[0].text
    unseeded = SamplingParams(max_tokens=20)
    assert generator.generate("hello", unseeded) != generator.generate("hello", unseeded)


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=30), stop=st.lists(st.text("ab ", min_size=1, max_size=3), max_size=2))
def test_the_parts_are_the_whole(text: str, stop: list[str]) -> None:
    found = [at for s in stop if (at := text.find(s)) >= 0]
    expected = text[: min(found)] if found else text
    chunks = list(says(text).stream("p", greedy(max_tokens=200, stop=stop)))
    assert "".join(chunk.text for chunk in chunks) == expected
    assert [chunk.finish_reason is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [
        True
    ]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_text_is_what_the_tokens_decode_to(generator: TextGenerator, seed: int) -> None:
    (done,) = generator.generate("p", SamplingParams(seed=seed, max_tokens=30))
    whole = Bytes().decode([token.id for token in done.tokens])
    assert done.text.rstrip("\ufffd") == whole.rstrip("\ufffd")
