"""Files of a run are listed while another process writes them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from luban.core.digests import refuse_links, signatures
from luban.core.errors import RunError


def test_what_vanishes_meanwhile_is_not_listed(tmp_path: Path) -> None:
    for name in ("a", "b", "checkpoint-1/weights"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = signatures(tmp_path)
    first = next(listed)[0]  # the files beside it are known by now
    other = {"a": "b", "b": "a"}[first]
    (tmp_path / other).unlink()
    shutil.rmtree(tmp_path / "checkpoint-1")
    assert list(listed) == []


def test_a_link_out_of_the_run_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "model").symlink_to(tmp_path)
    with pytest.raises(RunError, match="leads out of it"):
        refuse_links(run)
