"""Predict a file of records, or one record, with a trained model."""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from luban.cli.console import output
from luban.cli.predictions import show_prediction
from luban.cli.terminal import terminal
from luban.core.component import digest_of
from luban.core.errors import DataError, LubanError, RunError
from luban.core.files import sha256_of
from luban.core.progress import report
from luban.core.yaml_json import json_of
from luban.inference.predictor import (
    Predictor,
    file_field,
    file_fields,
    servable,
    text_field,
)
from luban.prediction.figures import Figures
from luban.prediction.files import Job, json_line, predict_file, predict_rows
from luban.prediction.inputs import FORMATS, Files, Input, fields_of, file_at, open_input
from luban.run import Run
from luban.trained import load_trained

#: Bad rows that are told on the terminal; with --output all of them stand in a file.
TOLD = 5


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("target", metavar="RUN", help="a run directory")
    parser.add_argument(
        "options",
        nargs="*",
        metavar="key=value",
        help="with --input, options of the source (fields.text=body, encoding=latin-1, …); "
        "without, the fields of one record (image=@photo.jpg reads a file)",
    )
    parser.add_argument(
        "--input",
        help="a file of records (- reads standard input), or a folder, an archive or one file of "
        "images or recordings",
    )
    parser.add_argument("--text", help="one record: a text")
    parser.add_argument("--file", help="one record: an image or a recording")
    parser.add_argument(
        "--output", help="a .jsonl, .csv or .tsv file; standard output if there is none"
    )
    parser.add_argument("--format", choices=FORMATS, default="auto", help="of the input")
    parser.add_argument(
        "--figures", metavar="FOLDER", help="draw every prediction, as a PNG in this folder"
    )
    parser.add_argument("--batch-size", type=int, default=32, help="records predicted at once")
    parser.add_argument("--force", action="store_true", help="write the output anew")


def perform(args: argparse.Namespace) -> int:
    """Predict; 2 is returned if there were bad rows."""
    run = Run.open(Path(args.target), terminal())
    task, module = load_trained(run)
    if not isinstance(servable(task, module), Predictor):
        raise RunError(
            f"a run of {task.name} predicts nothing of records: it makes something.",
            where=run.path,
            fix=f"luban generate {run.path}.",
        )
    predictor = Predictor(task, module, args.batch_size)
    figures = Figures(Path(args.figures), task) if args.figures else None
    if args.input is None:
        return _one(args, predictor, figures)
    if args.text is not None or args.file is not None:
        raise LubanError("give --input, --text or --file, one of them.")
    rows = open_input(
        args.input, args.format, args.options, task.record_schema(), run.recipe.data.source
    )
    if args.output:
        return _to_file(args, run, predictor, rows, figures)
    return _print(args, predictor, rows, figures)


def _one(args: argparse.Namespace, predictor: Predictor, figures: Figures | None) -> int:
    schema = predictor.task.record_schema()
    record = fields_of(args.options, file_fields(schema))
    if args.text is not None:
        record[text_field(schema)] = args.text
    if args.file is not None:
        record[file_field(schema)] = file_at(args.file)
    if not record:
        raise LubanError(
            "there is nothing to predict.",
            fix="--input FILE, --text TEXT, --file FILE, or FIELD=VALUE.",
        )
    [(example, prediction)] = predictor.examine([record])
    if isinstance(prediction, DataError):
        raise prediction
    if figures is not None:
        name = Path(args.file).name if args.file else "prediction"
        figures.see({"row": 1, "id": name}, example, prediction)
    if args.json:
        print(json.dumps(prediction, ensure_ascii=False))
    else:
        show_prediction(output(), prediction)
    return 0


def _print(
    args: argparse.Namespace, predictor: Predictor, rows: Input | Files, figures: Figures | None
) -> int:
    """Write predictions to standard output, and bad rows and the summary to standard error."""
    console, start, done, bad = terminal(), time.perf_counter(), 0, 0
    first: dict[str, Any] = {}
    records, see = rows.rows(_field(rows, predictor)), figures.see if figures else None
    for window in predict_rows(predictor, records, see=see):
        for entry, good in window:
            done, bad = done + 1, bad + (not good)
            if good:
                sys.stdout.write(json_line(entry))
            elif bad <= TOLD:
                first = first or entry
                console.say(_wrong(entry, rows))
        sys.stdout.flush()
    if bad > TOLD:
        console.say(f"and {bad - TOLD:,} more: --output FILE keeps them apart, with what is wrong")
    if done and done == bad:
        console.say(_why(first, rows))
    summary = _summary(done, bad, done, time.perf_counter() - start)
    console.say(json.dumps(summary) if args.json else _said(summary))
    return 2 if bad else 0


