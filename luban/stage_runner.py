"""Performs the stages of a run, and tells whether what they reported still rests on the same."""

from __future__ import annotations

from dataclasses import replace

from luban.core.component import Settings, digest_of
from luban.core.contracts import Stage
from luban.core.errors import RunError
from luban.core.progress import doing
from luban.core.report import Report
from luban.run import Run


def perform_stage(run: Run, stage: Stage, *, end_early: bool = False) -> Report | None:
    """Let a stage do its work, measure it and write its report.

    Returns None on ranks other than the first.

    Args:
        run: The run.
        stage: The stage.
        end_early: Whether work that was broken off is ended as it is, rather than gone on with.
    """
    for need in stage.needs:
        run.report(need)
    digests = run.digests() if run.main else None
    if digests:
        for need in _basis(run, stage):
            for name in digests.lost(need):
                _refuse_edited(run, name, need)
        before = digests.begin(stage.name)
    with doing(stage.name):
        if (run.main or stage.distributed) and not (end_early and stage.end_early(run)):
            stage.perform(run)
        if not run.main:
            return None
        measured = stage.measure(run)
    command = f"luban verify {run.path} --stage {stage.name}"
    report = replace(measured, inputs=inputs_of(run, stage), command=command)
    run.write_json(f"reports/{stage.name}.json", report.to_dict())
    if digests:
        digests.end(stage.name, before)
    return report


def is_fresh(run: Run, stage: Stage) -> bool:
    """Return whether a stage's report and files are there and none of its inputs changed.

    Not where its work was broken off, and was reported as it is.

    Raises:
        RunError: if what the stage said was edited since.
    """
    try:
        if run.report(stage.name).inputs != inputs_of(run, stage):
            return False
        if not stage.finished(run):
            return False
    except RunError:
        return False
    digests = run.digests()
    if digests and stage.name in digests.unfinished:
        return False  # its last files may not be recorded yet
    lost = digests.lost(stage.name) if digests else []
    for name in lost:
        _refuse_edited(run, name, stage.name)
    if lost:
        run.say(f"{stage.name}: no longer as it was written, so made again: {', '.join(lost)}")
    return not lost


def inputs_of(run: Run, stage: Stage) -> dict[str, str]:
    """Return digests of everything a stage's report rests on."""
    recipe = run.recipe
    digests = {
        "data": recipe.data.digest(),
        "files": recipe.data.files_digest(),
        "task": recipe.task.digest(),
        "model": recipe.model.digest(),
        "seed": str(recipe.seed),
        stage.name: digest_of(stage.result_fields()),
        "code": digest_of([part.code_digest() for part in _code(run, stage)]),
        **stage.rests_on(run),
    }
    for need in _basis(run, stage):
        digests[f"report of {need}"] = digest_of(run.report(need).to_dict())
    return digests


def _code(run: Run, stage: Stage) -> list[Settings]:
    """Return everything whose code a stage's report rests on."""
    recipe = run.recipe
    task = run.task() if stage.needs else None
    metrics = (*task.metrics(), *task.validation_metrics()) if task else ()
    return [recipe.data, recipe.task, recipe.model, stage, *metrics]


def _basis(run: Run, stage: Stage) -> list[str]:
    if not stage.final:
        return list(stage.needs)
    return [name for name in run.reports() if name != stage.name]


def _refuse_edited(run: Run, name: str, stage: str) -> None:
    """Refuse to go on from evidence that was edited; what is missing or cut is made again.

    Raises:
        RunError: naming the file.
    """
    if not name.endswith(".json") or name.count("/") > name.startswith("reports/"):
        return
    try:
        run.read_json(name)
    except RunError:
        return
    raise RunError(
        f"this file was edited since {stage} wrote it.",
        where=run.path / name,
        fix=f"bring the old one back, or measure again: luban {stage} {run.path} --force.",
    )
