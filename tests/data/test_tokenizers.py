"""What every tokenizer promises: an exact round trip, exact byte counts, one file on disk."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from luban.core.contracts import Tokenizer
from luban.core.errors import ContractError, DataError, RecipeError
from luban.data.tokenizers._fast import END, thinned

TEXTS = [
    "The quick brown fox jumps over the lazy dog. It's 1984, isn't it?\n\n  Indented.\r\n",
    "滚滚长江东逝水，浪花淘尽英雄。是非成败转头空：青山依旧在，几度夕阳红。\n" * 3,
    "<0x41> is not a byte, <|endoftext|> is not the end, ▁ is not a blank, Ġ neither.",
    "the the the dog dog fox jumped over 长江 长江 英雄\n" * 20,
]
LEARNED = {
    name: Tokenizer.from_dict({"name": name, **fields}).learn(TEXTS)
    for name, fields in {
        "char": {},
        "bpe": {"vocab_size": 400},
        "unigram": {"vocab_size": 400},
    }.items()
}
ODD = st.sampled_from(
    [*TEXTS, END, "<0x41>", "\r\n", "\0", "👩‍👩‍👧", "\ufeff", "é", "e\u0301", "龘"]
)
ANY = st.lists(ODD | st.text(st.characters(exclude_categories=["Cs"])), max_size=6).map("".join)

each = pytest.mark.parametrize("name", LEARNED)


@each
@given(text=ANY)
@settings(max_examples=150)
def test_round_trip_and_bytes_are_exact(name: str, text: str) -> None:
    tokenizer = LEARNED[name]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.token_bytes()[ids].sum() == len(text.encode())
    assert tokenizer.end not in ids, "text never becomes the end token"
    assert all(0 <= index < tokenizer.size for index in ids)


@each
def test_batches_are_the_same_as_single_texts(name: str) -> None:
    tokenizer = LEARNED[name]
    assert tokenizer.encode_batch(TEXTS) == [tokenizer.encode(text) for text in TEXTS]
    assert tokenizer.encode_batch([]) == []
    assert tokenizer.encode("") == []


@each
def test_special_tokens(name: str) -> None:
    tokenizer = LEARNED[name]
    assert tokenizer.pad == tokenizer.end == tokenizer.size - 1
    assert tokenizer.token_bytes().shape == (tokenizer.size,)
    assert tokenizer.token_bytes()[tokenizer.end] == 0
    assert tokenizer.decode([*tokenizer.encode("a"), tokenizer.end]) == "a"


@each
def test_saved_and_loaded_is_the_same(name: str, tmp_path: Path) -> None:
    tokenizer = LEARNED[name]
    tokenizer.save(tmp_path / "a")
    loaded = Tokenizer.from_dict(tokenizer.to_dict()).load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert loaded.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)


@each
def test_transformers_reads_it(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = LEARNED[name]
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in (TEXTS[0], TEXTS[1]):
        ids = theirs.encode(text, add_special_tokens=False)
        assert ids == tokenizer.encode(text)
        assert theirs.decode(ids) == text
    assert (theirs.eos_token_id, theirs.pad_token_id) == (tokenizer.end, tokenizer.pad)
    assert len(theirs) == tokenizer.size


@each
def test_pretrained_reads_what_was_saved(name: str, tmp_path: Path) -> None:
    tokenizer = LEARNED[name]
    tokenizer.save(tmp_path / "a")
    config = {"name": "pretrained", "path": str(tmp_path / "a")}
    found = Tokenizer.from_dict(config).learn([])
    assert found.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)
    assert (found.token_bytes() == tokenizer.token_bytes()).all()
    assert (found.end, found.pad) == (tokenizer.end, tokenizer.pad)
    found.save(tmp_path / "b")
    again = Tokenizer.from_dict(config).load(tmp_path / "b")
    assert again.end == found.end
    file = Tokenizer.from_dict({**config, "path": str(tmp_path / "a" / "tokenizer.json")})
    assert file.learn([]).size == tokenizer.size


def test_what_a_file_says_of_cutting_and_filling_up_does_not_count(tmp_path: Path) -> None:
    LEARNED["bpe"].save(tmp_path)
    plain = LEARNED["bpe"].encode(TEXTS[0])
    fast = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    fast.enable_truncation(4)
    fast.enable_padding(length=99)
    fast.save(str(tmp_path / "tokenizer.json"))
    again = Tokenizer.from_dict({"name": "pretrained", "path": str(tmp_path)}).learn([])
    assert again.encode(TEXTS[0]) == plain
    assert again.encode_spans([TEXTS[0]])[0][0] == plain


def test_pretrained_needs_an_end_token(tmp_path: Path) -> None:
    import tokenizers

    bare = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[unk]": 1}, "[unk]"))
    bare.save(str(tmp_path / "tokenizer.json"))
    config = {"name": "pretrained", "path": str(tmp_path)}
    with pytest.raises(DataError, match="which token ends"):
        Tokenizer.from_dict(config).learn([])
    with pytest.raises(DataError, match="no token '</x>'"):
        Tokenizer.from_dict({**config, "end_token": "</x>"}).learn([])
    assert Tokenizer.from_dict({**config, "end_token": "a"}).learn([]).end == 0
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="not a tokenizer"):
        Tokenizer.from_dict(config).learn([])


def test_characters_are_in_code_point_order() -> None:
    tokenizer = Tokenizer.from_dict({"name": "char", "unknown": "error"}).learn(["ba龙", "b\n"])
    assert tokenizer.size == 5
    assert tokenizer.encode("\nab龙") == [0, 1, 2, 3]
    with pytest.raises(DataError, match=r"character 2 of the text: [\s\S]*'c' \(U\+0063\)"):
        tokenizer.encode_batch(["ab", "abc"])


def test_characters_match_a_dictionary(luban_data: Path) -> None:
    text = (luban_data / "tinyshakespeare/input.txt").read_text()
    tokenizer = Tokenizer.from_dict({"name": "char", "unknown": "error"}).learn([text])
    order = {character: index for index, character in enumerate(sorted(set(text)))}
    assert tokenizer.size == 65 + 1
    assert tokenizer.encode(text[:50_000]) == [order[c] for c in text[:50_000]]


@pytest.mark.parametrize(("name", "most"), [("bpe", 0.34), ("unigram", 0.42)])
def test_sub_words_compress_and_are_reproducible(name: str, most: float, luban_data: Path) -> None:
    text = (luban_data / "tinyshakespeare/input.txt").read_text()[:300_000]
    learned = [
        Tokenizer.from_dict({"name": name, "vocab_size": 2048}).learn([text]) for _ in range(2)
    ]
    first, second = (tokenizer.encode(text) for tokenizer in learned)
    assert first == second
    assert len(first) < most * len(text)


def test_refusals() -> None:
    with pytest.raises(ContractError, match="not learned"):
        Tokenizer.from_dict("bpe").encode("a")
    for name in LEARNED:
        with pytest.raises(DataError, match="no training text"):
            Tokenizer.from_dict(name).learn(["", ""])
    with pytest.raises(RecipeError, match=r"vocab_size[\s\S]*257"):
        Tokenizer.from_dict({"name": "bpe", "vocab_size": 256})


SHORT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)


@given(st.lists(SHORT, max_size=60), st.integers(1, 50))
def test_thinning_is_bounded_and_even(texts: list[str], bound: int) -> None:
    kept = thinned(texts, bound)
    assert sum(len(text.encode()) for text in kept) <= bound or len(kept) == 1
    steps = {1 << power for power in range(7)}
    assert any(texts[::step] == kept for step in steps)


def test_a_fork_encodes_and_nothing_warns() -> None:
    code = """
