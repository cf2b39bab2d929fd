from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, model_validator

from anyloom.building import build, build_named
from anyloom.config.schema import OptimizerConfig, ProjectConfig
from anyloom.errors import AnyloomError, ConfigError, MediaError, UnknownNameError, combine
from anyloom.generation.options import GenerationOptions
from anyloom.network.config import ModelConfig
from anyloom.options import Section, WrongOptionsError, split_name, validate


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rank: int = 1
    alpha: float = 1.0


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int
    inner: Inner = Inner()
    maybe: Inner | None = None
    named: dict[str, Inner] = {}
    either: int | list[int] = 0
    low: int = 0
    high: int = 1

    @model_validator(mode="after")
    def _ordered(self) -> Outer:
        if self.low > self.high:
            raise WrongOptionsError({"low": "is above high"})
        return self


def problems(options: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        validate(Outer, options, where="model.x")
    return {part.where: f"{part.what} | {part.fix}" for part in caught.value.parts}


@pytest.mark.parametrize(
    ("options", "key", "hint"),
    [
        ({"width": 1, "widht": 2}, "model.x.widht", "did you mean 'width'?"),
        ({"width": 1, "inner": {"rnk": 2}}, "model.x.inner.rnk", "did you mean 'rank'?"),
        ({"width": 1, "maybe": {"rnk": 2}}, "model.x.maybe.rnk", "did you mean 'rank'?"),
        ({"width": 1, "named": {"a": {"alhpa": 2}}}, "model.x.named.a.alhpa", "did you mean 'alpha'?"),
        ({"width": 1, "zzz": 2}, "model.x.zzz", "known options: either, high, inner, low, maybe, named, width"),
    ],
)
def test_a_typo_is_answered_with_the_nearest_key_and_the_full_path(options: Any, key: str, hint: str) -> None:
    found = problems(options)
    assert list(found) == [key]
    assert hint in found[key]


def test_a_wrong_type_names_key_and_value() -> None:
    found = problems({"width": "wide", "inner": {"rank": [1]}})
    assert "got 'wide'" in found["model.x.width"]
    assert "got [1]" in found["model.x.inner.rank"]


def test_every_problem_is_reported_on_a_line_of_its_own() -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Outer, {"low": "a", "inner": {"x": 1}}, where="m")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["m.width", "m.inner.x", "m.low"]


def test_branches_of_a_union_are_one_problem_at_the_users_key() -> None:
    found = problems({"width": 1, "either": "x"})
    assert list(found) == ["model.x.either"]
    assert " or " in found["model.x.either"]


def test_validators_over_several_options_name_the_key() -> None:
    assert problems({"width": 1, "low": 3}) == {"model.x.low": "is above high | "}


def test_options_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected options by name"):
        validate(Outer, [1], where="x")  # type: ignore[arg-type]


def test_a_reference_to_a_missing_encoder_names_the_key_and_the_nearest() -> None:
    options = {"llm": {}, "encoders": {"eye": {}}, "modalities": {"image": {"encoder": "eyes"}}}
    with pytest.raises(ConfigError) as caught:
        validate(ModelConfig, options, where="model")
    assert caught.value.where == "model.modalities.image.encoder"
    assert "did you mean 'eye'?" in caught.value.what


def test_sections_have_no_unknown_keys() -> None:
    with pytest.raises(ConfigError, match="did you mean 'trainer'") as caught:
        validate(ProjectConfig, {"trianer": {}}, where="")
    assert caught.value.where == "trianer"


def test_an_unknown_component_names_the_nearest_and_the_key() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mlp'") as caught:
        build_named("projector", {"name": "mpl"}, where="model.modalities.image.input_projector", in_dim=1, out_dim=1)
    assert caught.value.where == "model.modalities.image.input_projector"


def test_an_option_of_a_component_is_checked_by_its_own_config() -> None:
    with pytest.raises(ConfigError, match="did you mean 'hidden_dim'") as caught:
        build("projector", "mlp", {"hiden_dim": 3}, where="model.modalities.image.input_projector", in_dim=1, out_dim=1)
    assert caught.value.where == "model.modalities.image.input_projector.hiden_dim"


@pytest.mark.parametrize("options", [{}, {"name": 3}, 3, None])
def test_a_component_needs_a_name(options: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        split_name(options, where="model.llm")
    assert caught.value.where == "model.llm"


def test_errors_combine_flat_and_keep_their_class() -> None:
    one, two, three = (ConfigError(str(i), where="k") for i in range(3))
    whole = combine([combine([one, two]), three])
    assert whole.parts == (one, two, three)
    assert type(whole) is ConfigError
    assert combine([one]) is one
    assert type(combine([UnknownNameError("a"), UnknownNameError("b")])) is UnknownNameError


class LineError(ConfigError):
    """One with a constructor and an attribute of its own."""

    def __init__(self, line: int) -> None:
        super().__init__("not a number", where=f"line {line}", fix="write a number")
        self.line = line


@pytest.mark.parametrize(
    "error", [MediaError("broken", where="a.png", fix="b"), LineError(3), combine([LineError(1), ConfigError("x")])]
)
def test_an_error_survives_pickling_and_copying(error: AnyloomError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert (str(again), again.what, again.where, again.fix) == (str(error), error.what, error.where, error.fix)
        assert getattr(again, "line", 0) == getattr(error, "line", 0)
        assert [str(part) for part in again.parts] == [str(part) for part in error.parts]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_no_option_is_infinite(value: float) -> None:
    """A rate of infinity is above 0 and makes everything NaN after one step."""
    for config, section, key in (
        (OptimizerConfig, {"lr": value}, "lr"),
        (GenerationOptions, {"temperature": value}, "temperature"),
        (ModelConfig, {"loss": {"text_weight": value}}, "loss.text_weight"),
    ):
        with pytest.raises(ConfigError, match=f"{key}: .*(finite|greater)"):
            validate(config, section, where="")


@pytest.mark.parametrize("answer", [True, False])
def test_yes_and_no_are_no_numbers(answer: bool) -> None:
    class Options(Section):
        batches: int = 1
        share: float | None = None
        name: str | int = ""
        exact: bool | int = True

    for number in ("batches", "share", "name"):
        with pytest.raises(ConfigError, match=f"data.{number}: expected a number, got {answer}"):
            validate(Options, {number: answer}, where="data")
    assert validate(Options, {"exact": answer}, where="data").exact is answer


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_numpy_refuses_is_refused_by_its_key(seed: int) -> None:
    with pytest.raises(ValueError, match="Seed must be between 0 and 2"):
        np.random.RandomState(seed)
    with pytest.raises(ConfigError, match="seed_everything: "):
        validate(ProjectConfig, {"seed_everything": seed}, where="")
