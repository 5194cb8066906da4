"""``python -m exports FOLDER RECORDS.jsonl``: print the answer to each record."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

#: Tasks that share a program with another one.
SHARED = {
    "instruction-tuning": "text_generation",
    "summarization": "sequence_to_sequence",
    "text-regression": "text_classification",
    "translation": "sequence_to_sequence",
}


def answers(folder: Path, records: list[dict[str, Any]]) -> list[Any]:
    """Return the answer to each record, by the program for the task of the folder."""
    task = json.loads((folder / "inference.json").read_text(encoding="utf-8"))["task"]
    name = SHARED.get(task, task.replace("-", "_"))
    found: list[Any] = importlib.import_module(f"{__package__}.{name}").predict(folder, records)
    return found


def main(folder: str, file: str) -> None:
    """Print the answers as JSON lines."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    for answer in answers(Path(folder), [json.loads(line) for line in lines]):
        print(json.dumps(answer, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
