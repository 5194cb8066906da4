"""Cleaners: what they change, what they drop, and that they say so."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.core import registry
from luban.core.contracts import Cleaner, Record, Source, Tally
from luban.core.errors import RecipeError
from luban.core.unicode_text import words
from luban.data.files.language import script_shares


def clean(*texts: str, **fields: Any) -> tuple[list[str], dict[str, int]]:
    records: list[Record] = [{"text": t, "_where": f"f:{i}"} for i, t in enumerate(texts, 1)]
    tally = Tally()
    found = list(Cleaner.from_dict(fields).clean(records, tally))
    assert all(record["_where"].startswith("f:") for record in found)
    assert tally.counts.keys() == tally.examples.keys()
    return [record["text"] for record in found], dict(tally.counts)


MADE = {
    "regex": {"pattern": "x"},
    "language": {"script": "latin"},
}


@pytest.mark.parametrize("name", registry.names("cleaners"))
@given(texts=st.lists(st.text(max_size=12), max_size=12))
def test_every_cleaner_accounts_for_what_is_gone(name: str, texts: list[str]) -> None:
    found, counts = clean(*texts, name=name, **MADE.get(name, {}))
    dropped = sum(times for act, times in counts.items() if act.startswith("dropped"))
    assert len(found) + dropped == len(texts)
    if not counts:
        assert found == texts


@given(st.text())
def test_unicode_is_normal_and_stays_so(text: str) -> None:
    for form in ("NFC", "NFKC"):
        [once], _ = clean(text, name="unicode", form=form)
        assert unicodedata.is_normalized(form, once)
        assert "\r" not in once
        assert clean(once, name="unicode", form=form) == ([once], {})


def test_unicode_in_detail() -> None:
    found, counts = clean("a\r\nb\rc", "e\u0301", "a\0b\ufeff\tc", "Ａ㎏", name="unicode")
    assert found == ["a\nb\nc", "é", "ab\tc", "Ａ㎏"]
    assert counts == {
        "line ends turned into LF": 1,
        "brought to NFC": 1,
        "control characters removed": 1,
    }
    assert clean("Ａ㎏，", name="unicode", form="NFKC")[0] == ["Akg,"]
    kept = clean("\r\0", name="unicode", form="none", strip_control=False, newlines=False)
    assert kept == (["\r\0"], {})


def test_length() -> None:
    found, counts = clean("", " \n", "ab", "abc", "abcd", name="length", max_characters=3)
    assert found == ["ab", "abc"]
    assert counts == {"dropped: too short": 2, "dropped: too long": 1}


def test_language() -> None:
    texts = ("Hello", "你好，世界", "你好 hello", "12 + 3 = ?", "Привет", "Été à Paris")
    assert clean(*texts, name="language", script="latin")[0] == [
        "Hello",
        "你好 hello",
        "Été à Paris",
    ]
    assert clean(*texts, name="language", script="cjk", min_share=0.9)[0] == ["你好，世界"]


def test_exact_duplicates() -> None:
    texts = ("A b", "a  B\n", "b", "A b")
    assert clean(*texts, name="exact-duplicates") == (["A b", "b"], {"dropped: came before": 2})
    assert clean(*texts, name="exact-duplicates", ignore_case=False)[0] == ["A b", "a  B\n", "b"]


def test_near_duplicates_match_exact_jaccard(luban_data: Path) -> None:
    """On real poems, what is dropped is what brute force over the shingle sets drops."""
    pytest.importorskip("datasketch")
    source = {"name": "json", "path": str(luban_data / "songci/ci.song.0.json.gz")}
    poems = [
        r["text"] for r in Source.from_dict({**source, "template": "{paragraphs}"}).read("train")
    ]
    poems = poems[:150]
    changed = [poem[:-3] + "天下白" for poem in poems[:20]]  # nearly the same
    sets = [_shingles(text) for text in (*poems, *changed)]
    far_from = [max(_jaccard(a, b) for b in sets[:i]) for i, a in enumerate(sets) if i]
    clear = sum(share > 0.85 for share in far_from)
    unclear = sum(0.6 < share <= 0.85 for share in far_from)
    found, counts = clean(*poems, *changed, name="near-duplicates", threshold=0.7)
    dropped = counts["dropped: nearly the same"]
    assert clear <= dropped <= clear + unclear
    assert clear >= 10
    assert len(found) == len(sets) - dropped


def test_regex() -> None:
    assert clean("a1", "b", name="regex", pattern=r"\d") == (["b"], {"dropped: matches": 1})
    replaced = clean("a1b22", "b", name="regex", pattern=r"(\d)", replace_with=r"<\1>")
    assert replaced == (["a<1>b<2><2>", "b"], {"replaced": 3})
    with pytest.raises(RecipeError, match="not a regular expression"):
        clean(name="regex", pattern="(")


def test_examples_are_kept_short_and_few() -> None:
    tally = Tally()
    records: list[Record] = [{"text": "x" * 500, "_where": f"f:{i}"} for i in range(9)]
    list(Cleaner.from_dict({"name": "length", "max_characters": 3}).clean(records, tally))
    assert tally.counts["dropped: too long"] == 9
    assert tally.examples["dropped: too long"] == [f"f:{i}: 500 characters" for i in range(5)]


def test_scripts_and_words() -> None:
    assert script_shares("") == {"cjk": 0.0, "latin": 0.0, "other": 0.0}
    assert script_shares("汉字 ab") == {"cjk": 0.5, "latin": 0.5, "other": 0.0}
    assert script_shares("дa")["other"] == 0.5
    assert words("It's 汉字, Straße!") == ["It", "s", "汉", "字", "Straße"]


def _shingles(text: str) -> set[tuple[str, ...]]:
    parts = words(text)
    return {tuple(parts[i : i + 3]) for i in range(max(1, len(parts) - 2))}


def _jaccard(a: set[tuple[str, ...]], b: set[tuple[str, ...]]) -> float:
    return len(a & b) / len(a | b)
