"""Each check of representations catches the defect it is there for."""

from __future__ import annotations

import pytest
from tests.core.testing.conftest import failed
from tests.core.testing.representations import BROKEN

from anyloom.interfaces import FeatureSpace
from anyloom.representation.autoregressive import Autoregressive
from anyloom.testing import RepresentationCase


@pytest.mark.parametrize("name", ["autoregressive", "parallel", "queries", "codes", "edit"])
def test_what_ships_passes(name: str) -> None:
    space = FeatureSpace(name="toy", dim=1, tokens=4, scale="code", codes=9) if name == "codes" else None
    options = {"codes": {"temperature": 0.0}, "queries": {"width": 8, "heads": 2}}.get(name, {})
    given = {} if space is None else {"given": space}
    assert failed(RepresentationCase(name, options=options, **given)) == set()


@pytest.mark.parametrize("cls", BROKEN, ids=lambda c: c.__name__)
def test_a_defect_fails_its_own_check(cls: type[Autoregressive]) -> None:
    assert BROKEN[cls] in failed(RepresentationCase(f"{cls.__module__}.{cls.__name__}"))
