"""All kinds of bad plugins, installed side by side: the rest works, and each is named with version and cure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.core.discovery.conftest import Install, component

NEIGHBOURS = {
    "raises": "raise RuntimeError('no driver')",
    "hangs": "import time\ntime.sleep(3600)",
    "hangs_and_swallows": "import time\ntry:\n    time.sleep(3600)\nexcept Exception:\n    time.sleep(3600)",
    "prints": "print('welcome to my plugin')\n" + component("prints"),
    "slow": "import time\ntime.sleep(2.5)\n" + component("slow"),
    "signature": "@hookimpl\ndef anyloom_components(model): return []",
    "taken": "@hookimpl\ndef anyloom_commands(): return [CommandSpec(name='plugins', target='a:b')]",
    "twin": component("prints"),
    "absent": "import a_module_that_is_nowhere\n" + component("absent"),
    "requires": component("requires", requires=("a_module_that_is_nowhere",)),
    "future": component("future", api=99),
}
HANGING = ("anyloom_hangs", "anyloom_hangs_and_swallows")
LIMIT = "6.5"


def run(site: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ANYLOOM_")}
    environment |= {"PYTHONPATH": str(site), "ANYLOOM_PLUGIN_SECONDS": LIMIT, **variables}
    command = [sys.executable, "-m", "anyloom.cli.main", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def neighbourhood(install: Install, site: Path) -> Path:
    for name, source in NEIGHBOURS.items():
        install(f"anyloom_{name}", source, version="4.2")
    return site


@pytest.fixture
def without_hanging(neighbourhood: Path) -> dict[str, str]:
    """The allow-list that a user would set."""
    names = [f"anyloom_{n}" for n in NEIGHBOURS if f"anyloom_{n}" not in HANGING]
    return {"ANYLOOM_PLUGINS": ",".join(names)}


def test_everything_else_works_and_every_neighbour_is_named(neighbourhood: Path) -> None:
    done = run(neighbourhood, "plugins", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)  # nothing that a plugin prints is in between
    plugins = {p["name"]: p for p in listed["plugins"]}
    states = {name: plugins[f"anyloom_{name}"]["status"] for name in NEIGHBOURS}
    ok = ("prints", "slow", "twin", "requires")
    assert states == {n: "ok" if n in ok else "incompatible" if n == "future" else "failed" for n in NEIGHBOURS}
    assert plugins["anyloom"]["status"] == "ok"
    assert {"mlp", "slow", "requires"} <= {c["name"] for c in listed["components"]}

    for name in NEIGHBOURS:
        row = plugins[f"anyloom_{name}"]
        assert row["version"] == "4.2"
        if row["status"] != "ok":
            assert "To fix: " in row["cause"]
            assert row["package"] in row["cause"]
    assert "loading was interrupted after 6.5 s" in plugins["anyloom_hangs"]["cause"]
    assert "ANYLOOM_PLUGINS" in plugins["anyloom_hangs"]["cause"]
    assert "interrupted" in plugins["anyloom_hangs_and_swallows"]["cause"]

    notes = done.stderr
    assert "still loading the plugin anyloom_hangs (anyloom-hangs 4.2) after 5 s" in notes
    assert "the plugin anyloom_prints (anyloom-prints 4.2) prints while it is loaded" in notes
    assert "welcome to my plugin" in notes


def test_the_list_for_people_names_what_is_slow(neighbourhood: Path, without_hanging: dict[str, str]) -> None:
    done = run(neighbourhood, "plugins", **without_hanging)
    text = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stderr
    assert "disabled: anyloom_hangs (anyloom-hangs 4.2): not in the allow-list ANYLOOM_PLUGINS" in text
    assert "failed: anyloom_absent (anyloom-absent 4.2): ModuleNotFoundError: No module named 'a_module" in text
    assert "To fix: install what anyloom-absent needs" in text
    assert "slow: anyloom_slow (anyloom-slow 4.2) takes" in text
    assert "duplicate" in text
    assert "needs a_module_that_is_nowhere" in text


def test_what_a_class_prints_when_it_is_imported_stays_out_of_standard_output(install: Install, site: Path) -> None:
    noisy = "print('loading, please wait')\nfrom anyloom.representation.projector import MLPProjector as Part\n"
    install("anyloom_noisy", component("noisy", kind="projector"), parts=noisy)
    code = "import json, anyloom; print(json.dumps(anyloom.build('projector', 'noisy', in_dim=2, out_dim=3).out_dim))"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout == "3\n"
    assert "loading, please wait" in done.stderr


def test_a_time_limit_that_is_no_number_is_one_line(site: Path) -> None:
    done = run(site, "plugins", ANYLOOM_PLUGIN_SECONDS="soon")
    assert done.returncode == 2
    assert (
        done.stderr == "error: ANYLOOM_PLUGIN_SECONDS: 'soon' is no number of seconds. To fix: give 60, for example\n"
    )


def test_somebody_elses_alarm_is_left_alone(install: Install, site: Path) -> None:
    install("anyloom_quick", component("quick"))
    code = """
import signal
signal.setitimer(signal.ITIMER_REAL, 100)
from anyloom.discovery import get_registry
get_registry().find("encoder", "quick")
print(50 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100, signal.getsignal(signal.SIGALRM) == signal.SIG_DFL)
"""
    environment = {**os.environ, "PYTHONPATH": str(site), "ANYLOOM_PLUGINS": "anyloom_quick"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout == "True True\n"
