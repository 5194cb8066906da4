"""Public sets of translations, summaries, questions and conversations, as people unpack them."""

from __future__ import annotations

from tests.cases.layouts import (
    COUNT,
    Asked,
    Judged,
    Layout,
    as_json,
    hanzi,
    jsonl,
    sentence,
    table,
    text,
    write,
)

ALL = ("train", "validation", "test")


def multi30k() -> str:
    for split in ("train", "val", "test_2016_flickr"):
        for side in ("de", "en"):
            text(f"multi30k/{split}.{side}.gz", (f"{side} {sentence(i)}" for i in COUNT))
    return "multi30k"


def two_files_a_split() -> str:
    for split in ("news-train", "talks-train", "dev"):
        for side in ("de", "en"):
            text(f"pairs/{split}.{side}", (f"{side} {split} {sentence(i)}" for i in COUNT))
    return "pairs"


def a_side_twice() -> str:
    multi30k()
    text("multi30k/train.de", (f"de {sentence(i)}" for i in COUNT))
    return "multi30k"


def three_languages() -> str:
    for split in ("train", "val"):
        for side in ("cs", "de", "en"):
            text(f"task1/{split}.{side}", (f"{side} {sentence(i)}" for i in COUNT))
    return "task1"


def portuguese() -> str:
    for side in ("en", "pt"):
        text(f"books/train.{side}", (f"{side} {sentence(i)}" for i in COUNT))
    return "books"


def opus() -> str:
    for side in ("en", "zh"):
        said = sentence if side == "en" else hanzi
        text(f"opus/Tatoeba.en-zh.{side}", (said(i) for i in COUNT))
    write("opus/README", "Corpus\n")
    text("opus/Tatoeba.en-zh.xml", ["<?xml version='1.0'?>", "<linkGrp>", "</linkGrp>"])
    write("opus/LICENSE", "CC\n")
    return "opus"


def wmt() -> str:
    table("news-commentary.en-zh.tsv", ((sentence(i), hanzi(i)) for i in COUNT))
    return "news-commentary.en-zh.tsv"


def manythings() -> str:
    table("fra.txt", ((sentence(i), f"le {sentence(i + 1)}", "CC-BY 2.0 (France)") for i in COUNT))
    return "fra.txt"


def tatoeba() -> str:
    rows = [(i, sentence(i), i + 900, hanzi(i)) for i in COUNT]
    table("Sentence pairs in English-Mandarin.tsv", rows)
    return "Sentence pairs in English-Mandarin.tsv"


def iwslt() -> str:
    for side in ("de", "en"):
        lines = ["<url>http://x</url>", "<title>x</title>"]
        text(f"iwslt/train.tags.de-en.{side}", [*lines, *(f"{side} {sentence(i)}" for i in COUNT)])
        segments = [f'<seg id="{i}"> {sentence(i)} </seg>' for i in COUNT]
        text(f"iwslt/IWSLT16.TED.dev2010.de-en.{side}.xml", ["<mteval>", *segments, "</mteval>"])
    return "iwslt"


def cnn() -> str:
    for split in ("train", "validation", "test"):
        rows = (
            {"id": f"x{i}", "article": sentence(i, 60), "highlights": sentence(i)} for i in COUNT
        )
        jsonl(f"cnn_dm/{split}.jsonl", rows)
    return "cnn_dm"


def xsum() -> str:
    rows = ({"document": sentence(i, 60), "summary": sentence(i), "id": str(i)} for i in COUNT)
    jsonl("xsum.jsonl", rows)
    return "xsum.jsonl"


def samsum() -> str:
    """A list of JSON; one dialogue of the real set is empty, and short ones have long summaries."""
    for split in ("train", "val", "test"):
        rows = [
            {
                "id": str(i),
                "summary": sentence(i),
                "dialogue": "" if i == 5 else f"A: {sentence(i)}\r\nB: ok",
            }
            for i in COUNT
        ]
        as_json(f"samsum/{split}.json", rows)
    return "samsum"


def lcsts() -> str:
    rows = ({"summary": hanzi(i, 9), "text": hanzi(i, 90)} for i in COUNT)
    jsonl("lcsts.jsonl", rows)
    return "lcsts.jsonl"


def passage(number: int, answered: bool = True) -> dict[str, object]:
    context = sentence(number, 30)
    asked = {"id": f"q{number}", "question": f"What is {number}?", "is_impossible": not answered}
    answers = [{"text": context[:3], "answer_start": 0}] if answered else []
    return {"context": context, "qas": [{**asked, "answers": answers}]}


