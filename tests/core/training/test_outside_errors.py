"""What lightning's callbacks refuse is an option of the trainer; an error of anybody else keeps its traceback."""

from __future__ import annotations

import pytest
from lightning.pytorch.callbacks import EarlyStopping

from anyloom.errors import ConfigError
from anyloom.training.outside_errors import translated


def test_a_callback_that_watches_nothing_is_one_line() -> None:
    with pytest.raises(RuntimeError) as caught:
        EarlyStopping(monitor="nothing")._validate_condition_metric({})
    said = translated(caught.value)
    assert isinstance(said, ConfigError)
    assert str(said).startswith("trainer: Early stopping conditioned on metric `nothing` which is not available")
    assert "\n" not in str(said)


def test_an_error_of_somebody_else_is_not_lightnings() -> None:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("mine")
    assert translated(caught.value) is None
