"""Laws over all sorts of tokenizers and any text: the ids of the saved folder's own tokenizer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luban.core.contracts import Task
from luban.core.errors import DataError
from tests.chat_families import CORPUS, ENCODERS, READERS, theirs, write_folder

OWN: dict[str, dict[str, Any]] = {
    "char": {"name": "char"},
    "bpe": {"name": "bpe", "vocab_size": 320},
    "unigram": {"name": "unigram", "vocab_size": 290},
    "wordpiece": {"name": "wordpiece", "vocab_size": 130},
}
SORTS = [*OWN, *ENCODERS]
LENGTH = 24
#: Scripts, marks, joiners, emoji, blanks of several sorts, signs; and any other character.
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            ["what ", "Naïve", "e\u0301", " ", "  ", "\t", "\n", "床前", "ー", "हिन्दी ", "สวัสดี",
             "한국", "🐍", "👩\u200d🚀", "🇨🇳", "(a)", "...", "foo-bar", "3rd's", "_x_", "\u00ad",
             "\u200b", "\ufeff", "ﬁ", "İ", "ß", "[x", "<b", "｜", "▁", "##s", "Ġ"]
        ),
        st.text(max_size=4),
    ),
    max_size=8,
).map("".join)  # fmt: skip
#: What is special in one of the tokenizers: spelled in a text it is text here, and a token there.
SPECIAL = ("[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]", "<s>", "</s>", "<pad>", "<mask>",
           "<|endoftext|>")  # fmt: skip


def plain(text: str) -> bool:
    return not any(token in text for token in SPECIAL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what gives a learned task, the task as loaded again, and transformers' tokenizer."""
    root = tmp_path_factory.mktemp("laws")

    @cache
    def make(sort: str, task: str, length: int = LENGTH) -> tuple[Task, Task, Any]:
        if sort in OWN:
            tokenizer = OWN[sort]
        else:
            maker, config = {**ENCODERS, **_readers()}[sort]
            folder = write_folder(root / f"{sort}-{task}-{length}-theirs", maker(), config)
            tokenizer = {"name": "pretrained", "path": str(folder)}
        fields: dict[str, Any] = {"name": task, "tokenizer": tokenizer}
        if task != "text-generation":
            fields["max_length"] = length
        given = Task.from_dict(fields)
        learned = given.learn(_records(task))
        folder = root / f"{sort}-{task}-{length}"
        folder.mkdir()
        learned.save(folder)
        return learned, given.load(folder), theirs(folder)

    return make


def _readers() -> dict[str, Any]:
    named = {"bos_token": "<s>", "eos_token": "</s>"}
    return {name: (maker, named) for name, maker in READERS.items()}


def _records(task: str) -> list[dict[str, Any]]:
    if task == "token-classification":
        one = {"start": 0, "end": 1, "type": "x"}
        return [{"text": text, "entities": [one]} for text in CORPUS]
    rows = [{"text": t, "text_pair": t, "label": str(n % 2)} for n, t in enumerate(CORPUS)]
    return rows if task == "text-classification" else [{"text": text} for text in CORPUS]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("length", [LENGTH, LENGTH - 1])
def test_pairs_are_cut_and_framed_as_the_saved_tokenizer_does(
    sort: str, length: int, made: Any
) -> None:
    """Truncation ``longest_first``, an odd number of free places included; segments as well."""
    learned, loaded, hf = made(sort, "text-classification", length)

    @settings(max_examples=40, deadline=None)
    @given(TEXTS.filter(plain), TEXTS.filter(plain))
    def law(one: str, two: str) -> None:
        row = {"text": one, "text_pair": two}
        try:
            ours = learned.encode({**row, "label": "0"})
            again = loaded.encode_input(row)
        except DataError:  # a blank text is set apart
            assert not all(any(map(str.isalnum, text)) for text in (one, two))
            return
        # As lists: of two texts alone, transformers takes an empty second one for none.
        ref = hf([one], [two], truncation="longest_first", max_length=length)
        assert ours["input_ids"].tolist() == ref.input_ids[0]
        assert again["input_ids"].tolist() == ref.input_ids[0]
        if "token_type_ids" in ref:
            assert ours["token_type_ids"].tolist() == ref.token_type_ids[0]

    law()


