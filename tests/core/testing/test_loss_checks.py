"""Each check of losses catches the defect it is there for."""

from __future__ import annotations

import pytest
from tests.core.testing.conftest import failed
from tests.core.testing.losses import BROKEN, Distance

from anyloom.interfaces import FeatureSpace, Loss
from anyloom.testing import LossCase


def case(cls: type[Loss]) -> LossCase:
    spaces = {name: FeatureSpace(name=name, dim=n, tokens=2) for n, name in enumerate(("one", "two"), start=3)}
    return LossCase(f"{cls.__module__}.{cls.__name__}", spaces=spaces)


def test_a_loss_that_is_right_passes() -> None:
    assert failed(case(Distance)) == set()


@pytest.mark.parametrize("cls", BROKEN, ids=lambda c: c.__name__)
def test_a_defect_fails_its_own_check(cls: type[Loss]) -> None:
    assert BROKEN[cls] in failed(case(cls))
