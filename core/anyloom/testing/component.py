"""What every component must do, whatever its kind: its record, its class, its options."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import re
import unittest
from typing import Any, ClassVar

import yaml
from pydantic import ValidationError

from anyloom.discovery import ComponentSpec, get_registry
from anyloom.discovery.hooks import GROUP
from anyloom.interfaces import ComponentConfig, interface
from anyloom.testing.case import Case
from anyloom.testing.checking import check, require
from anyloom.testing.isolation import HEAVY, ask_process, no_network, undeclared_modules

__all__ = ["ComponentChecks", "RecordChecks"]

_SHAPE = re.compile(r"\(\s*[\w.*/+ -]+(?:,\s*[\w.*/+ -]*)+\)")


class RecordChecks:
    """Checks that need no tiny form: of the record and of the class behind it."""

    shapes_in: ClassVar[tuple[str, ...]] = ()
    """Methods whose docstrings must state shapes."""

    @check("give the ComponentSpec a licence (an SPDX identifier) and a summary of one line")
    def test_record_is_complete(self, case: Case) -> None:
        """The record has a licence and a summary, which listings and `anyloom check` show."""
        spec = case.spec
        require(bool(spec.licence.strip()), "the record has no licence")
        require(bool(spec.summary.strip()), "the record has no summary")
        require("\n" not in spec.summary, "the summary has more than one line")

    @check("import only anyloom.discovery in plugin.py, and name the class as a string in 'target'")
    def test_plugin_module_is_light(self, case: Case) -> None:
        """The plugin module imports nothing heavy: every `anyloom` command loads it."""
        heavy = sorted({*HEAVY, *case.spec.requires})
        found = _loaded(case, f"[m for m in {heavy!r} if m in sys.modules]").value
        require(not found, f"importing the plugin module and calling its hooks imports {', '.join(found)}")

    @check("remove print() from plugin.py; a plugin that must say something raises an error or warns")
    def test_plugin_module_prints_nothing(self, case: Case) -> None:
        """The plugin module prints nothing: `anyloom plugins --json` is read by programs."""
        printed = _loaded(case, "None").printed
        require(not printed, f"loading the plugin prints {printed[:80]!r}")

    @check("name the module in the record's 'requires', or add its package to your dependencies")
    def test_imports_what_it_declares(self, case: Case) -> None:
        """The class imports where only the declared requirements are installed."""
        spec = case.spec
        alike = sorted((s.kind, s.name) for s in get_registry().components() if _needs(s) == _needs(spec))
        error = _imported(tuple(alike), tuple(undeclared_modules(spec)))[f"{spec.kind} {spec.name}"]
        require(not error, f"a fresh interpreter that imports it ends with {error}")

    @check("return the record whatever is installed, import nothing optional in plugin.py, and use 'requires'")
    def test_missing_requirement_is_named(self, case: Case) -> None:
        """Where a required module is missing, the error names it and how to install it."""
        spec = case.spec
        if not spec.requires:
            raise unittest.SkipTest("it requires nothing beyond its package's dependencies")
        for module in spec.requires:
            code = f"""
from anyloom.discovery import get_registry
from anyloom.errors import AnyloomError
try:
    get_registry().find({spec.kind!r}, {spec.name!r})
    answer = "no error"
except AnyloomError as error:
    answer = str(error)
