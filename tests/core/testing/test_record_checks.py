"""Checks of what a plugin's record says, on packages that are really installed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.discovery.conftest import Install, component
from tests.core.testing.conftest import failed

from anyloom.discovery import get_registry
from anyloom.testing import Case, EncoderCase, check_component

WHOLE: dict[str, Any] = {"licence": "MIT", "summary": "A scan encoder.", "modalities": ("scan",)}
PARTS = """
from tests.core.testing.encoders import Whole

class Part(Whole):
    '''Features of scans.'''
"""


def record(**options: Any) -> str:
    return component("kit", target="anyloom_kit.parts:Part", **{**WHOLE, **options})


def vanishing() -> str:
    """A plugin that returns nothing where what it requires is missing."""
    records = record(requires=("sqlite3",)).replace("@hookimpl\n", "").replace("anyloom_components", "records")
    found = "records() if importlib.util.find_spec('sqlite3') else []"
    return f"import importlib.util\n{records}@hookimpl\ndef anyloom_components():\n    return {found}\n"


CASES: dict[str, tuple[str, str, set[str]]] = {
    "whole": (record(), PARTS, set()),
    "no licence": (record(licence=""), PARTS, {"record_is_complete"}),
    "no summary": (record(summary=" "), PARTS, {"record_is_complete"}),
    "imports numpy": ("import numpy\n" + record(), PARTS, {"plugin_module_is_light"}),
    "imports in its hook": (
        record().replace("    ret", "    import numpy\n    ret"),
        PARTS,
        {"plugin_module_is_light"},
    ),
    "prints": ("print('hello')\n" + record(), PARTS, {"plugin_module_prints_nothing"}),
    "undeclared import": (record(), "import pytest\n" + PARTS, {"imports_what_it_declares"}),
    "declared import": (record(requires=("pytest",)), "import pytest\n" + PARTS, set()),
    "vanishes": (vanishing(), PARTS, {"missing_requirement_is_named"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_defect_fails_its_own_check_alone(publish: Install, case: str) -> None:
    source, parts, expected = CASES[case]
    publish("anyloom_kit", source, parts=parts)
    assert failed(Case("kit", kind="encoder")) == expected


def test_an_encoder_that_knows_no_bounds_is_told(publish: Install) -> None:
    greedy = """
from anyloom.interfaces import FeatureSpace
from tests.core.testing.encoders import Whole

class Part(Whole):
    '''Features of anything.'''
    def feature_space(self, modality):
        return FeatureSpace(name="scan", dim=4)
"""
    publish("anyloom_kit", record(), parts=greedy)
    from tests.core.testing.test_encoder_checks import scan

    assert failed(EncoderCase("kit", media=[scan(0), scan(1)])) == {"foreign_modality_is_refused"}


def test_the_message_names_the_module(publish: Install) -> None:
    publish("anyloom_kit", "import numpy\n" + record(), parts=PARTS)
    assert get_registry().find("encoder", "kit").plugin == "anyloom_kit"
    (result,) = [r for r in check_component(Case("kit", kind="encoder")) if r.verdict == "failed"]
    assert "numpy" in result.message
    assert "plugin.py" in result.check.cure
