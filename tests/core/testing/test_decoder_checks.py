"""Each check of decoders catches the defect it is there for, and no other check does."""

from __future__ import annotations

import pytest
from tests.core.testing.conftest import failed
from tests.core.testing.decoders import BROKEN

from anyloom.testing import DecoderCase
from anyloom_sd_unclip.decoder import SDUnCLIPDecoder
from parts import image_decoder_options, picture


@pytest.mark.parametrize("cls", BROKEN, ids=lambda c: c.__name__)
def test_a_defect_fails_its_own_check_alone(cls: type[SDUnCLIPDecoder]) -> None:
    options = image_decoder_options(reference=True)
    del options["name"]
    case = DecoderCase(
        f"{cls.__module__}.{cls.__name__}", options=options, media=[picture(0), picture(1)], learning_steps=10
    )
    assert failed(case) == {BROKEN[cls]}


def test_a_decoder_without_diffusion_and_without_chance_conforms() -> None:
    case = DecoderCase("regressor.PictureRegressor", media=[picture(0), picture(1)], uses_chance=False)
    assert failed(case) == set()


def test_a_decoder_that_draws_nothing_must_say_so() -> None:
    case = DecoderCase("regressor.PictureRegressor", media=[picture(0), picture(1)])
    assert failed(case) == {"row_does_not_depend_on_its_batch"}
