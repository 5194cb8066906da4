"""Texts of any script: what is the same scores best, what is not does not, words stay whole."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from luban.core.contracts import Metric
from luban.core.unicode_text import alone, characters, parts, pieces, tokens, unspaced_share, words

#: Two texts of each script, different in every word.
SCRIPTS = {
    "english": ("The cat sleeps on a mat.", "Dogs bark loudly tonight!"),
    "russian": ("Кошка спит на коврике.", "Собаки громко лают ночью!"),
    "greek": ("Η γάτα κοιμάται στο χαλί.", "Σκυλιά γαβγίζουν δυνατά!"),
    "arabic": ("القطة تنام على السجادة.", "الكلاب تنبح بصوت عالٍ ليلًا!"),
    "persian": ("گربه می‌خوابد روی فرش.", "سگ‌ها شب بلند پارس کردند!"),
    "hebrew": ("החתול ישן על השטיח.", "כלבים נובחים בקול רם!"),
    "hindi": ("बिल्ली चटाई पर सो रही है।", "कुत्ते रात को ज़ोर से भौंकते!"),
    "bengali": ("বিড়াল মাদুরে ঘুমায়।", "কুকুর রাতে জোরে ডাকে!"),
    "tamil": ("பூனை பாயில் தூங்குகிறது.", "நாய்கள் இரவில் குரைக்கின்றன!"),
    "korean": ("고양이가 매트에서 잔다.", "개들은 밤에 크게 짖는다!"),
    "amharic": ("ድመቷ ምንጣፍ ላይ ትተኛለች።", "ውሾች ሌሊት ይጮሃሉ!"),
    "chinese": ("猫睡在垫子上。", "狗晚叫得很响！"),
    "japanese": ("ねこはマットで寝る。", "犬も夜うるさく吠えた！"),
    "thai": ("แมวนอนบนเสื่อ", "หมู่ดุจริงทุกคืน"),
    "khmer": ("ឆ្មាដេកលើ", "សុនខព្រុះ"),
    "burmese": ("ကြောင်အိပ်", "ခွေးဟောင်"),
    "lao": ("ແມວນອນ", "ໝາເຫົ່າ"),
    "decomposed": (unicodedata.normalize("NFD", "Là où l'été naît."), "Bœufs."),
    "emoji": ("🙂👩‍🚀❤️", "🚀🇫🇷"),
}
BLANKED = {name for name, (text, _) in SCRIPTS.items() if unspaced_share(text) == 0}
cases = pytest.mark.parametrize

MEASURES: list[dict[str, Any]] = [
    *({"name": "rouge", "type": t, "tokenize": k} for t in ("rouge1", "rougeL")
      for k in ("words", "characters")),
    *({"name": "bleu", "tokenize": t} for t in ("13a", "intl", "zh", "char")),
    {"name": "chrf"},
    *({"name": "ter", "tokenize": t} for t in ("tercom", "zh")),
    {"name": "word-error-rate"},
    {"name": "character-error-rate"},
    *({"name": n, "language": lang} for n in ("exact-match", "answer-f1") for lang in ("en", "zh")),
]  # fmt: skip


def value(metric: Metric, said: str, true: str) -> float:
    """Return the metric of one text, in the form of every task that writes."""
    target = {"text": true, "references": [true], "answers": [true]}
    row = metric.statistics({"text": said, "answer": said}, target)
    return metric.compute(np.asarray([row], dtype=np.float64))


@cases("fields", MEASURES, ids=lambda fields: "-".join(fields.values()))
@cases("script", SCRIPTS)
def test_the_same_text_scores_best_and_another_does_not(
    script: str, fields: dict[str, Any]
) -> None:
    metric = Metric.from_dict(fields)
    text, other = SCRIPTS[script]
    for one in (text, other):
        assert value(metric, one, one) == pytest.approx(metric.best)
    worse = value(metric, other, text)
    assert worse != pytest.approx(metric.best)
    assert abs(worse - metric.best) > 0.3 * (100 if fields["name"] in ("bleu", "chrf") else 1)


@cases("script", sorted(set(SCRIPTS) - {"emoji"}))
def test_no_mark_divides_a_word_and_none_is_lost(script: str) -> None:
    for text in SCRIPTS[script]:
        found = words(text)
        assert found
        assert not any(unicodedata.category(word[0])[0] == "M" for word in found)
        kept = "".join(c for c in text if unicodedata.category(c)[0] in "LMN" or c == "\u200c")
        assert "".join(found) == kept
        if script in BLANKED:
            expected = [word.strip(".!।።") for word in text.replace("'", " ").split()]
            assert found == expected
        else:
            assert all(alone(word) for word in found)


@given(st.text())
def test_all_ways_of_cutting_lose_nothing_but_blanks(text: str) -> None:
    bare = "".join(text.split())
    for cut in (pieces(text), tokens(text), characters(text), [text[a:b] for a, b in parts(text)]):
        assert all(cut)
        assert "".join(cut) == bare


@given(st.text("abcdefghijklmnopqrstuvwxyzABC 0129 .,'-_!é", max_size=40), st.text(max_size=40))
def test_rouge_of_ascii_is_rouge_score_s(said: str, true: str) -> None:
    said, true = (side.encode("ascii", "ignore").decode() for side in (said, true))
    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    for kind, expected in scorer.score(true, said).items():
        row = Metric.from_dict({"name": "rouge", "type": kind}).statistics(
            {"text": said}, {"references": [true]}
        )
        if words(said) and words(true):
            assert row[0] == pytest.approx(expected.fmeasure)


@cases("name", ["bleu", "chrf", "ter"])
def test_references_without_words_are_counted(name: str) -> None:
    metric = Metric.from_dict({"name": name})
    rows = [
        metric.statistics({"text": "a b"}, {"references": [reference]})
        for reference in ("a b", "a c", " ")
    ]
    assert metric.note(np.asarray(rows)).endswith("; 1 of 3 references have no word")
    assert "no word" not in metric.note(np.asarray(rows[:2]))


@cases("name", ["word-error-rate", "character-error-rate"])
def test_empty_transcripts_are_counted(name: str) -> None:
    metric = Metric.from_dict({"name": name})
    rows = np.asarray([metric.statistics({"text": "a"}, {"text": text}) for text in ("a", "")])
    assert "; 1 of 2 references are empty" in metric.note(rows)


def test_words_of_one_script_beside_another() -> None:
    assert words("GPT模型of鲁班 v2") == ["GPT", "模", "型", "of", "鲁", "班", "v2"]
    assert words("東京タワー2026") == [*"東京タワー", "2026"]
    assert tokens("3.14 don't 漢字") == ["3.14", "don't", "漢", "字"]
    assert pieces("don't, 漢字。") == ["don't,", "漢", "字", "。"]
    assert characters("🇫🇷 👩‍🚀e\u0301") == ["🇫🇷", "👩‍🚀", "e\u0301"]
