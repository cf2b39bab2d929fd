"""Runs the checks of a case without pytest, and finds the case that a plugin offers."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from anyloom.discovery import ComponentSpec
from anyloom.discovery.targets import import_function
from anyloom.errors import PluginError
from anyloom.testing.case import Case
from anyloom.testing.checking import Check, Result, run_check

__all__ = ["check_component", "checks_of", "tiny_case"]

_BY_KIND: Final = {
    "encoder": "encoder:EncoderChecks",
    "projector": "projector:ProjectorChecks",
    "representation": "representation:RepresentationChecks",
    "llm": "llm:LLMChecks",
    "decoder": "decoder:DecoderChecks",
    "coupler": "coupler:CouplerChecks",
    "loss": "loss:LossChecks",
    "dataset": "dataset:DatasetChecks",
    "baseline": "baseline:BaselineChecks",
    "metric": "metric:MetricChecks",
    "modality": "modality:ModalityChecks",
    "module": "module:ModuleChecks",
}


def _class_for(case: Case) -> type[Any]:
    """The class of checks for a case; only those of the record for a bare :class:`Case`."""
    name = "component:RecordChecks" if type(case) is Case else _BY_KIND[case.kind]
    module, _, cls = name.partition(":")
    found: type[Any] = getattr(importlib.import_module(f"anyloom.testing.{module}"), cls)
    return found


def checks_of(case: Case) -> list[Check]:
    """Return the checks that apply to a case, the general ones first.

    >>> from anyloom.testing import ProjectorCase
    >>> "batch_equals_singles" in [check.name for check in checks_of(ProjectorCase("mlp"))]
    True
    """
    cls = _class_for(case)
    found: dict[str, Check] = {}
    for base in reversed(cls.__mro__):
        found |= {n: getattr(cls, n).check for n, f in vars(base).items() if hasattr(f, "check")}
    return list(found.values())


def check_component(case: Case, expected_failed_checks: Mapping[str, str] | None = None) -> list[Result]:
    """Run all checks on a component, without pytest.

    Args:
        case: The component, its tiny options and inputs; a bare :class:`Case` has its record checked only.
        expected_failed_checks: Further expected failures, by name of the check, with the reason. One that passes is
            reported as failed.

    Returns:
        A result for each check, in order.

    >>> from anyloom.testing import ProjectorCase
    >>> {r.check.name: r.verdict for r in check_component(ProjectorCase("mlp"))}["batch_equals_singles"]
    'passed'
    """
    expected = {**case.expected_failures, **(expected_failed_checks or {})}
    case = dataclasses.replace(case, expected_failures=expected)
    checks = _class_for(case)()
    return [run_check(check, checks, case) for check in checks_of(case)]


def tiny_case(spec: ComponentSpec, folder: Path) -> Case:
    """Return the tiny form that a component's record names, or a bare case if it names none.

    Args:
        spec: The record.
        folder: An empty folder that the tiny form may write files to.

    Raises:
        anyloom.errors.PluginError: The function cannot be imported, or returns something else.
    """
    if not spec.tiny:
        return Case(spec.name, kind=spec.kind)
    label = f"the tiny form of {spec.kind} {spec.name!r} of {spec.package} {spec.version}"
    case = import_function(spec.tiny, label=label)(folder)
    if not isinstance(case, Case) or (case.kind, case.name) != (spec.kind, spec.name):
        raise PluginError(
            f"{spec.tiny} ({label}) returns {case!r}", fix=f"return the case of the {spec.kind} {spec.name!r}"
        )
    return case