import os, signal
from luban.core.contracts import Tokenizer
t = Tokenizer.from_dict("bpe").learn(["a b c"] * 9)
ids = t.encode_batch(["a b"] * 999)
pid = os.fork()
if pid == 0:
    signal.alarm(60)
    os._exit(int(t.encode_batch(["a b"] * 999) != ids))
assert os.waitpid(pid, 0)[1] == 0
assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
"""
    environment = {k: v for k, v in os.environ.items() if k != "TOKENIZERS_PARALLELISM"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_token_bytes_of_sentencepiece_style(tmp_path: Path) -> None:
    """Byte fallback and a mark for blanks, as Llama 2 has them."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers

    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    vocabulary |= {piece: 256 + i for i, piece in enumerate(["▁", "a", "b", "é", "</s>"])}
    fast = Fast(models.BPE(vocabulary, [], byte_fallback=True))
    fast.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    blank: Callable[..., decoders.Decoder] = decoders.Replace
    fast.decoder = decoders.Sequence([blank("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    fast.add_special_tokens(["</s>"])
    fast.save(str(tmp_path / "tokenizer.json"))
    found = Tokenizer.from_dict({"name": "pretrained", "path": str(tmp_path)}).learn([])
    for text in ("a b", "é汉 </s> x", "".join(random.Random(0).choices("ab é漢\n", k=99))):
        ids = found.encode(text)
        assert found.decode(ids) == text
        assert np.sum(found.token_bytes()[ids]) == len(text.encode())
