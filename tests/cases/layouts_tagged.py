"""Public sets of tagged and marked texts, as people unpack them."""

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
    text,
    write,
)


def conll2003() -> str:
    for name in ("eng.train", "eng.testa", "eng.testb"):
        lines = ["-DOCSTART- -X- -X- O", ""]
        for i in COUNT:
            for word in sentence(i).split():
                tag = "I-PER" if word in ("Cat", "dog", "men") else "O"
                lines.append(f"{word} NN I-NP {tag}")
            lines.append("")
        text(f"conll2003/{name}", lines)
    return "conll2003"


def conll_folder() -> str:
    for part in ("bc", "nw", "wb"):
        lines = []
        for i in COUNT:
            for word in sentence(i).split():
                lines.append(f"{word}\t{'B-PER' if word == 'dog' else 'O'}")
            lines.append("")
        text(f"onto/{part}.conll", lines)
    return "onto"


def empty_tokens() -> str:
    lines = []
    for i in COUNT:
        for mark in hanzi(i):
            lines.append(f"{mark}\t{'B-LOC' if mark == '宙' else 'O'}")
        if i % 5 == 0:
            lines.append("\tO")
        lines.append("")
    text("weibo.conll", lines)
    return "weibo.conll"


def conllu() -> str:
    lines = []
    for i in COUNT:
        lines += [f"# sent_id = {i}", f"# text = {sentence(i)}"]
        for place, word in enumerate(sentence(i).split(), 1):
            kind = ("NOUN", "VERB", "DET")[len(word) % 3]
            lines.append(f"{place}\t{word}\t{word}\t{kind}\tX\t_\t{place - 1}\tdep\t_\t_")
        lines.append("")
    text("ud/en_x-ud-train.conllu", lines)
    return "ud/en_x-ud-train.conllu"


def cluener() -> str:
    def row(i: int) -> dict[str, object]:
        said = hanzi(i)
        places = [[k, k + 1] for k in range(len(said) - 1) if said[k] == "宙"]
        return {"text": said, "label": {"name": {said[k : k + 2]: [[k, k + 1]] for k, _ in places}}}

    jsonl("cluener/train.json", map(row, COUNT))
    jsonl("cluener/dev.json", map(row, range(60, 80)))
    jsonl("cluener/test.json", ({"id": i, "text": hanzi(i)} for i in range(20)))
    return "cluener"


def doccano() -> str:
    rows = (
        {"id": i, "text": f"Ada {sentence(i)}", "label": [[0, 3, "PER"]], "Comments": []}
        for i in COUNT
    )
    jsonl("all.jsonl", rows)
    return "all.jsonl"


def spacy() -> str:
    as_json("spacy.json", [[f"Ada {sentence(i)}", {"entities": [[0, 3, "PER"]]}] for i in COUNT])
    return "spacy.json"


def label_studio() -> str:
    rows = [
        {
            "id": i,
            "data": {"text": f"Ada {sentence(i)}"},
            "annotations": [
                {
                    "id": i,
                    "result": [
                        {
                            "type": "labels",
                            "value": {"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]},
                        }
                    ],
                }
            ],
        }
        for i in COUNT
    ]
    as_json("project-1.json", rows)
    return "project-1.json"


def presidio() -> str:
    rows = [
        {
            "full_text": f"Ada {sentence(i)}",
            "masked": "{{name}}",
            "spans": [
                {
                    "entity_type": "PERSON",
                    "entity_value": "Ada",
                    "start_position": 0,
                    "end_position": 3,
                }
            ],
            "template_id": i * 7 % 31,
        }
        for i in COUNT
    ]
    as_json("pii.json", rows)
    return "pii.json"


def brat() -> str:
    for i in range(12):
        write(f"brat/{i}.txt", f"Ada {sentence(i)}\n")
        write(f"brat/{i}.ann", "T1\tPER 0 3\tAda\n")
    return "brat"


TAGGED: dict[str, Layout] = {
    "CoNLL-2003": (
        conll2003,
        Judged("token-classification", 144, splits=("train", "validation", "test")),
    ),
    "CoNLL folder": (conll_folder, Judged("token-classification", 144)),
    "empty tokens": (empty_tokens, Judged("token-classification", 48)),
    "CoNLL-U": (conllu, Asked(("columns", "tags"))),
    "CLUENER": (cluener, Judged("token-classification", 68, splits=("train", "validation"))),
    "doccano": (doccano, Judged("token-classification", 48)),
    "spaCy": (spacy, Judged("token-classification", 48)),
    "Label Studio": (label_studio, Judged("token-classification", 48)),
    "Presidio": (presidio, Judged("token-classification", 48)),
    "brat": (brat, Asked((".ann", "brat"))),
}
