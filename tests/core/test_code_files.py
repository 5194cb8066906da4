"""Digests of code cover every file that encodes, and all that a plug-in's component imports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from luban.core.code_files import digests_of_module, encoding_code

ROOT = Path(__file__).parents[2] / "luban"


def test_every_file_below_the_rooms_that_encode_is_covered() -> None:
    folders = ("core", "data", "tasks/inputs", "tasks/answers", "tasks/parts")
    files = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".yaml", ".json"}
    }
    assert files == encoding_code().keys()
    assert {"data/text/chat_template.py", "data/text/chat_sandbox.py"} <= files


@pytest.mark.parametrize(
    ("edited", "matters"),
    [
        ("task.py", True),
        ("helper.py", True),
        ("deep/__init__.py", True),
        ("deep/leaf.py", True),
        ("lazy.py", True),
        ("unused.py", False),
    ],
)
def test_what_a_plug_in_imports_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: str, matters: bool
) -> None:
    """Relative, absolute and lazy imports within its package, however deep."""
    package = tmp_path / "shades_of_code"
    (package / "deep").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "task.py": "from shades_of_code.helper import f\n\ndef g():\n    from . import lazy\n",
        "helper.py": "from .deep import leaf\n\ndef f():\n    return leaf\n",
        "deep/__init__.py": "",
        "deep/leaf.py": "from .. import helper\n",
        "lazy.py": "",
        "unused.py": "",
    }
    for name, text in files.items():
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        __import__("shades_of_code.task")
        before = digests_of_module("shades_of_code.task")
        with (package / edited).open("a") as file:
            file.write("# edited\n")
        assert (digests_of_module("shades_of_code.task") != before) is matters
    finally:
        for name in [name for name in sys.modules if name.startswith("shades_of_code")]:
            del sys.modules[name]
