"""Runs the stages of a plan one after another: skips what is complete, goes on with what was interrupted."""

from __future__ import annotations

import copy
import json
import logging
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from anyloom_mini.demo.plans import Plan, StagePlan
from anyloom_mini.demo.run_state import RunState, digest_of
from anyloom_mini.demo.stage_progress import clock

__all__ = ["metric_files", "run_stages", "stage_folder"]

_CHECKPOINT_SECONDS: Final = 30
_CHATTY: Final = ("lightning.pytorch", "lightning.fabric")


def stage_folder(plan: Plan, stage: StagePlan) -> Path:
    """Where checkpoints and logs of a stage are kept."""
    return plan.output / "stages" / stage.name


def metric_files(plan: Plan, stage: StagePlan) -> list[Path]:
    """The logs of a stage, one per attempt, in order."""
    return sorted(stage_folder(plan, stage).glob("attempt-*/metrics.csv"))


def run_stages(plan: Plan, state: RunState, say: Callable[[str], None]) -> None:
    """Run every stage that is not complete.

    Args:
        plan: What to run.
        state: What was done before; kept up to date.
        say: Prints a line.

    Raises:
        KeyboardInterrupt: The user has had enough; the stage can be continued.
    """
    started, made = time.monotonic(), plan.origin
    earlier = sum(state.record(s.name).seconds for s in plan.stages)
    for index, stage in enumerate(plan.stages):
        digest = digest_of([stage.sections, made], plan.output)
        record = state.record(stage.name)
        width = max(len(s.name) for s in plan.stages)
        title = f"[{index + 1}/{len(plan.stages)}] {stage.name:{width}}"
        if record.status == "complete" and record.digest == digest and _filled(stage.result):
            say(f"{title}  ✔ done before, in {clock(record.seconds)}")
        else:
            if record.digest != digest or record.status == "complete":
                _clear(plan, stage)
                record = replace(record, attempts=0)
            record = replace(record, status="started", digest=digest, attempts=record.attempts + 1)
            state.put(stage.name, record)
            before = time.monotonic() - started + earlier
            after = sum(s.seconds or 0.0 for s in plan.stages[index + 1 :]) + plan.settings.evaluation_seconds
            cost = _fit(plan, stage, record.attempts, title=title, before=before, after=after)
            state.put(stage.name, record.completed(cost))
            shutil.rmtree(stage_folder(plan, stage) / "checkpoints", ignore_errors=True)
        made = state.record(stage.name).made


def _filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _clear(plan: Plan, stage: StagePlan) -> None:
    """Remove what an earlier configuration left; a result outside the run folder is not ours to remove."""
    shutil.rmtree(stage_folder(plan, stage), ignore_errors=True)
    if stage.result.resolve().is_relative_to(plan.output.resolve()):
        shutil.rmtree(stage.result, ignore_errors=True)


def _fit(plan: Plan, stage: StagePlan, attempt: int, **line: Any) -> dict[str, Any]:
    """Train one stage; returns its cost."""
    from anyloom.training.run import run

    folder = stage_folder(plan, stage)
    with _quiet(folder / "warnings.txt"):
        run("fit", _with_equipment(stage, folder, attempt, line))
    cost: dict[str, Any] = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
    return cost


def _with_equipment(stage: StagePlan, folder: Path, attempt: int, line: dict[str, Any]) -> dict[str, Any]:
    """The stage's configuration with checkpoints, logs and the progress line of the demo."""
    sections = copy.deepcopy(stage.sections)
    trainer: dict[str, Any] = sections.setdefault("trainer", {})
    checkpoints = folder / "checkpoints"
    keep = {"folder": str(checkpoints), "seconds": _CHECKPOINT_SECONDS}
    show = {**line, "planned": stage.seconds, "record": str(folder / "cost.json")}
    trainer["callbacks"] = [
        *(trainer.get("callbacks") or []),
        {"class_path": "anyloom_mini.demo.stage_progress.StageProgress", "init_args": show},
        {"class_path": "anyloom_mini.demo.last_checkpoint.LastCheckpoint", "init_args": keep},
    ]
    logs = {"save_dir": str(folder), "name": "", "version": f"attempt-{attempt:03d}", "flush_logs_every_n_steps": 10}
    trainer["logger"] = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": logs}
    trainer |= {"default_root_dir": str(folder), "enable_model_summary": False, "num_sanity_val_steps": 0}
    last = checkpoints / "last.ckpt"
    sections["ckpt_path"] = str(last) if last.is_file() else None
    return sections


@contextmanager
def _quiet(file: Path) -> Iterator[None]:
    """Keep lightning's remarks from the screen; warnings go to a file."""
    loggers = {name: logging.getLogger(name) for name in _CHATTY}
    levels = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.WARNING)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            yield
        finally:
            for name, logger in loggers.items():
                logger.setLevel(levels[name])
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = [f"{w.category.__name__}: {w.message} ({w.filename}:{w.lineno})" for w in caught]
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
