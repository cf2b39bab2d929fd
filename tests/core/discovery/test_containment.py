"""What a plugin does to its surroundings while it is loaded is noticed, put back and named with package and version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.core.discovery.conftest import PLUGINS, Ask, Install, component


def listing(site: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ANYLOOM_")}
    environment |= {"PYTHONPATH": str(site), **variables}
    command = [sys.executable, "-m", "anyloom.cli.main", "plugins", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


ENDS = {
    "keyboard": "raise KeyboardInterrupt",
    "generator": "raise GeneratorExit",
    "base": "class Odd(BaseException): pass\nraise Odd('odd')",
    "exit": "import sys\nsys.exit('bye')",
    "os_exit": "import os\nos._exit(5)",
    "no_text": "class Odd(Exception):\n    def __str__(self): return ''\nraise Odd",
    "hook": "@hookimpl\ndef anyloom_components(): raise KeyboardInterrupt",
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_a_plugin_raises_is_its_own_failure(install: Install, ask: Ask, end: str) -> None:
    install("anyloom_odd", ENDS[end], version="3.1")
    install("anyloom_whole", component("whole"))
    states = ask(PLUGINS)
    assert states["anyloom_odd"][0] == "failed"
    assert states["anyloom_odd"][2:] == ["anyloom-odd", "3.1"]
    assert "To fix: upgrade or uninstall anyloom-odd" in states["anyloom_odd"][1]
    assert states["anyloom_whole"][0] == "ok"


DOES = {
    "print": ("print('hello there')", "prints while it is loaded, which it should not: hello there"),
    "stdout": ("import sys\nsys.__stdout__.write('hello there')\nsys.__stdout__.flush()", "hello there"),
    "descriptor": ("import os\nos.write(1, b'hello there')", "hello there"),
    "child": ("import os\nos.system('echo hello there')", "hello there"),
    "chdir": ("import os\nos.chdir('/')", "changes the working folder (put back)"),
    "builtin": ("import builtins\nbuiltins.open = None", "replaces builtins.open (put back)"),
    "function": ("import json\njson.dumps = lambda *a, **k: 'x'", "replaces json.dumps (put back)"),
    "method": ("import pathlib\npathlib.Path.exists = lambda self: True", "replaces pathlib.Path.exists (put back)"),
    "framework": ("from anyloom.discovery import records\nrecords.API = 7", "replaces anyloom.discovery.records.API"),
    "signal": ("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)", "takes the signal SIGTERM (put back)"),
    "path": ("import sys\nsys.path.insert(0, '/nowhere')", "changes sys.path (put back)"),
    "environment": ("import os\nos.environ['A_NEW_ONE'] = '1'", "changes environment variables: A_NEW_ONE"),
    "thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True, name='busy').start()",
        "starts threads: busy",
    ),
}


@pytest.mark.parametrize("what", DOES)
def test_what_a_plugin_does_around_itself_is_named(install: Install, site: Path, what: str) -> None:
    source, note = DOES[what]
    install("anyloom_odd", source + "\n" + component("odd"), version="3.1")
    install("anyloom_quiet", component("quiet"))
    done = listing(site, "--json")
    assert done.returncode == 0, done.stderr
    plugins = {p["name"]: p for p in json.loads(done.stdout)["plugins"]}
    assert plugins["anyloom_odd"]["status"] == "ok"
    assert any(note in line for line in plugins["anyloom_odd"]["notes"])
    assert [name for name, p in plugins.items() if "notes" in p] == ["anyloom_odd"]
    assert "the plugin anyloom_odd (anyloom-odd 3.1)" in done.stderr
    assert note.split("(")[0] in " ".join(listing(site).stdout.split())


def test_everything_is_as_it_was(install: Install, ask: Ask) -> None:
    for name, (source, _) in DOES.items():
        install(f"anyloom_{name}", source + "\n" + component(name))
    install("anyloom_exits", ENDS["os_exit"])
    code = """
import builtins, json, os, pathlib, signal, sys
def state():
    methods = [builtins.open, json.dumps, pathlib.Path.exists, os._exit, sys.stdout, signal.getsignal(signal.SIGTERM)]
    return [id(m) for m in methods], os.getcwd(), list(sys.path), os.fstat(1).st_ino, signal.getsignal(signal.SIGINT)
before = state()
get_registry()
print(json.dumps(state() == before))
"""
    assert ask(code) is True


def test_an_interrupt_of_the_user_is_no_failure_of_a_plugin(install: Install, ask: Ask) -> None:
    install("anyloom_slow", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n" + component("slow"))
    code = "try:\n    get_registry()\nexcept KeyboardInterrupt:\n    print(json.dumps('interrupted'))"
    assert ask(code) == "interrupted"


ORDER = """
@hookimpl({order})
def anyloom_recipes():
    return [RecipeSpec(name=n, package='anyloom_{name}', path='r.yaml') for n in ('shared', '{name}')]
@hookimpl({order})
def anyloom_checks(model, config):
    return ['{name}']
"""


def test_tryfirst_and_trylast_decide_who_comes_first(install: Install, ask: Ask) -> None:
    for name, order in (("a", "trylast=True"), ("b", ""), ("c", "tryfirst=True")):
        install(f"anyloom_{name}", ORDER.format(name=name, order=order))
    code = """
registry = get_registry()
mine = [n for n in registry.recipes if n in ("a", "b", "c", "shared")]
states = {p.name[-1]: p.status for p in registry.plugins if p.name in ("anyloom_a", "anyloom_b", "anyloom_c")}
print(json.dumps([mine, registry.recipes["shared"].package, states]))
"""
    assert ask(code) == [["shared", "c"], "anyloom_c", {"a": "failed", "b": "failed", "c": "ok"}]
    checks = """
from anyloom.checking.plugin_checks import plugin_problems
print(json.dumps([p.what for p in plugin_problems(None, {}) if p.what in ("a", "b", "c")]))
"""
    assert ask(checks) == ["c"]


WRAPPER = """
from dataclasses import replace
@hookimpl(wrapper=True)
def anyloom_components():
    answers = yield
    {body}
"""


def test_a_wrapper_sees_the_answers_of_every_plugin(install: Install, ask: Ask) -> None:
    install("anyloom_tiny", component("tiny"))
    body = "return [[replace(s, summary='seen') if s.name == 'tiny' else s for s in a] for a in answers]"
    install("anyloom_wrapper", WRAPPER.format(body=body))
    code = "print(json.dumps(get_registry().find('encoder', 'tiny').summary))"
    assert ask(code) == "seen"


def test_a_wrapper_that_breaks_harms_nobody(install: Install, ask: Ask) -> None:
    install("anyloom_tiny", component("tiny"))
    install("anyloom_wrapper", WRAPPER.format(body="raise RuntimeError('no')"), version="3.1")
    states = ask(PLUGINS)
    assert states["anyloom_wrapper"][:2][0] == "failed"
    assert "RuntimeError: no" in states["anyloom_wrapper"][1]
    assert [n for n, (status, *_) in states.items() if status == "failed"] == ["anyloom_wrapper"]
