"""The schedule that a published folder was trained and is sampled with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from anyloom.diffusion.schedule import Schedule, scheduler_defaults
from anyloom.errors import CheckpointError, ConfigError
from anyloom.storage.json_text import read_json

__all__ = ["read_schedule", "read_scheduler_config", "under_trained"]

_TRAINED: Final = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "rescale_betas_zero_snr")
"""Options that the weights were trained with; the others only say how media are sampled."""

_LIMIT: Final = 2**20


def read_schedule(folder: Path, schedule: Schedule, prediction: str) -> Schedule:
    """The schedule of a folder under what a config says of it.

    What the config leaves out is as ``scheduler/scheduler_config.json`` says, and where that is silent as the class
    has it that the file names. A folder without that file keeps the config's.

    Args:
        folder: The published folder.
        schedule: The config's; its explicit options win where they only concern sampling.
        prediction: What the config says the network predicts.

    Raises:
        anyloom.errors.CheckpointError: The file is broken, or the config contradicts what the weights were trained on.
    """
    file = folder / "scheduler" / "scheduler_config.json"
    if not file.exists():
        return schedule
    there = read_scheduler_config(file)
    _require_prediction(there, prediction, file)
    return under_trained(schedule, _as_schedule(there, schedule, file), where=str(file))


def under_trained(schedule: Schedule, trained: Schedule, *, where: str) -> Schedule:
    """What a config says of the schedule that weights were trained with: what it leaves out is as it was.

    Args:
        schedule: The config's; its explicit options win where they only concern sampling.
        trained: That of the weights.
        where: Place for the error.

    Raises:
        anyloom.errors.CheckpointError: The config contradicts what the weights were trained with.

    >>> under_trained(Schedule(timestep_spacing="trailing"), Schedule(beta_end=0.02), where="").beta_end
    0.02
    """
    given = schedule.model_fields_set
    wrong = [name for name in _TRAINED if name in given and getattr(schedule, name) != getattr(trained, name)]
    if trained.beta_schedule == "squaredcos_cap_v2":  # a cosine schedule has no first and last beta
        wrong = [name for name in wrong if name not in ("beta_start", "beta_end")]
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"these weights were trained with {name} {getattr(trained, name)!r}, the config says "
            f"{getattr(schedule, name)!r}",
            where=where,
            fix=f"leave schedule.{name} out",
        )
    own = {name: getattr(schedule, name) for name in given}
    # options of one class mean nothing to another
    other = "scheduler" in given and schedule.scheduler != trained.scheduler
    kept = trained.model_dump(exclude={"options"} if other else None)
    return Schedule(**{**kept, **own})


def read_scheduler_config(file: Path) -> dict[str, Any]:
    """A scheduler's configuration, with the class's own values where the file names one and is silent.

    Raises:
        anyloom.errors.CheckpointError: The file is no such configuration, or names no scheduler of diffusers.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "scheduler_config.json"
    ...     _ = file.write_text('{"_class_name": "DDIMScheduler", "beta_start": 0.001}')
    ...     read_scheduler_config(file)["beta_start"], read_scheduler_config(file)["num_train_timesteps"]
    (0.001, 1000)
    """
    what, fix = "this is no scheduler's configuration", "fetch the folder again"
    there = read_json(file, what=what, fix=fix, most=_LIMIT)
    name = there.get("_class_name")
    try:
        defaults = {} if name is None else scheduler_defaults(str(name))
    except ConfigError as error:
        raise CheckpointError(f"{what} ({error.what})", where=str(file), fix=fix) from error
    known = {key: value for key, value in there.items() if name is None or key in (*defaults, "_class_name")}
    return {**defaults, **known}


def _require_prediction(there: dict[str, Any], prediction: str, file: Path) -> None:
    kind = there.get("prediction_type", "epsilon")
    if kind != prediction:
        raise CheckpointError(
            f"the published model predicts {kind!r}, the config says {prediction!r}",
            where=str(file),
            fix=f"set prediction: {kind}",
        )


def _as_schedule(there: dict[str, Any], silent: Schedule, file: Path) -> Schedule:
    fields = {key: there[key] for key in Schedule.model_fields if key in there}
    if (name := there.get("_class_name")) is None:
        fields, others = {**silent.model_dump(), **fields}, {}
    else:
        named = (*Schedule.model_fields, "_class_name", "prediction_type")
        defaults = scheduler_defaults(name)
        others = {key: value for key, value in there.items() if key not in named and value != defaults[key]}
        fields["scheduler"] = name
    try:
        return Schedule(**{**fields, "options": others})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise CheckpointError(
            f"this schedule is not known here ({key} {first['input']!r}: {first['msg']})", where=str(file)
        ) from error
