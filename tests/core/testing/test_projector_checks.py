"""Each check of projectors catches the defect it is there for, and no other check does."""

from __future__ import annotations

import pytest
from tests.core.testing.conftest import failed
from tests.core.testing.projectors import BROKEN

from anyloom.representation.projector import MLPProjector
from anyloom.testing import ProjectorCase


@pytest.mark.parametrize("options", [{}, {"hidden_dim": 5, "skip": True, "activation": "relu"}])
def test_the_papers_projector_passes(options: dict[str, object]) -> None:
    assert failed(ProjectorCase("anyloom.representation.projector.MLPProjector", options=options)) == set()


@pytest.mark.parametrize("cls", BROKEN, ids=lambda c: c.__name__)
def test_a_defect_fails_its_own_check_alone(cls: type[MLPProjector]) -> None:
    assert failed(ProjectorCase(f"{cls.__module__}.{cls.__name__}")) == {BROKEN[cls]}
