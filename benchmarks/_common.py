"""What every benchmark does with its result."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch

from luban.core.environment import environment
from luban.core.files import write_json

OUT = Path(__file__).parent / "out"


def data_folder() -> Path:
    """Return the folder of real data sets, ``LUBAN_DATA``, and let Luban find it too."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    return Path(os.environ.setdefault("LUBAN_DATA", str(beside)))


def publish(name: str, result: dict[str, Any]) -> None:
    """Write the result with the machine it was measured on, and print it."""
    machine = {**environment(), "threads": str(torch.get_num_threads())}
    stamp = time.strftime("%Y-%m-%d")
    write_json(OUT / f"{name}.json", {"date": stamp, "machine": machine, **result})
    print(json.dumps(result, indent=2, ensure_ascii=False))