def _to_file(
    args: argparse.Namespace,
    run: Run,
    predictor: Predictor,
    rows: Input | Files,
    figures: Figures | None,
) -> int:
    field = _field(rows, predictor)
    digest, lines = ("", 0) if rows.standard else rows.look(field)
    of = {
        "input": digest,
        "model": _model_digest(run),
        "reader": rows.reader,
        "batch_size": args.batch_size,
    }
    job = Job(Path(args.output), of, force=args.force)
    start = time.perf_counter()
    if job.resumed_at:
        run.console.say(f"goes on after row {job.resumed_at:,}")

    def show(done: int, bad: int) -> None:
        rate = (done - job.resumed_at) / (time.perf_counter() - start)
        facts = f"{rate:,.0f} rows/s" + (f", {bad:,} bad" if bad else "")
        report("predict", done, max(lines, done + 1), facts)

    done = predict_file(job, rows.rows(field), predictor, show, figures.see if figures else None)
    report("predict", 1, 1)
    seconds = time.perf_counter() - start
    summary = _summary(done.rows, done.bad, done.rows - job.resumed_at, seconds)
    summary |= {"resumed_at": job.resumed_at, "output": str(job.output)}
    summary["bad_output"] = str(job.bad) if done.bad else None
    if figures is not None:
        summary["figures"] = str(figures.folder)
    if args.json:
        print(json.dumps(summary, ensure_ascii=False))
        return 2 if done.bad else 0
    if done.bad:
        with job.bad.open(encoding="utf-8") as file:
            told = list(map(json_of, islice(file, TOLD)))
        for entry in told:
            run.console.say(_wrong(entry, rows))
        if done.bad == done.rows:
            run.console.say(_why(told[0], rows))
    run.console.say(_said(summary))
    return 2 if done.bad else 0


def _wrong(entry: dict[str, Any], rows: Input | Files) -> str:
    """Return what is told of a bad row: files go by their names."""
    name = entry.get("id") if rows.format == "files" else None
    return f"{name or 'row ' + str(entry['row'])}: {entry['what']}"


def _why(entry: dict[str, Any], rows: Input | Files) -> str:
    """Return what may be wrong where no row is right, by the first of them."""
    lines = [f"  {key}: {entry[key]}" for key in ("expected", "got") if key in entry]
    if rows.format not in ("files", "text"):
        lines.append(
            "  fix: name fields by fields.OURS=THEIRS, folders of files by media.OURS=FOLDER."
        )
    return "\n".join(["no row could be predicted.", *lines])


def _field(rows: Input | Files, predictor: Predictor) -> str:
    schema = predictor.task.record_schema()
    if rows.format == "files":
        return file_field(schema)
    return text_field(schema) if rows.format == "text" else ""


def _model_digest(run: Run) -> str:
    files = sorted(path for path in (run.path / "model").rglob("*") if path.is_file())
    return digest_of({path.name: sha256_of(path) for path in files})


def _summary(rows: int, bad: int, now: int, seconds: float) -> dict[str, Any]:
    rate = round(now / seconds, 1) if seconds else 0.0
    return {
        "rows": rows,
        "predicted": rows - bad,
        "bad": bad,
        "seconds": round(seconds, 3),
        "rows_per_second": rate,
    }


def _said(summary: dict[str, Any]) -> str:
    text = f"{summary['predicted']:,} of {summary['rows']:,} rows predicted"
    text += f", {summary['rows_per_second']:,.0f} rows/s"
    if summary.get("output"):
        text += f": {summary['output']}"
    if summary["bad"]:
        text += f"; {summary['bad']:,} bad"
        text += f": {summary['bad_output']}" if summary.get("bad_output") else ""
    return text
