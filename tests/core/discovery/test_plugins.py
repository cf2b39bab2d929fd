"""Installed plugins, good and bad, as a fresh interpreter finds them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.core.discovery.conftest import PLUGINS, Ask, Install, component, find


def test_installed_plugin_is_found_with_its_package_and_version(install: Install, ask: Ask) -> None:
    install("anyloom_tiny", component("tiny"), version="2.3.4")
    assert ask(PLUGINS)["anyloom_tiny"] == ["ok", "", "anyloom-tiny", "2.3.4"]
    assert ask(find("tiny")) == ["anyloom-tiny", "2.3.4"]


def test_package_installed_by_pip(site: Path, tmp_path: Path, ask: Ask) -> None:
    project = tmp_path / "project"
    (project / "anyloom_tiny").mkdir(parents=True)
    (project / "anyloom_tiny" / "__init__.py").touch()
    (project / "anyloom_tiny" / "plugin.py").write_text(
        "from anyloom.discovery import ComponentSpec, hookimpl\n" + component("tiny")
    )
    (project / "pyproject.toml").write_text(
        textwrap.dedent("""
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"
            [project]
            name = "anyloom-tiny"
            version = "0.7"
            [project.entry-points.anyloom]
            anyloom_tiny = "anyloom_tiny.plugin"
        """)
    )
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(project)], check=True, timeout=120)
    assert ask(find("tiny")) == ["anyloom-tiny", "0.7"]


BROKEN = {
    "raises": ("raise RuntimeError('no driver')", "failed", "RuntimeError: no driver"),
    "exits": ("raise SystemExit(3)", "failed", "SystemExit: 3"),
    "syntax": ("def (:", "failed", "SyntaxError"),
    "import": ("import a_module_that_is_nowhere", "failed", "No module named 'a_module_that_is_nowhere'"),
    "no hook": ("x = 1", "failed", "implements no hook"),
    "misspelt hook": ("@hookimpl\ndef anyloom_component(): return []", "failed", "anyloom_component"),
    "wrong arguments": ("@hookimpl\ndef anyloom_components(model): return []", "failed", "model"),
    "raises in hook": ("@hookimpl\ndef anyloom_components(): return 1 / 0", "failed", "ZeroDivisionError"),
    "returns nothing": ("@hookimpl\ndef anyloom_components(): pass", "failed", "must return a list of ComponentSpec"),
    "returns names": ("@hookimpl\ndef anyloom_components(): return ['tiny']", "failed", "got 'tiny'"),
    "returns one record": (
        "@hookimpl\ndef anyloom_recipes(): return RecipeSpec(name='a', package='b', path='c')",
        "failed",
        "must return a list of RecipeSpec",
    ),
    "another record": (
        "@hookimpl\ndef anyloom_components(): return [CommandSpec(name='x', target='a:b')]",
        "failed",
        "must return ComponentSpec records",
    ),
    "same name twice": (component("tiny").replace("]", "] * 2"), "failed", "the name 'tiny' twice"),
    "string for tuple": (component("tiny", requires="torch"), "failed", "must be a tuple of names, got 'torch'"),
    "submodule required": (component("tiny", requires=("os.path",)), "failed", "top-level module 'os'"),
    "unknown kind": (component("tiny", kind="encodr"), "failed", "did you mean 'encoder'?"),
    "bad name": (component("tiny", name="Tiny One"), "failed", "is not lower-case"),
    "bad target": (component("tiny", target="anyloom_tiny.parts"), "failed", "is not 'package.module:Name'"),
    "newer api": (component("tiny", api=3), "incompatible", "written for plugin api 3; this anyloom has api 2"),
    "newer api and kind": (component("tiny", api=3, kind="robot"), "incompatible", "plugin api 3"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_plugin_is_listed_and_harms_nobody(install: Install, ask: Ask, case: str) -> None:
    source, status, cause = BROKEN[case]
    install("anyloom_broken", source, version="3.1")
    install("anyloom_whole", component("whole"))
    plugins, found = ask("print('[')" + PLUGINS + "print(',')" + find("whole") + "print(']')")
    assert plugins["anyloom_broken"][0] == status
    assert cause in plugins["anyloom_broken"][1]
    assert plugins["anyloom_broken"][2:] == ["anyloom-broken", "3.1"]
    assert plugins["anyloom_whole"][0] == plugins["anyloom"][0] == "ok"
    assert found == ["anyloom-whole", "1.0"]


def test_asking_for_what_a_broken_plugin_may_provide_tells_its_cause_in_full(install: Install, ask: Ask) -> None:
    install("anyloom_tiny", "raise RuntimeError('no driver')", version="3.1")
    kind, text, notes = ask(find("tiny"))
    assert kind == "UnknownNameError"
    assert "anyloom_tiny (anyloom-tiny 3.1) failed: RuntimeError: no driver" in text
    assert "Traceback" not in text
    assert any("Traceback" in note and "no driver" in note for note in notes)


def test_two_packages_that_claim_one_name_are_both_named(install: Install, ask: Ask) -> None:
    install("anyloom_tiny", component("tiny"), version="1.1")
    install("anyloom_other", component("tiny"), version="2.2")
    kind, text, _ = ask(find("tiny"))
    assert kind == "PluginError"
    assert text.startswith("model.part: 2 plugins provide the encoder 'tiny'")
    assert "anyloom-tiny 1.1" in text
    assert "anyloom-other 2.2" in text
    assert "ANYLOOM_PLUGINS" in text
    assert ask(find("tiny"), ANYLOOM_PLUGINS="anyloom_other") == ["anyloom-other", "2.2"]


def test_one_name_in_two_kinds_is_no_clash(install: Install, ask: Ask) -> None:
    install("anyloom_tiny", component("tiny"))
    install("anyloom_other", component("tiny", kind="decoder"))
    assert ask(find("tiny")) == ["anyloom-tiny", "1.0"]
    assert ask(find("tiny", "decoder")) == ["anyloom-other", "1.0"]


def test_plugin_whose_command_is_taken_gives_nothing_at_all(install: Install, ask: Ask) -> None:
    command = "@hookimpl\ndef anyloom_commands(): return [CommandSpec(name='plugins', target='a:b')]\n"
    recipe = "@hookimpl\ndef anyloom_recipes(): return [RecipeSpec(name='r', package='anyloom_tiny', path='r.yaml')]\n"
    check = "@hookimpl\ndef anyloom_checks(model, config): return ['never asked']\n"
    install("anyloom_tiny", component("tiny") + recipe + command + check, version="1.1")
    code = """
