"""What a run folder remembers: which stages are complete, from which configuration, at what cost."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from anyloom import __version__
from anyloom.errors import CheckpointError
from anyloom.storage.atomic import write_text

__all__ = ["RunState", "StageRecord", "digest_of"]

_FORMAT: Final = 1


@dataclass(frozen=True)
class StageRecord:
    """One stage.

    Args:
        status: ``new``, ``started`` or ``complete``.
        digest: Of the configuration and of the results it builds on.
        made: Random name of the result; what builds on it has it in its digest.
        attempts: How often it was started; interrupted runs count.
        seconds: Training time, interrupted runs included.
        steps: Optimizer steps.
        memory: Largest resident memory in bytes.
        parameters: Trained parameters.
    """

    status: Literal["new", "started", "complete"] = "new"
    digest: str = ""
    made: str = ""
    attempts: int = 0
    seconds: float = 0.0
    steps: int = 0
    memory: int = 0
    parameters: int = 0

    def completed(self, cost: dict[str, Any]) -> StageRecord:
        """The record after the stage is done."""
        known = {k: cost[k] for k in ("seconds", "steps", "memory", "parameters") if k in cost}
        return replace(self, status="complete", made=secrets.token_hex(8), **known)


@dataclass
class RunState:
    """``state.json`` of a run folder; every change is on disk before anything relies on it.

    Args:
        path: The file.
        stages: Records by name.
        report: What the last report was made from, and its main numbers.
    """

    path: Path
    stages: dict[str, StageRecord] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> RunState:
        """Read the state; a folder without one is a new run.

        Raises:
            anyloom.errors.CheckpointError: The file is not one of ours.
        """
        if not path.is_file():
            return cls(path)
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if value["format"] != _FORMAT:
                raise ValueError(f"format {value['format']!r} is not {_FORMAT}")
            return cls(path, {k: StageRecord(**v) for k, v in value["stages"].items()}, value["report"])
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"this is not the state of a run ({error})", where=str(path), fix="start anew with --fresh"
            ) from error

    def save(self) -> None:
        """Write the file, whole or not at all."""
        value = {"format": _FORMAT, "stages": {k: asdict(v) for k, v in self.stages.items()}, "report": self.report}
        write_text(self.path, json.dumps(value, indent=1) + "\n")

    def record(self, name: str) -> StageRecord:
        """The record of a stage, a new one if there is none."""
        return self.stages.get(name, StageRecord())

    def put(self, name: str, record: StageRecord) -> None:
        """Set and save the record of a stage."""
        self.stages[name] = record
        self.save()


def digest_of(value: Any, folder: Path) -> str:
    """Digest of plain values and of the version that uses them; the run folder's own path does not matter.

    >>> digest_of({"a": "runs/x/b"}, Path("runs/x")) == digest_of({"a": "runs/y/b"}, Path("runs/y"))
    True
    """
    text = json.dumps([__version__, value], sort_keys=True, default=str)
    text = text.replace(json.dumps(folder.as_posix())[1:-1], "<run>")
    return hashlib.sha256(text.encode()).hexdigest()[:16]
