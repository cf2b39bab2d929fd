"""Each check of encoders catches the defect it is there for, and no other check does."""

from __future__ import annotations

import pytest
import torch
from tests.core.testing.conftest import failed
from tests.core.testing.encoders import BROKEN, Whole

from anyloom.conversation import Media
from anyloom.testing import EncoderCase, check_component


def scan(seed: int, length: int = 8) -> Media:
    return Media("scan", torch.randn(length, generator=torch.Generator().manual_seed(seed)))


def case(cls: type) -> EncoderCase:
    return EncoderCase(f"{cls.__module__}.{cls.__name__}", options={"dim": 4}, media=[scan(0), scan(1), scan(2)])


def test_an_encoder_that_does_all_it_must_passes() -> None:
    results = check_component(case(Whole))
    assert [r.message for r in results if r.verdict == "failed"] == []
    assert {r.check.name for r in results if r.verdict == "passed"} >= set(BROKEN.values())


@pytest.mark.parametrize("cls", BROKEN, ids=lambda c: c.__name__)
def test_a_defect_fails_its_own_check_alone(cls: type[Whole]) -> None:
    assert failed(case(cls)) == {BROKEN[cls]}


def test_media_that_do_not_stack_are_told_apart_by_their_shapes() -> None:
    short = EncoderCase(case(Whole).name, media=[scan(0), scan(1, length=4)])
    (result,) = [r for r in check_component(short) if r.check.name == "preprocessed_media_stack"]
    assert result.verdict == "failed"
    assert "(4,)" in result.message
    assert "(6,)" in result.message
