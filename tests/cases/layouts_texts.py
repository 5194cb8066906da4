"""Public sets of labelled texts, tagged texts and tables, as people unpack them."""

from __future__ import annotations

from tests.cases.layouts import (
    COUNT,
    Asked,
    Judged,
    Layout,
    hanzi,
    jsonl,
    sentence,
    table,
    text,
    write,
)


def polarity() -> str:
    for kind in ("pos", "neg"):
        text(f"rt/rt-polarity.{kind}", (f"caf\xe9 {kind} {sentence(i)}" for i in COUNT), "latin-1")
    return "rt"


def imdb() -> str:
    for split in ("train", "test"):
        for kind in ("neg", "pos"):
            for i in range(12):
                write(f"aclImdb/{split}/{kind}/{i}_{i % 10}.txt", f"{kind} {sentence(i)}")
    for i in range(12):
        write(f"aclImdb/train/unsup/{i}_0.txt", sentence(i))
    text("aclImdb/imdb.vocab", ["the", "and", "a"])
    write("aclImdb/README", "Large Movie Review Dataset\n\nIt holds reviews.\n")
    return "aclImdb"


def newsgroups() -> str:
    for kind in ("alt.atheism", "comp.graphics", "sci.space"):
        for i in range(12):
            head = f"From: caf\xe9@x.com\nSubject: {kind}\n\n"
            write(f"20news-18828/{kind}/{49960 + i}", head + sentence(i), "latin-1")
    return "20news-18828"


def thucnews() -> str:
    for kind in ("体育", "财经", "科技"):
        for i in range(12):
            write(f"THUCNews/{kind}/{i}.txt", f"{kind}\n\n{hanzi(i)}")
    return "THUCNews"


def thucnews_titles() -> str:
    for split in ("train", "dev", "test"):
        table(f"titles/{split}.txt", ((hanzi(i), i % 3) for i in COUNT))
    text("titles/class.txt", ["finance", "stocks", "sports"])
    return "titles"


def sst_tsv() -> str:
    for split in ("train", "dev"):
        table(f"SST-2/{split}.tsv", [("sentence", "label"), *((sentence(i), i % 2) for i in COUNT)])
    table("SST-2/test.tsv", [("index", "sentence"), *((i, sentence(i)) for i in COUNT)])
    return "SST-2"


def with_a_paper() -> str:
    """A table with a document about it and a cache of somebody's program."""
    table("paper/data.tsv", [("label", "text"), *((i % 2, sentence(i)) for i in COUNT)])
    write("paper/acl2019.pdf", b"%PDF-1.5\n\0\xff")
    write("paper/cache.pkl", b"\x80\x04\x95\0")
    write("paper/LICENSE", "CC\n")
    return "paper"


def mrpc() -> str:
    rows = [(i % 2, i, i + 100, f'{sentence(i)} "so', sentence(i + 1)) for i in COUNT]
    head = ("\ufeffQuality", "#1 ID", "#2 ID", "#1 String", "#2 String")
    table("MRPC/msr_paraphrase_train.txt", [head, *rows])
    table("MRPC/msr_paraphrase_test.txt", [head, *rows[:20]])
    return "MRPC"


def qqp() -> str:
    head = ("id", "qid1", "qid2", "question1", "question2", "is_duplicate")
    rows = [(i, 2 * i, 2 * i + 1, sentence(i), sentence(i + 1), i % 2) for i in COUNT]
    table("questions.tsv", [head, *rows])
    return "questions.tsv"


def snli() -> str:
    kinds = ("neutral", "entailment", "contradiction", "-")
    for split, numbers in (("train", COUNT), ("dev", range(16)), ("test", range(16))):
        rows = [
            {
                "gold_label": kinds[3 if i == 7 else i % 3],
                "annotator_labels": [kinds[i % 3]],
                "captionID": f"{i}.jpg#0",
                "sentence1": sentence(i),
                "sentence1_parse": "( ROOT )",
                "sentence2": sentence(i + 1),
            }
            for i in numbers
        ]
        jsonl(f"snli_1.0/snli_1.0_{split}.jsonl", rows)
        head = list(rows[0])
        table(f"snli_1.0/snli_1.0_{split}.txt", [head, *(list(row.values()) for row in rows)])
    return "snli_1.0"


def snli_lines() -> str:
    snli()
    return "snli_1.0/snli_1.0_train.jsonl"


def sentiment140() -> str:
    rows = (
        f'"{4 * (i % 2)}","{1467810369 + i}","Apr 06","NO_QUERY","u{i}","caf\xe9 {sentence(i)}"'
        for i in COUNT
    )
    text("training.1600000.processed.noemoticon.csv", rows, "latin-1")
    return "training.1600000.processed.noemoticon.csv"


def yelp() -> str:
    rows = (
        {"review_id": f"r{i}", "user_id": f"u{i}", "stars": float(i % 5 + 1), "text": sentence(i)}
        for i in COUNT
    )
    jsonl("yelp_academic_dataset_review.json", rows)
    return "yelp_academic_dataset_review.json"


def fasttext() -> str:
    for split in ("train", "test"):
        text(f"amazon/{split}.ft.txt", (f"__label__{i % 2 + 1} {sentence(i)}" for i in COUNT))
    return "amazon"


def chnsenticorp() -> str:
    for split in ("train", "dev"):
        table(f"chn/{split}.tsv", [("label", "text_a"), *((i % 2, hanzi(i)) for i in COUNT)])
    table("chn/test.tsv", [("qid", "label", "text_a"), *((i, i % 2, hanzi(i)) for i in COUNT)])
    return "chn"