"""
            answer = ask_process(code, hidden=[module]).value
            named = f"needs {module}" in answer and "pip install" in answer
            require(named, f"without {module} the answer is {answer!r}")

    @check("write one docstring for the class, and state shapes such as (B, L, D) in those of its methods")
    def test_docstrings_state_shapes(self, case: Case) -> None:
        """The class has a docstring, and the methods that take or give tensors state their shapes."""
        cls = case.cls
        require(bool(vars(cls).get("__doc__")), f"{cls.__name__} has no docstring")
        for name in self.shapes_in:
            text = getattr(cls, name).__doc__ or ""
            require(bool(_SHAPE.search(text)), f"the docstring of {cls.__name__}.{name} states no shape")

    @check("describe the option under 'Args:' in the docstring of Config, or in Field(description=...)")
    def test_options_are_explained(self, case: Case) -> None:
        """Every option of Config is explained in its docstring."""
        config = case.cls.Config
        known = getattr(interface(case.kind), "Config", ComponentConfig).model_fields
        text = "\n".join(c.__doc__ or "" for c in config.__mro__)
        fields = {n: f for n, f in config.model_fields.items() if n not in known}
        silent = [n for n, f in fields.items() if not f.description and not re.search(rf"^\s*{n}:", text, re.MULTILINE)]
        require(not silent, f"these options are explained nowhere: {', '.join(silent)}")


class ComponentChecks(RecordChecks):
    """Checks of a component in its tiny form, whatever its kind."""

    def use(self, case: Any) -> None:
        """Do once what the component is there for."""
        case.build()

    @check("give the case options under which the component builds without files that are not there")
    def test_builds(self, case: Case) -> None:
        """The component builds from its tiny options and keeps them as `config`."""
        part = case.build()
        require(isinstance(part, case.cls), f"building gives a {type(part).__name__}")
        require(isinstance(part.config, case.cls.Config), "the attribute 'config' is not the Config it was built from")

    @check("derive Config from anyloom.interfaces.ComponentConfig (or the interface's Config) and keep model_config")
    def test_config_is_frozen(self, case: Case) -> None:
        """A built config cannot be changed."""
        config = case.cls.Config.model_validate(dict(case.options))
        name = next(iter(type(config).model_fields), None)
        if name is None:
            raise unittest.SkipTest("it has no options")
        try:
            setattr(config, name, getattr(config, name))
        except ValidationError:
            return
        require(False, f"the option {name!r} of a built config can be changed")

    @check("derive Config from anyloom.interfaces.ComponentConfig and do not set extra='allow'")
    def test_config_refuses_unknown_options(self, case: Case) -> None:
        """An option that does not exist is an error."""
        try:
            case.cls.Config.model_validate({**case.options, "no_such_option": 1})
        except ValidationError:
            return
        require(False, "the unknown option 'no_such_option' is accepted in silence")

    @check("use types that pydantic writes as JSON and reads back (no tensors, no arbitrary classes)")
    def test_config_round_trips(self, case: Case) -> None:
        """A config written as YAML and read again is the same, and it has a JSON schema."""
        cls = case.cls.Config
        config = cls.model_validate(dict(case.options))
        text = yaml.safe_dump(json.loads(config.model_dump_json()))
        require(cls.model_validate(yaml.safe_load(text)) == config, "the config is another after YAML")
        missing = set(cls.model_fields) - set(cls.model_json_schema().get("properties", {}))
        require(not missing, f"the JSON schema lacks {', '.join(sorted(missing))}")

    @check("read local files only; fetch nothing unless an option such as 'download' says so")
    def test_needs_no_network(self, case: Case) -> None:
        """Building and using the tiny form asks nothing of the network, not even in vain."""
        with no_network() as attempts:
            self.use(case)
        require(not attempts, f"it tried to reach {', '.join(attempts)}")


def _needs(spec: ComponentSpec) -> tuple[object, ...]:
    """What must be there for a component; those of equal needs are imported in one interpreter."""
    return spec.plugin, spec.package, spec.target.partition(":")[0].partition(".")[0], sorted(spec.requires)


@functools.cache  # an interpreter that imports torch takes seconds, and a plugin may have dozens of components
def _imported(components: tuple[tuple[str, str], ...], hidden: tuple[str, ...]) -> dict[str, str]:
    """What each component's import ends with in a fresh interpreter; empty where it goes well."""
    code = f"""
from anyloom.building import component_class
answer = {{}}
for kind, name in {components!r}:
    try:
        component_class(kind, name)
        answer[kind + " " + name] = ""
    except BaseException as error:
        answer[kind + " " + name] = type(error).__name__ + ": " + str(error)
"""
    answer: dict[str, str] = ask_process(code, hidden=hidden).value
    return answer


def _loaded(case: Case, answer: str) -> Any:
    """Load the plugin module as discovery does, in a fresh interpreter, and answer an expression."""
    spec = case.spec
    points = importlib.metadata.entry_points(group=GROUP, name=spec.plugin)
    (module,) = {p.value for p in points if p.dist is None or p.dist.name == spec.package}
    return _asked_of_plugin(module, answer)


@functools.cache  # the answer is the same for every component of the plugin
def _asked_of_plugin(module: str, answer: str) -> Any:
    code = f"""
import importlib, sys
import anyloom.discovery
plugin = importlib.import_module({module!r})
list(plugin.anyloom_components())
answer = {answer}
"""
    return ask_process(code)
