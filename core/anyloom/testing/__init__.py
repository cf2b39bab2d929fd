"""The conformance kit: what every component must do, as checks that its author inherits.

A plugin's pytest file inherits the class of its kind and supplies one fixture, ``case``: the component's name, options
that make it tiny, and a few inputs::

    import pytest
    from anyloom.testing import EncoderCase, EncoderChecks

    class TestTinyEncoder(EncoderChecks):
        @pytest.fixture
        def case(self):
            return EncoderCase("tiny", options={"dim": 4}, media=[scan(1), scan(2)])

Without pytest, :func:`check_component` runs the same checks on a case and returns a result for each. A plugin whose
record names its tiny form (``ComponentSpec(tiny="anyloom_tiny.tiny:encoder")``) can be checked by its users too:
``anyloom plugins check tiny``. A check that a component cannot pass is declared in the case with the reason
(``expected_failures``); once it passes, the declaration is reported as an error.

pytest is not needed to import this package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyloom.testing.baseline import BaselineChecks
    from anyloom.testing.case import (
        BaselineCase,
        Case,
        CouplerCase,
        DatasetCase,
        DecoderCase,
        EncoderCase,
        LLMCase,
        LossCase,
        MetricCase,
        ModalityCase,
        ModuleCase,
        ProjectorCase,
        RepresentationCase,
    )
    from anyloom.testing.checking import ConformanceError, Result, check
    from anyloom.testing.component import ComponentChecks, RecordChecks
    from anyloom.testing.coupler import CouplerChecks
    from anyloom.testing.dataset import DatasetChecks
    from anyloom.testing.decoder import DecoderChecks
    from anyloom.testing.encoder import EncoderChecks
    from anyloom.testing.llm import LLMChecks
    from anyloom.testing.loss import LossChecks
    from anyloom.testing.metric import MetricChecks
    from anyloom.testing.modality import ModalityChecks
    from anyloom.testing.module import ModuleChecks
    from anyloom.testing.neural import NeuralChecks
    from anyloom.testing.projector import ProjectorChecks
    from anyloom.testing.representation import RepresentationChecks
    from anyloom.testing.running import check_component, checks_of, tiny_case

_HOMES = {
    "case": (
        "BaselineCase Case CouplerCase DatasetCase DecoderCase EncoderCase LLMCase LossCase MetricCase ModalityCase "
        "ModuleCase ProjectorCase RepresentationCase"
    ),
    "baseline": "BaselineChecks",
    "checking": "ConformanceError Result check",
    "component": "ComponentChecks RecordChecks",
    "coupler": "CouplerChecks",
    "dataset": "DatasetChecks",
    "decoder": "DecoderChecks",
    "encoder": "EncoderChecks",
    "llm": "LLMChecks",
    "loss": "LossChecks",
    "metric": "MetricChecks",
    "modality": "ModalityChecks",
    "module": "ModuleChecks",
    "neural": "NeuralChecks",
    "projector": "ProjectorChecks",
    "representation": "RepresentationChecks",
    "running": "check_component checks_of tiny_case",
}

__all__ = [
    "BaselineCase",
    "BaselineChecks",
    "Case",
    "ComponentChecks",
    "ConformanceError",
    "CouplerCase",
    "CouplerChecks",
    "DatasetCase",
    "DatasetChecks",
    "DecoderCase",
    "DecoderChecks",
    "EncoderCase",
    "EncoderChecks",
    "LLMCase",
    "LLMChecks",
    "LossCase",
    "LossChecks",
    "MetricCase",
    "MetricChecks",
    "ModalityCase",
    "ModalityChecks",
    "ModuleCase",
    "ModuleChecks",
    "NeuralChecks",
    "ProjectorCase",
    "ProjectorChecks",
    "RecordChecks",
    "RepresentationCase",
    "RepresentationChecks",
    "Result",
    "check",
    "check_component",
    "checks_of",
    "tiny_case",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names.split():
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
