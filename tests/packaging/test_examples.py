"""Most public classes and functions of the core show in their docstrings how they are used; pytest runs all of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.packaging.conftest import PROJECT, ROOT

from anyloom.building import component_class
from anyloom.discovery import get_registry

CORE = ROOT / "core" / "anyloom"
Public = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(path: Path) -> Iterator[Public]:
    """Public classes and functions of a module."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, Public) and not node.name.startswith("_"):
            yield node


def has_example(node: Public) -> bool:
    """Whether its docstring has one, or that of a method of it.

    >>> has_example(ast.parse("def f(): 'A word. >>> f()'").body[0])
    True
    """
    methods = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef)] if isinstance(node, ast.ClassDef) else []
    return any(">>>" in (ast.get_docstring(n) or "") for n in (node, *methods))


def test_most_public_objects_have_an_example() -> None:
    """torchmetrics, the best of the neighbours in this, has one in 58 % of its."""
    found = [node for path in CORE.rglob("*.py") if "templates" not in path.parts for node in public(path)]
    assert len(found) > 500
    assert sum(map(has_example, found)) >= 0.58 * len(found)


def test_functions_of_plugins_have_no_fewer_examples_than_they_had() -> None:
    """Most of what plugins hold is components, which the conformance kit runs; the share only grows."""
    paths = [p for p in (ROOT / "plugins").rglob("*.py") if "templates" not in p.parts]
    found = [node for path in paths for node in public(path)]
    assert len(found) > 800
    assert sum(map(has_example, found)) >= 0.29 * len(found)


def test_what_plugins_offer_shows_how_it_is_used() -> None:
    specs = [spec for spec in get_registry().components() if spec.package == "anyloom"]
    offered = {component_class(s.kind, s.name) for s in specs if not s.target.startswith("anyloom.")}
    assert len(offered) > 80
    assert sorted(c.__qualname__ for c in offered if ">>>" not in (c.__doc__ or "")) == []


def test_examples_are_run() -> None:
    options = PROJECT["tool"]["pytest"]["ini_options"]
    assert "--doctest-modules" in options["addopts"]
    assert {"core", "plugins"} <= set(options["testpaths"])
