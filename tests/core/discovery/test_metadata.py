"""Installations that are damaged on disk are listed like any other broken plugin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.core.discovery.conftest import PLUGINS, Ask, Install, component

INFO = "anyloom_odd-1.0.dist-info"


def installed(site: Path, install: Install) -> Path:
    install("anyloom_odd", component("odd"))
    install("anyloom_whole", component("whole"))
    return site / INFO


@pytest.mark.parametrize(
    "metadata",
    [None, b"", b"Metadata-Version: 2.1\n", b"Name: anyloom-odd\n", b"\xff\xfe\x00junk", b"Version: 1.0\n\nName: x\n"],
)
def test_metadata_may_be_missing_or_damaged(site: Path, install: Install, ask: Ask, metadata: bytes | None) -> None:
    info = installed(site, install)
    (info / "METADATA").unlink()
    if metadata is not None:
        (info / "METADATA").write_bytes(metadata)
    states = ask(PLUGINS)
    assert states["anyloom_odd"] == ["ok", "", "anyloom-odd", "1.0"]
    assert states["anyloom_whole"][0] == "ok"


def test_a_folder_without_a_version_is_listed(site: Path, install: Install, ask: Ask) -> None:
    info = installed(site, install)
    (info / "METADATA").unlink()
    info.rename(site / "odd.dist-info")
    assert ask(PLUGINS)["anyloom_odd"] == ["ok", "", "odd", "?"]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"[anyloom]\nanyloom_odd = anyloom_odd.plugin\n[other]\n\xff = x\n", "entry_points.txt is not UTF-8"),
        (b"[anyloom]\nanyloom_odd\n", "its entry point '' is not 'package.module'"),
        (b"[anyloom]\nanyloom_odd = anyloom odd\n", "'anyloom odd' is not 'package.module'"),
        (b"[anyloom]\nanyloom_odd = ../odd.py\n", "'../odd.py' is not 'package.module'"),
        (b"[anyloom]\nanyloom_odd = anyloom_odd.plugin:nothing\n", "no attribute 'nothing'"),
        (b"[anyloom]\nanyloom_odd = anyloom_odd.nowhere\n", "No module named 'anyloom_odd.nowhere'"),
    ],
)
def test_entry_points_that_cannot_be_loaded(site: Path, install: Install, ask: Ask, text: bytes, cause: str) -> None:
    (installed(site, install) / "entry_points.txt").write_bytes(text)
    states = ask(PLUGINS)
    assert states["anyloom_odd"][0] == "failed"
    assert cause in states["anyloom_odd"][1]
    assert states["anyloom_whole"][0] == "ok"


def test_entry_points_in_a_folder_of_that_name_and_sections_of_others(site: Path, install: Install, ask: Ask) -> None:
    info = installed(site, install)
    (info / "entry_points.txt").write_text(
        "[ anyloom ]\n# a note\nanyloom_odd = anyloom_odd.plugin [extra]\n[x]\na=b\n"
    )
    (site / "other-1.0.dist-info").mkdir()
    (site / "other-1.0.dist-info" / "entry_points.txt").mkdir()
    assert ask(PLUGINS)["anyloom_odd"][0] == "ok"


def test_two_versions_of_one_package_are_shown_as_such(site: Path, tmp_path: Path, install: Install, ask: Ask) -> None:
    installed(site, install)
    older = tmp_path / "older"
    info = older / "anyloom_odd-0.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: anyloom-odd\nVersion: 0.5\n")
    (info / "entry_points.txt").write_text("[anyloom]\nanyloom_odd = anyloom_odd.plugin\n")
    rows = ask(
        "odd = [p for p in get_registry().plugins if p.name == 'anyloom_odd']\n"
        "print(json.dumps([[p.version, p.status, p.cause] for p in odd]))",
        PYTHONPATH=f"{site}{os.pathsep}{older}",
    )
    assert [row[:2] for row in rows] == [["1.0", "ok"], ["0.5", "duplicate"]]
    assert "version 1.0, comes first on the path" in rows[1][2]


def test_two_packages_with_one_module_are_shown_as_such(site: Path, install: Install) -> None:
    installed(site, install)
    info = site / "copied-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: copied\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[anyloom]\nanyloom_zcopy = anyloom_odd.plugin\n")
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "anyloom.cli.main", "plugins"]
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True, timeout=99)
    row = next(p for p in json.loads(done.stdout)["plugins"] if p["name"] == "anyloom_zcopy")
    assert row["status"] == "duplicate"
    assert "also the entry point of anyloom_odd (anyloom-odd 1.0)" in row["cause"]


def test_a_name_of_two_plugins_stands_under_the_table(site: Path, install: Install) -> None:
    install("anyloom_a", component("a", name="same"))
    install("anyloom_b", component("b", name="same"), version="2.0")
    command = [sys.executable, "-m", "anyloom.cli.main", "plugins"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=99)
    text = " ".join(done.stdout.split())
    assert "duplicate: encoder 'same' of anyloom_a (anyloom-a 1.0) and anyloom_b (anyloom-b 2.0)" in text


def test_many_plugins_cost_two_small_files_and_two_modules_each(site: Path, install: Install, ask: Ask) -> None:
    """And no look at all other plugins for each: what a start costs grows with their number, not with its square."""
    for n in range(30):
        install(f"anyloom_odd{n}", component(f"odd{n}"))
    opened, looked = ask(f"""
import sys
from anyloom.discovery import loading
opened, looked = [], []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
wraps = loading._wraps
loading._wraps = lambda implementation: looked.append(1) or wraps(implementation)
get_registry()
print(json.dumps([[name for name in opened if name.startswith({str(site)!r})], len(looked)]))
""")
    info = [name for name in opened if name.endswith(("METADATA", "entry_points.txt"))]
    assert len(info) == len(set(info)) == 2 * 30
    assert sum(name.endswith((".py", ".pyc")) for name in opened) <= 4 * 30  # a source, and what it is compiled to
    assert looked < 30 * 30 / 2
