"""What a task learned, read back from a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luban.core.errors import RunError
from luban.core.yaml_json import json_of


def read_learned(path: Path, *keys: str, **later: Any) -> list[Any]:
    """Return the values of keys in a JSON file that a task wrote.

    Args:
        path: The file.
        keys: What it holds.
        later: Keys that older files lack, with what those meant.

    Raises:
        RunError: if the file is missing or damaged.
    """
    try:
        data = json_of(path.read_text(encoding="utf-8"))
        return [{**later, **data}[key] for key in (*keys, *later)]
    except FileNotFoundError:
        raise RunError("what the task learned is missing.", where=path) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError("this file is damaged.", where=path, got=str(error)) from None