def squad() -> str:
    for split in ("train", "dev"):
        paragraphs = [passage(i, i % 3 > 0) for i in COUNT]
        data = {"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}
        as_json(f"squad/{split}-v2.0.json", data)
    return "squad"


def newsqa() -> str:
    head = ("story_id", "question", "answer_char_ranges", "story_text")
    rows = [(f"s{i}", f"What {i}?", "0:3|None", f'"{sentence(i, 30)}"') for i in COUNT]
    table("newsqa.csv", [head, *rows], ",")
    return "newsqa.csv"


def race() -> str:
    for split in ("train", "dev"):
        for i in range(12):
            row = {
                "article": sentence(i, 40),
                "questions": ["Q _ ?"],
                "options": [["a", "b", "c", "d"]],
            }
            as_json(f"RACE/{split}/high/{i}.txt", {**row, "answers": ["B"], "id": f"high{i}.txt"})
    return "RACE"


def arc() -> str:
    rows = (
        {
            "id": f"m{i}",
            "question": {
                "stem": sentence(i),
                "choices": [{"text": f"{w} {i}", "label": w} for w in "ABCD"],
            },
            "answerKey": "ABCD"[i % 4],
        }
        for i in COUNT
    )
    jsonl("ARC-Easy-Train.jsonl", rows)
    return "ARC-Easy-Train.jsonl"


def hellaswag() -> str:
    rows = (
        {"ind": i, "ctx": sentence(i), "label": i % 4, "endings": [f"{w} {i}" for w in "abcd"]}
        for i in COUNT
    )
    jsonl("hellaswag_train.jsonl", rows)
    return "hellaswag_train.jsonl"


def copa() -> str:
    rows = (
        {
            "premise": sentence(i),
            "choice1": f"it fell {i}.",
            "choice2": f"it rose {i}.",
            "question": ("cause", "effect")[i % 2],
            "label": i % 2,
            "idx": i,
        }
        for i in COUNT
    )
    jsonl("COPA/train.jsonl", rows)
    return "COPA/train.jsonl"


def alpaca() -> str:
    rows = [
        {
            "instruction": sentence(i),
            "input": "" if i % 2 else sentence(i + 1),
            "output": sentence(i + 2),
        }
        for i in COUNT
    ]
    as_json("alpaca_data.json", rows)
    return "alpaca_data.json"


def dolly() -> str:
    rows = (
        {
            "instruction": sentence(i),
            "context": sentence(i + 1) if i % 3 == 0 else "",
            "response": sentence(i + 2),
            "category": ("open_qa", "summarization")[i % 2],
        }
        for i in COUNT
    )
    jsonl("databricks-dolly-15k.jsonl", rows)
    return "databricks-dolly-15k.jsonl"


def sharegpt() -> str:
    rows = [
        {
            "id": f"c{i}",
            "conversations": [
                {"from": "human", "value": sentence(i)},
                {"from": "gpt", "value": sentence(i + 1)},
            ],
        }
        for i in COUNT
    ]
    as_json("sharegpt.json", rows)
    return "sharegpt.json"


def ultrachat() -> str:
    jsonl(
        "ultrachat.jsonl", ({"id": str(i), "data": [sentence(i), sentence(i + 1)]} for i in COUNT)
    )
    return "ultrachat.jsonl"


def openassistant() -> str:
    rows = (
        {
            "message_id": f"m{i}",
            "parent_id": None if i % 2 == 0 else f"m{i - 1}",
            "text": sentence(i),
            "role": ("prompter", "assistant")[i % 2],
            "lang": "en",
        }
        for i in COUNT
    )
    jsonl("oasst.jsonl", rows)
    return "oasst.jsonl"


def preferences() -> str:
    rows = [
        {"prompt": sentence(i), "chosen": sentence(i + 1), "rejected": sentence(i + 2)}
        for i in COUNT
    ]
    as_json("dpo.json", rows)
    return "dpo.json"


def two_forms_of_tuning() -> str:
    alpaca()
    rows = [
        {
            "conversations": [{"from": "human", "value": sentence(i)}],
            "chosen": {"from": "gpt", "value": "a"},
        }
        for i in COUNT
    ]
    as_json("demo/dpo_en.json", rows)
    as_json(
        "demo/alpaca_en.json", [{"instruction": sentence(i), "output": sentence(i)} for i in COUNT]
    )
    return "demo"


PAIRS: dict[str, Layout] = {
    "Multi30k": (multi30k, Judged("translation", 144, splits=ALL)),
    "two files a split": (
        two_files_a_split,
        Judged("translation", 144, splits=("train", "validation")),
    ),
    "a side twice": (a_side_twice, Asked(("train.de", "train.de.gz"))),
    "three languages": (three_languages, Asked(("cs", "de", "en", "fields.source="))),
    "two of three languages": (
        three_languages,
        Judged(
            "translation",
            96,
            splits=("train", "validation"),
            arguments=("fields.source=cs", "fields.target=en"),
        ),
    ),
    "Portuguese": (portuguese, Judged("translation", 48)),
    "OPUS": (opus, Judged("translation", 48)),
    "WMT": (wmt, Judged("translation", 48)),
    "manythings": (manythings, Asked(("column1", "column2", "fields.source="))),
    "Tatoeba": (
        tatoeba,
        Judged("translation", 48, source={"fields": {"source": "column2", "target": "column4"}}),
    ),
    "IWSLT": (iwslt, Asked(("tags", "train.tags.de-en.de"))),
    "CNN/DailyMail": (cnn, Judged("summarization", 144, splits=ALL)),
    "XSum": (xsum, Judged("summarization", 48)),
    "SAMSum": (samsum, Judged("summarization", 144, splits=ALL)),
    "LCSTS": (lcsts, Judged("summarization", 48)),
    "SQuAD 2": (squad, Judged("question-answering", 96, splits=("train", "validation"))),
    "NewsQA": (newsqa, Asked(("story_text", "question"))),
    "RACE": (race, Asked(("choices",))),
    "ARC": (arc, Asked(("choices", "question.choices"))),
    "HellaSwag": (hellaswag, Judged("multiple-choice", 48)),
    "COPA": (copa, Asked(("choice1",))),
    "Alpaca": (alpaca, Judged("instruction-tuning", 48)),
    "Dolly": (dolly, Judged("instruction-tuning", 48)),
    "ShareGPT": (sharegpt, Judged("instruction-tuning", 48)),
    "UltraChat": (ultrachat, Asked(("data",))),
    "OpenAssistant": (openassistant, Asked(("parent_id",))),
    "preferences": (preferences, Asked(("chosen", "rejected"))),
    "two forms of tuning": (two_forms_of_tuning, Asked(("dpo_en.json", "alpaca_en.json"))),
}
