"""What a run knows beside its tensors comes back from checkpoints, of older versions too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from luban.core.errors import CheckpointError
from luban.core.files import sha256_of
from luban.engine.checkpoint import Checkpoints
from luban.engine.run_state import EarlyStop
from tests.engine import toy

#: As checkpoints hold it since they have a key ``memo``.
MEMO: dict[str, Any] = {
    "peaks": {"1 x a processor, 2 threads, fp32": 1.5e11},
    "precision": "fp32",
    "possible_flop": 3.0,
    "compile": {"compile": False, "reason": "compile is off"},
    "energy": {"joules": 12.5, "method": "estimated"},
    "log": {"size": 12, "sha256": "ab"},
    "best": {"metric": "loss", "unit": "nats", "value": 2.5, "step": 8},
    "waited": 0,
    "stopped": {"because": "interrupted", "text": "it was", "step": 9},
}


def rewrite(path: Path, memo: Any) -> None:
    """Let a checkpoint hold another run state, sealed as if it had been written so."""
    file = path / "trainer_state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "memo": memo}))
    digests = json.loads((path / "digests.json").read_text())
    digests[file.name] = sha256_of(file)
    (path / "digests.json").write_text(json.dumps(digests))


@pytest.mark.parametrize("known", [list(MEMO), ["peaks", "precision"], []])
def test_it_is_read_as_older_versions_wrote_it(known: list[str], tmp_path: Path) -> None:
    """Keys of what was not yet decided were absent; a divergence has a healthy step."""
    old = {key: MEMO[key] for key in known}
    state = toy.state_of()
    rewrite(Checkpoints(tmp_path).save(state), old)
    assert Checkpoints(tmp_path).load(state) is not None
    written = state.run_state.to_dict()
    assert {key: written[key] for key in old} == old
    assert (state.run_state.best is None) == ("best" not in old)


def test_all_of_it_comes_back(tmp_path: Path) -> None:
    state, other = toy.state_of(), toy.state_of()
    rewrite(Checkpoints(tmp_path).save(state), MEMO)
    Checkpoints(tmp_path).load(state)
    state.run_state.stopped = EarlyStop("diverged", "rose", 4, healthy=2, kept=1)
    shutil.rmtree(tmp_path / "checkpoint-0")
    saved = Checkpoints(tmp_path).save(state)
    assert Checkpoints(tmp_path).load(other) is not None
    assert other.run_state == state.run_state
    assert json.loads((saved / "trainer_state.json").read_text())["memo"].keys() == MEMO.keys()


@pytest.mark.parametrize(
    ("memo", "what"),
    [
        ({"shadow": 1}, "memo.shadow"),
        ({"best": {**MEMO["best"], "fold": 2}}, "memo.best.fold"),
        ({"waited": "long"}, "memo.waited"),
        ({"energy": {"joules": 1.0}}, "memo.energy.method"),
        ({"stopped": {**MEMO["stopped"], "because": "bored"}}, "memo.stopped.because"),
        ([], "memo"),
    ],
)
def test_what_is_not_known_is_refused(memo: Any, what: str, tmp_path: Path) -> None:
    state = toy.state_of()
    rewrite(Checkpoints(tmp_path).save(state), memo)
    with pytest.raises(CheckpointError, match="another version of Luban") as caught:
        Checkpoints(tmp_path).load(state)
    assert what in str(caught.value)
