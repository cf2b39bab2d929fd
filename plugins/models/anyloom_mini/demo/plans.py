"""From a recipe to what will be run: one composed configuration per stage, with its expected time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from anyloom.config.compose import compose
from anyloom.config.saved import is_saved_model
from anyloom.errors import ConfigError
from anyloom.options import validate
from anyloom_mini.demo.settings import DemoSettings

__all__ = ["Plan", "StagePlan", "make_plan", "seconds_of"]

_QUICK: Final = (
    "trainer.max_steps=3",
    "trainer.max_time=null",
    "trainer.limit_val_batches=0",
    "trainer.log_every_n_steps=1",
    "data.batch_size=8",
)
_QUICK_MEASURED, _QUICK_SHOWN, _QUICK_STAGE_SECONDS = 2, 1, 5.0


@dataclass(frozen=True)
class StagePlan:
    """One stage.

    Args:
        name: Its key in the recipe's ``stages``.
        summary: What it trains, in plain words.
        sections: The composed configuration.
        seconds: Expected time; None if the recipe does not limit it.
        result: Folder it writes.
    """

    name: str
    summary: str
    sections: dict[str, Any]
    seconds: float | None
    result: Path


@dataclass(frozen=True)
class Plan:
    """All stages in order, and how to present them.

    Args:
        stages: The stages.
        settings: The recipe's ``variables.demo``.
        output: Folder of the run.
        quick: Whether this is a smoke run.
        start: Saved model that the stages begin with; None if they begin with nothing.
    """

    stages: Sequence[StagePlan]
    settings: DemoSettings
    output: Path
    quick: bool
    start: Path | None = None

    @property
    def seconds(self) -> float:
        """Expected time of everything."""
        return sum(s.seconds or 0.0 for s in self.stages) + self.settings.evaluation_seconds

    @property
    def origin(self) -> str:
        """Digest of the saved model that the stages begin with; empty if there is none."""
        if self.start is None:
            return ""
        return hashlib.sha256((self.start / "config.json").read_bytes()).hexdigest()[:16]


def make_plan(recipe: str, overrides: Sequence[str], output: Path, *, quick: bool = False, seed: int = 0) -> Plan:
    """Compose every stage of a recipe.

    Args:
        recipe: Name of a recipe or path of a YAML file with ``stages``.
        overrides: The user's own.
        output: Folder of the run; the recipe finds it as ``${variables.run}``.
        quick: Few steps and samples, to see that everything works.
        seed: Of all stages.

    Raises:
        anyloom.errors.ConfigError: The recipe has no stages, or a stage writes no result.
    """
    own = [f"variables.run={json.dumps(output.as_posix())}", f"seed_everything={seed}", f"data.seed={seed}"]
    compose([recipe, {"variables": {"run": output.as_posix()}}], overrides, strict=True)  # names a typo
    sections = compose([recipe], [*own, *overrides])
    settings = _settings(sections)
    if quick:
        own += [*_QUICK, *settings.quick]
        changed = {"measured": _QUICK_MEASURED, "shown": _QUICK_SHOWN, "batch_size": 8, "evaluation_seconds": 10.0}
        settings = _settings(compose([recipe], [*own, *overrides])).model_copy(update=changed)
    names = list(sections.get("stages") or {})
    if not names:
        raise ConfigError("the recipe has no stages", where="stages", fix="run it with 'anyloom fit'")
    composed = {n: compose([recipe], [*own, *overrides], stage=n) for n in names}
    start = Path(str(sections.get("module", {}).get("start_from")))
    stages = [_stage(n, composed[n], settings, quick) for n in names]
    return Plan(stages, settings, output, quick, start if is_saved_model(start) else None)


def _settings(sections: dict[str, Any]) -> DemoSettings:
    return validate(DemoSettings, sections.get("variables", {}).get("demo") or {}, where="variables.demo")


def _stage(name: str, sections: dict[str, Any], settings: DemoSettings, quick: bool) -> StagePlan:
    sections.pop("stages", None)
    if not sections.get("result"):
        raise ConfigError("the stage writes no result", where=f"stages.{name}.result", fix="name a folder")
    limit = seconds_of(sections.get("trainer", {}).get("max_time"))
    seconds = _QUICK_STAGE_SECONDS if quick else limit
    return StagePlan(name, settings.stages.get(name, ""), sections, seconds, Path(sections["result"]))


def seconds_of(max_time: Any) -> float | None:
    """Seconds of what lightning takes as ``max_time``: ``DD:HH:MM:SS``, a mapping, or nothing.

    >>> seconds_of("00:00:01:30"), seconds_of({"minutes": 2}), seconds_of(None)
    (90.0, 120.0, None)
    """
    if isinstance(max_time, str):
        days, hours, minutes, seconds = (int(part) for part in max_time.split(":"))
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    return timedelta(**max_time).total_seconds() if max_time else None
