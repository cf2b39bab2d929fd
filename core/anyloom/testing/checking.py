"""One check: a method that a pytest class inherits, and that the kit can also run by itself."""

from __future__ import annotations

import functools
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from anyloom.errors import nearest
from anyloom.testing.case import Case

__all__ = ["Check", "ConformanceError", "Result", "check", "require", "run_check"]

Verdict = Literal["passed", "failed", "skipped", "expected"]


class ConformanceError(AssertionError):
    """A component does not do what its interface demands.

    >>> isinstance(ConformanceError("it has no summary"), AssertionError)
    True
    """


@dataclass(frozen=True)
class Check:
    """One demand.

    Args:
        name: Its name: that of the method without ``test_``.
        demand: What is demanded, one sentence.
        cure: What to do where it fails.
        function: Called with the instance of the class of checks and the case; raises if the component fails.
    """

    name: str
    demand: str
    cure: str
    function: Callable[[Any, Any], None]


@dataclass(frozen=True)
class Result:
    """What became of one check.

    Args:
        check: The check.
        verdict: ``passed``, ``failed``, ``skipped`` (it does not apply) or ``expected`` (it failed, as declared).
        message: What is wrong, or the reason.
        error: What was raised, where it failed.
    """

    check: Check
    verdict: Verdict
    message: str = ""
    error: Exception | None = None


def check(cure: str) -> Callable[[Callable[[Any, Any], None]], Callable[[Any, Any], None]]:
    """Make a method ``test_<name>(self, case)`` a check of the kit.

    Called by pytest it fails, skips or is an expected failure, as the case declares; :func:`run_check` runs it
    elsewhere. The first sentence of its docstring is the demand.

    Args:
        cure: What to do where it fails.

    >>> class Own:
    ...     @check("give it a name")
    ...     def test_has_a_name(self, case):
    ...         '''The component has a name. Listings show it.'''
    ...         require(bool(case.name), "it has none")
    >>> Own.test_has_a_name.check.demand
    'The component has a name. Listings show it.'
    """

    def decorate(function: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        name = function.__name__.removeprefix("test_")
        definition = Check(name, (function.__doc__ or "").split("\n\n")[0].strip(), cure, function)

        @functools.wraps(function)
        def test(self: Any, case: Case) -> None:
            result = run_check(definition, self, case)
            if result.verdict == "skipped":
                raise unittest.SkipTest(result.message)
            if result.verdict == "expected":
                import pytest

                pytest.xfail(result.message)
            if result.error is not None:
                result.error.add_note(f"To fix: {cure}")
                raise result.error

        test.check = definition  # type: ignore[attr-defined]
        return test

    return decorate


def run_check(check: Check, checks: Any, case: Case) -> Result:
    """Run one check on a case.

    Args:
        check: The check.
        checks: The instance of the class it stands in.
        case: The component under test.
    """
    known = [getattr(type(checks), n).check.name for n in dir(type(checks)) if hasattr(getattr(checks, n), "check")]
    unknown = [name for name in case.expected_failures if name not in known]
    if unknown:
        typo = ConformanceError(f"expected_failures names no check: {unknown[0]!r} {nearest(unknown[0], known)}")
        return Result(check, "failed", str(typo), typo)
    reason = case.expected_failures.get(check.name)
    try:
        check.function(checks, case)
    except unittest.SkipTest as skip:
        return Result(check, "skipped", str(skip))
    except Exception as error:
        if reason is not None:
            return Result(check, "expected", reason)
        message = str(error) if isinstance(error, ConformanceError) else f"{type(error).__name__}: {error}"
        return Result(check, "failed", message, error)
    if reason is not None:
        passes = ConformanceError(f"it passes, although expected_failures says {reason!r}: take it out there")
        return Result(check, "failed", str(passes), passes)
    return Result(check, "passed")


def require(condition: bool, what: str) -> None:
    """Raise :class:`ConformanceError` unless a condition holds.

    Args:
        condition: What must hold.
        what: What is wrong where it does not.

    >>> require(True, "never said")
    >>> try:
    ...     require(False, "it has no summary")
    ... except ConformanceError as error:
    ...     print(error)
    it has no summary
    """
    if not condition:
        raise ConformanceError(what)
