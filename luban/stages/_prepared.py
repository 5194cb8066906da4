"""What ``prepare`` left behind: the encoded splits, and what a checkpoint belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luban.core.component import digest_of
from luban.core.contracts import Stage, Task
from luban.core.errors import DataError, RunError
from luban.core.progress import doing, report
from luban.data.cache import cache_key, encoded, learned_digest, store_folder
from luban.data.checks.audit import doubts_of, examined
from luban.data.checks.reachable_score import Reach, reach
from luban.data.dataset import Data
from luban.data.store import Store
from luban.run import Run
from luban.stages.training.identity import flattened

#: What was measured in this process: stores do not change.
_reached: dict[tuple[Path, int], Reach | None] = {}


def describe(task: Task, data: Data, stores: Mapping[str, Store]) -> dict[str, Any]:
    """Return ``prepared.json``: digests of what was read and of what came of it.

    ``key`` covers the code that encodes; ``content`` says whether newer code gives the same.
    """
    splits = {
        split: {"key": cache_key(task, data, split), "content": _content(task, store)}
        for split, store in stores.items()
    }
    return {"files": data.files_digest(), "splits": splits}


def refuse_other_data(run: Run, found: Mapping[str, Any]) -> None:
    """Refuse to prepare other data for a run whose training has begun.

    Raises:
        RunError: naming the splits that changed.
    """
    if not any(run.path.glob("checkpoint-*")) or not (run.path / "prepared.json").exists():
        return
    try:
        old, new = run.read_json("prepared.json", "splits")["splits"], found["splits"]
    except RunError:  # damaged: checkpoints too know the data they belong to, and refuse others
        return
    changed = [
        split
        for split in sorted(old.keys() | new.keys())
        if old.get(split, {}).get("content") != new.get(split, {}).get("content")
    ]
    if changed:
        raise RunError(
            "training of this run has begun with other data.",
            where=run.path,
            got=f"changed: {', '.join(changed)}",
            fix="bring the old files back, choose another name=NAME, or delete the run.",
        )


def open_store(run: Run, split: str) -> Store:
    """Return the encoded examples of a split; encodes them again if the cache is gone.

    Raises:
        RunError: if the data changed since ``prepare``.
    """
    task, prepared = run.task(), run.read_json("prepared.json", "files", "splits")
    if split not in prepared["splits"]:
        known = ", ".join(prepared["splits"])
        raise RunError(f"there is no split {split!r}.", where=run.path, expected=known)

    def progress(records: int, size: int) -> None:
        report(f"encode {split}", size, max(size, run.recipe.data.survey().size))

    data, was = run.recipe.data, prepared["splits"][split]
    if data.files_digest() == prepared["files"]:
        # Who verifies a run trusts nothing that was found out before.
        with doing(f"open the examples of {split}"):
            store = encoded(task, data, split, progress, thorough=not run.main)
        same_code = cache_key(task, data, split) == was["key"]
        if same_code or _content(task, store) == was["content"]:
            return store
    raise RunError(
        f"the data of the split {split!r} changed since they were prepared.",
        where=run.path,
        fix=f"luban prepare {run.path}, or bring the old files back.",
    )


def damaged_stores(run: Run) -> list[str]:
    """Return one line for each store of this run, of those there are, that is not as it was made.

    Every byte is compared. A store that is gone is no fault: it is made again from the data.
    """
    lines = []
    try:
        splits = run.read_json("prepared.json", "splits")["splits"]
        folders = {split: store_folder(str(was["key"])) for split, was in splits.items()}
    except (RunError, AttributeError, KeyError, TypeError):  # the file's own digest tells
        return []
    for split, folder in folders.items():
        if folder.is_dir():
            try:
                Store(folder, thorough=True)
            except DataError as error:
                lines.append(f"{error.where}: not as prepare encoded {split}")
    return lines


def reach_of(run: Run, task: Task, store: Store) -> Reach | None:
    """Return the best score on a split that predictions can reach; computed once for each store."""
    key = (store.folder, run.recipe.seed)
    if key not in _reached:
        _reached[key] = reach(task, store, run.recipe.seed)
    return _reached[key]


def doubts(run: Run, task: Task, split: str, store: Store) -> list[str]:
    """Return what the user should know of a split: what the task notes, what is out of reach."""
    reached = reach_of(run, task, store)
    return doubts_of(split, examined(task, store), reached, store.where)


def held_out_split(run: Run) -> str:
    """Return the split to evaluate on: test, or validation where there is no test.

    Raises:
        RunError: if there is neither.
    """
    for split in ("test", "validation"):
        if run.has_split(split):
            return split
    raise RunError(
        "there is nothing to evaluate on.",
        where=run.path,
        fix="give data.split a share for test or validation.",
    )


def identity(run: Run, train: Stage) -> dict[str, Any]:
    """Return, flat, everything that decides what training computes."""
    recipe = run.recipe
    sections = {
        "task": recipe.task.to_dict(),
        "model": recipe.model.to_dict(),
        "train": train.result_fields(),
    }
    flat: dict[str, Any] = {"seed": recipe.seed, **train.rests_on(run)}
    for split, was in run.read_json("prepared.json", "splits")["splits"].items():
        flat[f"data of {split}"] = was["content"]
    for name, section in sections.items():
        flat |= flattened(section, name)
    return flat


def _content(task: Task, store: Store) -> str:
    """Return a digest of encoded examples, and of what the task had learned to encode them."""
    digests = sorted(store.meta["digests"].items())
    files = [digest for name, digest in digests if not name.startswith("_")]
    return digest_of([learned_digest(task), *files])