registry = get_registry()
print(json.dumps({
    "cause": next(p.cause for p in registry.plugins if p.name == "anyloom_tiny"),
    "found": [s.name for s in registry.components() if s.package == "anyloom-tiny"],
    "recipes": [r for r in registry.recipes if r == "r"],
    "checks": registry.hook.anyloom_checks(model=None, config={}),
    "plugins": registry.commands["plugins"].target,
}))
"""
    answer = ask(code)
    assert answer["found"] == answer["recipes"] == []
    assert ["never asked"] not in answer["checks"]
    assert answer["plugins"] == "anyloom.cli.plugins:main"
    assert "'plugins' of anyloom_tiny (anyloom-tiny 1.1) is also provided by anyloom (anyloom " in answer["cause"]


def test_two_plugins_with_one_recipe_name(install: Install, ask: Ask) -> None:
    recipe = "@hookimpl\ndef anyloom_recipes(): return [RecipeSpec(name='r', package='anyloom_a', path='r.yaml')]\n"
    install("anyloom_a", recipe, version="1.1")
    install("anyloom_b", recipe + component("b"), version="2.2")
    status, cause, *_ = ask(PLUGINS)["anyloom_b"]
    assert status == "failed"
    assert "recipe 'r' of anyloom_b (anyloom-b 2.2) is also provided by anyloom_a (anyloom-a 1.1)" in cause


def test_component_whose_module_is_missing(install: Install, ask: Ask) -> None:
    install("anyloom_tiny", component("tiny", requires=("json", "a_module_that_is_nowhere")), version="1.1")
    kind, text, _ = ask(find("tiny"))
    assert kind == "PluginError"
    assert "'tiny' of anyloom-tiny 1.1 needs a_module_that_is_nowhere" in text
    assert "pip install a_module_that_is_nowhere" in text
    status = "r = get_registry(); print(json.dumps([r.status(s) for s in r.components('encoder') if s.name == 'tiny']))"
    assert ask(status) == ["needs a_module_that_is_nowhere"]


def test_missing_module_that_an_extra_brings(install: Install, site: Path, ask: Ask) -> None:
    install("anyloom_tiny", component("tiny", requires=("nowhere_lib",)))
    metadata = site / "anyloom_tiny-1.0.dist-info" / "METADATA"
    extra = "Provides-Extra: fast\nRequires-Dist: nowhere-lib>=2; extra == 'fast'\n"
    metadata.write_text(metadata.read_text() + extra)
    assert "pip install 'anyloom-tiny[fast]'" in ask(find("tiny"))[1]


def test_unknown_name_is_answered_with_the_nearest_and_never_with_a_guessed_package(install: Install, ask: Ask) -> None:
    install("anyloom_tiny", component("tiny", name="tiny-encoder"))
    kind, text, _ = ask(find("tiny-encodr"))
    assert kind == "UnknownNameError"
    assert text.startswith("model.part: no encoder is called 'tiny-encodr'")
    assert "did you mean 'tiny-encoder'?" in text
    assert "pip install" not in text, "whoever registers the misspelt name would be installed"


@pytest.mark.parametrize("way", ["variable", "argument"])
def test_allow_list(install: Install, ask: Ask, way: str) -> None:
    install("anyloom_a", component("a"))
    install("anyloom_b", component("b"))
    argument = "" if way == "variable" else "['anyloom_b']"
    environment = {"ANYLOOM_PLUGINS": " anyloom_b ,"} if way == "variable" else {}
    status = ask(PLUGINS.replace("get_registry()", f"get_registry({argument})"), **environment)
    assert status["anyloom"][0] == status["anyloom_b"][0] == "ok"
    assert status["anyloom_a"][0] == "disabled"
    assert "ANYLOOM_PLUGINS" in status["anyloom_a"][1]


def test_empty_allow_list_leaves_the_core(install: Install, ask: Ask) -> None:
    install("anyloom_a", "raise RuntimeError('must not be imported')")
    status = ask(PLUGINS, ANYLOOM_PLUGINS="")
    assert [name for name, (state, *_) in status.items() if state == "ok"] == ["anyloom"]
    assert status["anyloom_a"][0] == "disabled"


def test_allow_list_with_a_misspelt_name(install: Install, ask: Ask) -> None:
    install("anyloom_tiny", component("tiny"))
    kind, text, _ = ask(find("tiny"), ANYLOOM_PLUGINS="anyloom_tinny")
    assert kind == "UnknownNameError"
    assert "did you mean 'anyloom_tiny'?" in text


def test_disabled_plugin_is_mentioned_when_a_name_is_unknown(install: Install, ask: Ask) -> None:
    install("anyloom_tiny", component("tiny"))
    _, text, _ = ask(find("tiny"), ANYLOOM_PLUGINS="anyloom")
    assert "anyloom_tiny (anyloom-tiny 1.0) disabled" in text


SPAWN = """
import multiprocessing

def state(_):
    return [(p.name, p.status, p.cause) for p in get_registry().plugins]

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        theirs = pool.map(state, [0])[0]
    print(json.dumps([theirs == state(0), theirs]))
"""


@pytest.mark.parametrize("allow", [None, "anyloom_tiny"])
def test_spawned_worker_finds_the_same_plugins(install: Install, ask: Ask, allow: str | None) -> None:
    install("anyloom_tiny", component("tiny"))
    install("anyloom_broken", "raise RuntimeError('no driver')")
    environment: dict[str, Any] = {"ANYLOOM_PLUGINS": allow} if allow else {}
    same, theirs = ask(SPAWN, **environment)
    assert same
    states = {name: status for name, status, _ in theirs}
    assert states["anyloom_tiny"] == "ok"
    assert states["anyloom_broken"] == ("disabled" if allow else "failed")


def test_discovery_imports_nothing_heavy(install: Install, ask: Ask) -> None:
    install("anyloom_tiny", component("tiny"))
    code = """
import sys
get_registry().find("encoder", "tiny")
heavy = ["torch", "transformers", "diffusers", "lightning", "numpy", "anyloom_tiny.parts"]
print(json.dumps([m for m in heavy if m in sys.modules]))
"""
    assert ask(code) == []
