"""Schedules of published folders, against the schedulers that diffusers loads from the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from anyloom.diffusion.published_schedule import read_schedule, read_scheduler_config
from anyloom.diffusion.schedule import Schedule, build_scheduler
from anyloom.errors import CheckpointError, ConfigError

CONFIGS: list[tuple[str, dict[str, Any]]] = [
    ("DDIMScheduler", {}),
    ("DDIMScheduler", {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear", "steps_offset": 1}),
    ("DDIMScheduler", {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 400, "clip_sample": True}),
    ("DDIMScheduler", {"trained_betas": [0.001, 0.002, 0.004, 0.008], "num_train_timesteps": 4}),
    ("DDPMScheduler", {"beta_schedule": "linear", "variance_type": "fixed_large"}),
    ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1, "beta_schedule": "scaled_linear"}),
    ("PNDMScheduler", {"skip_prk_steps": False}),
    ("EulerDiscreteScheduler", {"beta_schedule": "scaled_linear", "timestep_spacing": "trailing"}),
    (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 3, "use_karras_sigmas": True},
    ),
]


def write(folder: Path, name: str, options: dict[str, Any]) -> Any:
    scheduler = getattr(diffusers, name)(**{"prediction_type": "epsilon", **options})
    scheduler.save_pretrained(folder / "scheduler")
    return scheduler


@pytest.mark.parametrize(("name", "options"), CONFIGS)
def test_a_schedule_left_to_the_folder_is_the_one_that_diffusers_loads(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    theirs = write(tmp_path, name, options)
    ours = build_scheduler(read_schedule(tmp_path, Schedule(), "epsilon"), "epsilon")
    assert type(ours) is type(theirs)
    assert {k: v for k, v in ours.config.items() if not k.startswith("_")} == {
        k: v for k, v in theirs.config.items() if not k.startswith("_")
    }
    torch.testing.assert_close(ours.alphas_cumprod, theirs.alphas_cumprod)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(4)
    assert ours.timesteps.tolist() == theirs.timesteps.tolist()


def test_the_sampler_is_the_users_choice_and_the_noise_is_not(tmp_path: Path) -> None:
    write(tmp_path, "PNDMScheduler", {"beta_start": 0.001, "beta_end": 0.01, "skip_prk_steps": True})
    own = Schedule(scheduler="DDIMScheduler", timestep_spacing="trailing")
    schedule = read_schedule(tmp_path, own, "epsilon")
    assert (schedule.scheduler, schedule.timestep_spacing) == ("DDIMScheduler", "trailing")
    assert (schedule.beta_start, schedule.beta_end, schedule.beta_schedule) == (0.001, 0.01, "linear")


@pytest.mark.parametrize(
    "own", [{"beta_end": 0.02}, {"num_train_timesteps": 999}, {"beta_schedule": "squaredcos_cap_v2"}], ids=str
)
def test_a_config_that_contradicts_the_training_is_refused(own: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, "DDIMScheduler", {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"})
    (name,) = own
    with pytest.raises(CheckpointError, match=rf"trained with {name} .* the config says .*leave schedule\.{name} out"):
        read_schedule(tmp_path, Schedule(**own), "epsilon")


def test_another_prediction_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "DDIMScheduler", {"prediction_type": "sample"})
    with pytest.raises(CheckpointError, match="predicts 'sample', the config says 'epsilon'"):
        read_schedule(tmp_path, Schedule(), "epsilon")


@pytest.mark.parametrize(
    "text", ["{", "[]", "null", json.dumps({"_class_name": "os"}), json.dumps({"_class_name": "FlaxDDIMScheduler"})]
)
def test_a_file_that_is_no_configuration_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scheduler_config.json"
    file.write_text(text)
    with pytest.raises(CheckpointError, match="no scheduler's configuration") as caught:
        read_scheduler_config(file)
    assert "\n" not in str(caught.value)


def test_betas_that_are_not_known_are_named(tmp_path: Path) -> None:
    (tmp_path / "scheduler").mkdir()
    there = {"_class_name": "DDIMScheduler", "beta_schedule": "exponential", "prediction_type": "epsilon"}
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(there))
    with pytest.raises(CheckpointError, match=r"not known here .*beta_schedule .exponential."):
        read_schedule(tmp_path, Schedule(), "epsilon")


def test_options_of_the_class_are_passed_on_and_others_named() -> None:
    schedule = Schedule(scheduler="DPMSolverMultistepScheduler", options={"solver_order": 1})
    assert build_scheduler(schedule, "epsilon").config.solver_order == 1
    with pytest.raises(ConfigError, match=r"no option 'solver_ordr'.*solver_order"):
        build_scheduler(Schedule(options={"solver_ordr": 1}, scheduler="DPMSolverMultistepScheduler"), "epsilon")


def test_a_scheduler_without_a_noise_schedule_is_refused() -> None:
    with pytest.raises(ConfigError, match="alphas_cumprod"):
        build_scheduler(Schedule(scheduler="FlowMatchEulerDiscreteScheduler"), "epsilon")


def test_without_options_pndm_samples_as_stable_diffusion_does() -> None:
    assert build_scheduler(Schedule(scheduler="PNDMScheduler"), "epsilon").config.skip_prk_steps is True
