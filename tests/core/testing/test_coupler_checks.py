"""Each check of couplers catches the defect it is there for, and no other check does."""

from __future__ import annotations

import pytest
import torch
from tests.core.testing.conftest import failed
from tests.core.testing.couplers import BROKEN, SwapsSides

from anyloom.conversation import Media
from anyloom.diffusion.couplers import ConditionCoupler
from anyloom.testing import CouplerCase, DecoderCase
from anyloom_audioldm2.tiny import TINY as SOUND
from anyloom_sd_unclip.tiny import TINY as PICTURE

pytestmark = pytest.mark.slow

SAMPLING = {"denoising_steps": 2}


def case(cls: type[ConditionCoupler]) -> CouplerCase:
    pictures = [Media("image", torch.rand(3, 16, 16)) for _ in range(2)]
    sounds = [Media("audio", torch.rand(1, 1024) - 0.5, meta={"sample_rate": 16000}) for _ in range(2)]
    decoders = (
        DecoderCase("sd-unclip", options=PICTURE, media=pictures, sampling=SAMPLING),
        DecoderCase("audioldm2", options=SOUND, media=sounds, sampling=SAMPLING),
    )
    sizes = {"width": 16, "heads": 2, "places": 4, "detail": 2}
    return CouplerCase(f"{cls.__module__}.{cls.__name__}", options=sizes, decoders=decoders)


@pytest.mark.parametrize("cls", BROKEN, ids=lambda c: c.__name__)
def test_a_defect_fails_its_own_check_alone(cls: type[ConditionCoupler]) -> None:
    assert failed(case(cls)) == BROKEN[cls]


def test_media_of_another_modality_are_noticed_wherever_media_are_made() -> None:
    assert "row_does_not_depend_on_its_batch" in failed(case(SwapsSides))
