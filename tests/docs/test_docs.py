"""The documentation is true: commands run, recipes parse, links lead somewhere."""

from __future__ import annotations

import argparse
import io
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from luban.cli import main as cli
from luban.core import registry
from luban.inference.predictor import servable
from luban.recipe import Recipe, load_yaml
from luban.run import Run
from luban.serving.route import Service
from luban.serving.server import Server
from luban.trained import load_trained
from tests.docs.pages import (
    ADDRESS,
    PAGES,
    ROOT,
    Block,
    anchors,
    blocks,
    links,
    name_of,
    paths_named,
)
from tests.serving.running import until

BLOCKS = [block for page in PAGES for block in blocks(page)]
TUTORIAL = ROOT / "docs/tutorial/first-language-model.md"
#: A page and its translation; each makes its own texts, and both are performed.
OWN_TEXTS = [ROOT / f"docs/tutorial/first-classifier{end}" for end in (".md", ".zh.md")]
PERFORMED = [
    *OWN_TEXTS,
    *(page for page in PAGES if page.parent.name == "how-to"),
    ROOT / "docs/explanation/evidence.md",
]
PLUGIN = ROOT / "docs/how-to/write-a-component.md"
#: What a recipe's part is completed with before it is checked.
WHOLE: dict[str, Any] = {
    "name": "page",
    "data": {"source": "python-reference"},
    "task": {"name": "text-generation", "tokenizer": "char"},
    "model": "gpt",
    "train": {"max_steps": 1},
}


def is_recipe(block: Block) -> bool:
    """Whether a block is a recipe, or a part of one, that needs no plug-in."""
    return block.language == "yaml" and block.page != PLUGIN


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{name_of(page)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_named_exist(page: Path) -> None:
    for path in paths_named(page):
        assert list(ROOT.glob(path)), f"{name_of(page)} names {path}"


@pytest.mark.parametrize("block", [b for b in BLOCKS if is_recipe(b)], ids=str)
def test_recipe_is_valid(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(block.text, encoding="utf-8")
    Recipe.parse({**WHOLE, **load_yaml(path)[0]}, str(block))


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "sh"], ids=str)
def test_command_has_the_arguments_it_uses(block: Block) -> None:
    verbs = cli._verbs()
    for command in block.commands():
        if not command.startswith("luban "):
            continue
        verb, *rest = shlex.split(re.split(r" [|&>]", command)[0], comments=True)[1:]
        assert verb in verbs, f"{block}: {command}"
        parser = argparse.ArgumentParser(prog=f"{block}: luban {verb}", exit_on_error=False)
        registry.module("verbs", verb if verbs[verb] == "verbs" else "run").options(parser)
        parser.add_argument("--json", action="store_true")
        parser.parse_intermixed_args(rest)


@pytest.mark.parametrize("page", [p for p in PAGES if p.name.endswith(".zh.md")], ids=name_of)
def test_translation_has_the_same_code(page: Path) -> None:
    original = page.with_name(page.name.replace(".zh.md", ".md"))
    theirs, ours = (
        [
            b.language if page in OWN_TEXTS else b.code()
            for b in blocks(p)
            if b.language in ("sh", "python", "yaml")
        ]
        for p in (original, page)
    )
    assert ours == theirs


def test_reference_is_fresh() -> None:
    script = ROOT / "docs" / "generate.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_page_is_on_the_map() -> None:
    index = ROOT / "docs" / "index.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    pages = {page for page in PAGES if page.parent != ROOT and page != index}
    missing = [name_of(p) for p in pages - listed if p.parent.name not in ("adr", "images")]
    assert not missing


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the tutorial was done."""
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUBAN_CACHE", str(folder / "cache"))
        patch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
        patch.chdir(folder)
        perform_page(TUTORIAL)
        yield folder


@pytest.mark.parametrize("page", PERFORMED, ids=name_of)
def test_page_does_what_it_says(
    page: Path, tutorial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "page"
    shutil.copytree(tutorial, folder, ignore=shutil.ignore_patterns("cache"))
    monkeypatch.chdir(folder)
    perform_page(page)


def perform_page(page: Path) -> None:
    """Do what the marks of a page's blocks ask for, in the current folder."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        verb, _, rest = block.mark.partition(" ")
        if verb == "file:":
            Path(rest).write_text(block.text, encoding="utf-8")
        elif verb == "prints:":
            assert_printed(block, perform(rest)[1])
        elif rest.startswith("against "):
            with served(rest.removeprefix("against ")) as url:
                exec(compile(block.text.replace(ADDRESS, url), str(block), "exec"), names)
        elif verb == "run" and block.language == "python":
            exec(compile(block.text, str(block), "exec"), names)
        elif verb == "run":
            for command in block.commands():
                code, output = perform(f"{command} {rest.removeprefix('with')}")
                assert code == 0, f"{block}: {command} ended with {code}:\n{output}"


def perform(command: str) -> tuple[int, str]:
    """Run a command; one of luban's in this process, which saves seconds of imports each.

    Returns its exit code and all it printed.
    """
    if not command.startswith("luban "):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        code = cli.main(shlex.split(command, comments=True)[1:])
    return code, printed.getvalue()


def assert_printed(block: Block, output: str) -> None:
    for line in filter(str.strip, block.text.splitlines()):
        pattern = ".*".join(map(re.escape, line.strip().split("…")))
        assert re.search(pattern, output), f"{block}: {line!r} is not in:\n{output}"


@contextmanager
def served(path: str) -> Iterator[str]:
    """Serve a run on a free port; yield its address."""
    run = Run.open(Path(path))
    server = Server(Service(model=servable(*load_trained(run)), name=run.recipe.name))
    thread = threading.Thread(target=server.run_until_stopped)
    thread.start()
    try:
        until(lambda: server.started)
        yield server.url
    finally:
        server.drain()
        thread.join(timeout=30)