def lcqmc() -> str:
    for split in ("train", "dev", "test"):
        rows = [(hanzi(i), hanzi(i + 1), i % 2) for i in COUNT]
        table(f"lcqmc/{split}.tsv", rows)
    return "lcqmc"


def pawsx() -> str:
    head = ("id", "sentence1", "sentence2", "label")
    rows = [(i, f'{sentence(i)} "', sentence(i + 1), i % 2) for i in COUNT]
    table("x-final/en/translated_train.tsv", [head, *rows])
    return "x-final/en/translated_train.tsv"


def stsbenchmark() -> str:
    """Rows of seven columns, some with two more: where sentences come from."""
    for split in ("train", "dev", "test"):
        rows = [
            (
                "main-captions",
                "MSRvid",
                "2012",
                f"{i:04}",
                i * 7 % 26 / 5,
                sentence(i),
                sentence(i + 2),
            )
            + (("http://a", "http://b") if i % 4 == 0 else ())
            for i in COUNT
        ]
        table(f"stsbenchmark/sts-{split}.csv", rows)
    return "stsbenchmark"


def csl() -> str:
    """Two tasks in one folder: category of a title, title of an abstract."""
    for split in ("train", "dev"):
        rows = [("to category", hanzi(i), ("工学", "医学")[i % 2]) for i in COUNT]
        table(f"csl/cls_ctg.{split}.tsv", rows)
    table("csl/ts.dev.tsv", (("to title", hanzi(i, 90), hanzi(i, 9)) for i in COUNT))
    return "csl"


def two_label_sets() -> str:
    jsonl(
        "both/topics.jsonl",
        ({"text": sentence(i), "label": ("sport", "art")[i % 2]} for i in COUNT),
    )
    jsonl(
        "both/moods.jsonl", ({"text": sentence(i), "label": ("good", "bad")[i % 2]} for i in COUNT)
    )
    return "both"


def two_encodings() -> str:
    text("mixed/a.txt", (hanzi(i) for i in COUNT))
    text("mixed/b.txt", (hanzi(i) for i in COUNT), "gb18030")
    return "mixed"


def packed_parts() -> str:
    for part in range(3):
        rows = (f'{{"text": "{sentence(i)}", "label": {i % 2}}}' for i in COUNT)
        text(f"parts/part-0000{part}.gz", rows)
    return "parts"


def packed_alone() -> str:
    text("reviews.gz", (f"{i % 2}\t{sentence(i)}" for i in COUNT))
    return "reviews.gz"


def no_header() -> str:
    table(
        "short.tsv",
        ((["cat", "dog", "mat", "sea"][i % 4] + f" {i}", ("yes", "no")[i % 2]) for i in COUNT),
    )
    return "short.tsv"


def kaggle() -> str:
    rows = [(i, "", "", f'"{sentence(i)}"', i % 2) for i in COUNT]
    table("nlp/train.csv", [("id", "keyword", "location", "text", "target"), *rows], ",")
    table("nlp/test.csv", [("id", "keyword", "location", "text"), *(r[:-1] for r in rows)], ",")
    table("nlp/sample_submission.csv", [("id", "target"), *((i, 0) for i in COUNT)], ",")
    return "nlp"


TEXTS: dict[str, Layout] = {
    "pos and neg": (polarity, Judged("text-classification", 96, 2, {"encoding": "latin-1"})),
    "IMDB": (imdb, Judged("text-classification", 48, 2, splits=("train", "test"))),
    "20 newsgroups": (newsgroups, Judged("text-classification", 36, 3)),
    "THUCNews": (thucnews, Judged("text-classification", 36, 3)),
    "THUCNews titles": (
        thucnews_titles,
        Judged("text-classification", 144, 3, splits=("train", "validation", "test")),
    ),
    "SST-2": (sst_tsv, Judged("text-classification", 96, 2, splits=("train", "validation"))),
    "a paper beside it": (with_a_paper, Judged("text-classification", 48, 2)),
    "MRPC": (mrpc, Judged("text-classification", 68, 2, splits=("train", "test"))),
    "QQP": (qqp, Judged("text-classification", 48, 2)),
    "SNLI folder": (snli, Asked(("snli_1.0_train.jsonl", "snli_1.0_train.txt"))),
    "SNLI lines": (snli_lines, Judged("text-classification", 48, 3)),
    "Sentiment140": (sentiment140, Judged("text-classification", 48, 2, {"encoding": "latin-1"})),
    "Yelp": (yelp, Judged("text-classification", 48, 5)),
    "Amazon fastText": (
        fasttext,
        Judged("text-classification", 96, 2, splits=("train", "test")),
    ),
    "ChnSentiCorp": (
        chnsenticorp,
        Judged("text-classification", 144, 2, splits=("train", "validation", "test")),
    ),
    "LCQMC": (lcqmc, Judged("text-classification", 144, 2, splits=("train", "validation", "test"))),
    "PAWS-X": (pawsx, Judged("text-classification", 48, 2)),
    "STS benchmark": (stsbenchmark, Asked(("sts-train.csv", "columns"))),
    "CSL": (csl, Asked(("cls_ctg", "ts.dev.tsv"))),
    "two sets of labels": (two_label_sets, Asked(("topics.jsonl", "moods.jsonl"))),
    "two encodings": (two_encodings, Asked(("utf-8", "gb18030", "a.txt", "b.txt"))),
    "packed parts": (packed_parts, Judged("text-classification", 144, 2)),
    "packed alone": (packed_alone, Judged("text-classification", 48, 2)),
    "no header": (no_header, Judged("text-classification", 48, 2)),
    "Kaggle": (kaggle, Judged("text-classification", 48, 2)),
}
