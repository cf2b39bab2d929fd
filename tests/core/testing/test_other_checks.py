"""Checks of data sets, metrics, modalities and training modules: each catches the defect it is there for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.core.testing import datasets, metrics, modalities, stages
from tests.core.testing.conftest import failed

from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import Evaluated, Sample
from anyloom.testing import Case, DatasetCase, MetricCase, ModalityCase, ModuleCase

SAMPLES = [
    Sample(Conversation([Message("user", "what?"), Message("assistant", "a" * length)]), "name")
    for length in (3, 5, 2, 7)
]
EVALUATED = [Evaluated(s, Message("assistant", "b" * n)) for n, s in enumerate(SAMPLES, 2)]
SCANS = [Media("scan", torch.arange(4.0), meta={"rate": 2.0}), Media("scan", torch.ones(3), meta={"rate": 1.5})]


def case(cls: type[Any]) -> Case:
    name = f"{cls.__module__}.{cls.__name__}"
    if issubclass(cls, datasets.Whole):
        return DatasetCase(name)
    if issubclass(cls, metrics.Whole):
        return MetricCase(name, evaluated=EVALUATED[:3])
    if issubclass(cls, modalities.Whole):
        return ModalityCase(name, media=SCANS)
    return ModuleCase(name, samples=SAMPLES)


@pytest.mark.parametrize("module", [datasets, metrics, modalities, stages], ids=lambda m: m.__name__.split(".")[-1])
def test_a_component_that_does_all_it_must_passes(module: Any) -> None:
    assert failed(case(module.Whole)) == set()


def test_a_metric_of_torchmetrics_inside_a_metric_passes() -> None:
    assert failed(case(metrics.Nested)) == set()


BROKEN: dict[type[Any], Any] = {**datasets.BROKEN, **metrics.BROKEN, **modalities.BROKEN, **stages.BROKEN}


@pytest.mark.parametrize("cls", BROKEN, ids=lambda c: f"{c.__module__.split('.')[-1]}-{c.__name__}")
def test_a_defect_fails_its_own_checks_alone(cls: type[Any]) -> None:
    expected = BROKEN[cls]
    assert failed(case(cls)) == ({expected} if isinstance(expected, str) else expected)
