"""Is what ``luban init`` chooses as good as the simple model everybody knows?

Every set of texts with labels, and two many-class sets made of others: ``luban init`` writes the
recipe, ``luban run`` trains it for three minutes at most, with two seeds. Beside it, TF-IDF of
words and of characters with logistic regression (scikit-learn, C = 10), on the same splits. The
default holds if it is at least the simple model less half of the width of its interval.

    python -m benchmarks.defaults            # all sets, two seeds: some 20 minutes on two cores
    python -m benchmarks.defaults sst2 --seeds 0

Needs LUBAN_DATA and scikit-learn. Writes ``benchmarks/out/defaults.json`` and prints a table.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_union

from benchmarks._common import data_folder, publish
from luban.cli.main import main as luban
from luban.run import Run

Rows: TypeAlias = Iterator[tuple[str, str]]
_AUTHORS = 50
_MINUTES = 3


def sst2(folder: Path) -> dict[str, Rows]:
    def rows(split: str) -> Rows:
        for line in (folder / f"sst2/stsa.binary.{split}").read_text("utf-8").splitlines():
            label, _, text = line.partition(" ")
            yield text, label

    return {"train": rows("train"), "validation": rows("dev"), "test": rows("test")}


def ag_news(folder: Path) -> dict[str, Rows]:
    with gzip.open(folder / "ag-news/test.csv.gz", "rt", encoding="utf-8") as file:
        return {"": iter([(f"{title}\n{body}", label) for label, title, body in csv.reader(file)])}


def thucnews_titles(folder: Path) -> dict[str, Rows]:
    def rows(name: str) -> Rows:
        for line in (folder / f"thucnews-titles/{name}.txt").read_text("utf-8").splitlines():
            text, _, label = line.rpartition("\t")
            yield text, label

    return {"train": rows("dev"), "test": rows("test")}


def waimai(folder: Path) -> dict[str, Rows]:
    with (folder / "waimai-10k/waimai_10k.csv").open(encoding="utf-8") as file:
        return {"": iter([(row["review"], row["label"]) for row in csv.DictReader(file)])}


def csl_fields(folder: Path) -> dict[str, Rows]:
    def rows(name: str) -> Rows:
        for line in (folder / f"csl/cls_ctg.{name}.tsv").read_text("utf-8").splitlines():
            _, text, label = line.split("\t")
            yield text, label

    return {"train": rows("train"), "test": rows("dev")}


def squad_articles(folder: Path) -> dict[str, Rows]:
    """Which article a question is about, of 30."""
    articles = json.loads(gzip.decompress((folder / "squad11-dev/train.json.gz").read_bytes()))
    found = [
        (question["question"], article["title"])
        for article in articles["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    return {"": iter(found)}


def songci_authors(folder: Path) -> dict[str, Rows]:
    """Who wrote a poem, of the 50 with most."""
    files = sorted((folder / "songci").glob("*.json.gz"))
    poems = [poem for file in files for poem in json.loads(gzip.decompress(file.read_bytes()))]
    counts = Counter(poem["author"] for poem in poems if poem["author"] != "无名氏")
    known = {author for author, _ in counts.most_common(_AUTHORS)}
    return {
        "": iter([("".join(p["paragraphs"]), p["author"]) for p in poems if p["author"] in known])
    }


def few_reviews(folder: Path) -> dict[str, Rows]:
    """The first 400 training sentences of sst2: a small set."""
    splits = sst2(folder)
    return {"train": iter(list(splits["train"])[:400]), "test": splits["test"]}


SETS: dict[str, Callable[[Path], dict[str, Rows]]] = {
    "sst2": sst2,
    "ag-news": ag_news,
    "thucnews-titles": thucnews_titles,
    "waimai": waimai,
    "csl-fields": csl_fields,
    "squad-articles": squad_articles,
    "songci-authors": songci_authors,
    "few-reviews": few_reviews,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sets", nargs="*", help="sets; all of them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--model", help="instead of the default: a model with its own defaults")
    parser.add_argument("--runs", type=Path, default=Path("runs/defaults"))
    parser.add_argument("--quick", action="store_true", help="one set, one seed")
    args = parser.parse_args()
    if args.quick:
        args.sets, args.seeds = ["sst2"], [0]
    folder = data_folder()
    rows: list[dict[str, Any]] = []
    for name in args.sets or SETS:
        data = written(args.runs / "data" / name, SETS[name](folder))
        recipe = data.with_suffix(".yaml")
        if luban(["init", str(data), "--output", str(recipe), "--force"]):
            raise SystemExit(f"{name}: init failed")
        rows.append(measured(name, recipe, args.runs, args.seeds, args.model))
        print(line(rows[-1]), flush=True)
    print("\n".join(map(line, rows)))
    publish("defaults", {"sets": rows})


def written(folder: Path, splits: dict[str, Rows]) -> Path:
    """Return a file, or a folder of a file for each split, of records as JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        lines = [json.dumps({"text": t, "label": y}, ensure_ascii=False) for t, y in rows]
        (folder / f"{split or folder.name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return folder if len(splits) > 1 else folder / f"{folder.name}.jsonl"


def measured(
    name: str, recipe: Path, runs: Path, seeds: list[int], model: str | None
) -> dict[str, Any]:
    """Train with each seed; return Luban's scores and those of the simple model."""
    scores: list[float] = []
    baselines: list[float] = []
    minutes: list[float] = []
    widths: list[float] = []
    for seed in seeds:
        run = f"{name}{f'-{model}' if model else ''}-{seed}"
        options = [f"name={run}", f"runs={runs}", f"seed={seed}", f"train.max_minutes={_MINUTES}"]
        options += [f"model={model}"] if model else []
        if luban(["run", str(recipe), *options]):
            raise SystemExit(f"{run} failed")
        claims = Run.open(runs / run).reports()
        score = claims["evaluate"].claims["test/accuracy"]
        scores.append(float(score.value))
        widths.append(float(score.high or 0) - float(score.low or 0))
        baselines.append(float(claims["evaluate"].claims["test/linear/accuracy"].value))
        minutes.append(float(claims["train"].claims["training time"].value))
    simple = reference(runs / run)  # the splits are the same with every seed
    half, mean = widths[0] / 2, sum(scores) / len(scores)
    return {
        "set": name,
        "luban": scores,
        "card baseline": baselines,
        "scikit-learn": simple,
        "half interval": half,
        "minutes": minutes,
        "holds": mean >= simple - half,
    }


def reference(folder: Path) -> float:
    """Return the accuracy of scikit-learn on the splits of a run; it learns from validation too."""
    data = Run.open(folder).recipe.data
    splits = {split: list(data.records(split)) for split in ("train", "validation", "test")}
    seen, unseen = splits["train"] + splits["validation"], splits["test"]
    union = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    features = union.fit_transform([record["text"] for record in seen])
    model = LogisticRegression(C=10, tol=1e-3, max_iter=200)
    model.fit(features, [record["label"] for record in seen])
    held_out = union.transform([record["text"] for record in unseen])
    return float(model.score(held_out, [record["label"] for record in unseen]))


def line(row: dict[str, Any]) -> str:
    scores = " ".join(f"{score:.1%}" for score in row["luban"])
    verdict = "holds" if row["holds"] else "FALLS SHORT"
    return (
        f"{row['set']:<16} luban {scores}  scikit-learn {row['scikit-learn']:.1%} "
        f"(half interval {row['half interval']:.1%})  {verdict}  "
        f"{max(row['minutes']):.2f} min of training"
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