@pytest.mark.parametrize("sort", SORTS)
def test_words_are_tokens_of_the_whole_text(sort: str, made: Any) -> None:
    """Token classification reads what the tokenizer gives for the text; words find their places.

    Words that share a token are encoded one by one, and this is counted: never with a tokenizer
    that learned here, but where a normaliser drops what stands between two words.
    """
    learned, loaded, hf = made(sort, "token-classification")

    @settings(max_examples=80, deadline=None)
    @given(TEXTS.filter(plain))
    def law(text: str) -> None:
        try:
            example = learned.encode_input({"text": text})
        except DataError:
            assert not text.strip()
            return
        again = loaded.encode_input({"text": text})
        assert example["input_ids"].tolist() == again["input_ids"].tolist()
        assert example["firsts"].tolist() == again["firsts"].tolist()
        assert len(example["firsts"]) <= len(example["spans"])
        if example["apart"]:
            assert sort not in ("char", "bpe", "unigram")
        else:
            ref = hf(text, truncation=True, max_length=LENGTH)
            assert example["input_ids"].tolist() == ref.input_ids
        assert (example["firsts"] >= 1).all()
        assert (example["firsts"] < len(example["input_ids"])).all()

    law()


@pytest.mark.parametrize("sort", ["wordpiece", "bert"])
def test_words_given_are_those_of_is_split_into_words(sort: str, made: Any) -> None:
    """BERT's tokenizers: ids, and the first token of each word, as ``word_ids`` has them."""
    learned, _, hf = made(sort, "token-classification")
    words = st.sampled_from(
        [
            "what",
            "Naïve",
            "U.S.",
            "(x)",
            "3rd's",
            "床",
            "前",
            "한국",
            "e\u0301t\u00e9",
            "🐍",
            "foo-bar",
            "...",
        ]
    )

    @settings(max_examples=60, deadline=None)
    @given(st.lists(words, min_size=1, max_size=9))
    def law(tokens: list[str]) -> None:
        example = learned.encode_input({"tokens": tokens})
        ref = hf(tokens, is_split_into_words=True, truncation=True, max_length=LENGTH)
        assert example["input_ids"].tolist() == ref.input_ids
        numbers = ref.word_ids()
        firsts = [numbers.index(n) for n in range(len(tokens)) if n in numbers]
        assert example["firsts"].tolist() == firsts

    law()


@pytest.mark.parametrize("sort", ["char", "bpe", *READERS])
def test_texts_to_continue_begin_as_the_saved_tokenizer_lets_them(sort: str, made: Any) -> None:
    learned, loaded, hf = made(sort, "text-generation")
    end = learned.signature().end

    @settings(max_examples=60, deadline=None)
    @given(TEXTS.filter(plain))
    def law(text: str) -> None:
        ids = hf(text).input_ids
        ref = [*ids[: len(ids) - (ids[-1:] == [end])], end]
        for task in (learned, loaded):
            assert task.encode({"text": text})["input_ids"].tolist() == ref

    law()


def test_special_tokens_that_a_text_spells_are_text(made: Any, tmp_path: Path) -> None:
    """What the laws above leave out: data cannot end a text."""
    learned, _, hf = made("bpe", "text-classification", LENGTH)
    pair = {"text": "a [SEP] b", "text_pair": "[CLS]"}
    ids = learned.encode({**pair, "label": "0"})["input_ids"].tolist()
    assert ids.count(hf.sep_token_id) == 2
    assert ids.count(hf.cls_token_id) == 1
