"""``anyloom plugins`` in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anyloom.discovery import KINDS, get_registry


def listing(*args: str, path: Path | None = None, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path or ""), "COLUMNS": "300", **variables}
    command = [sys.executable, "-m", "anyloom.cli.main", "plugins", *args]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder with one plugin that raises and one for another api."""
    sources = {
        "anyloom_raises": "raise RuntimeError('no driver')",
        "anyloom_future": (
            "from anyloom.discovery import ComponentSpec, hookimpl\n"
            "@hookimpl\ndef anyloom_components():\n"
            "    return [ComponentSpec(kind='encoder', name='f', target='a:b', api=99)]\n"
        ),
    }
    for name, source in sources.items():
        info = tmp_path / f"{name}-4.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 4.2\n")
        (info / "entry_points.txt").write_text(f"[anyloom]\n{name} = {name}\n")
        (tmp_path / f"{name}.py").write_text(source)
    return tmp_path


def test_table_has_a_row_per_component() -> None:
    lines = listing().splitlines()
    assert lines[0].split() == ["NAME", "KIND", "MODALITIES", "PACKAGE", "VERSION", "STATUS", "LICENCE"]
    rows = {tuple(line.split()[:2]) for line in lines if not line.startswith(" ")}
    assert {(s.name, s.kind) for s in get_registry().components()} <= rows
    assert any(s.summary and s.summary in " ".join(lines) for s in get_registry().components())


def test_piped_table_fits_a_hundred_characters(broken: Path) -> None:
    assert max(map(len, listing(path=broken).splitlines())) <= 100


def test_kind_narrows_the_table() -> None:
    rows = [line for line in listing("--kind", "projector").split("\n\n")[0].splitlines()[1:] if line[0] != " "]
    assert rows
    assert all(row.split()[1] == "projector" for row in rows)


def test_unknown_kind_names_the_known_ones() -> None:
    command = [sys.executable, "-m", "anyloom.cli.main", "plugins", "--kind", "robot"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert all(kind in result.stderr for kind in KINDS)


def test_plugins_out_of_use_stand_below_with_their_cause(broken: Path) -> None:
    below = " ".join(listing(path=broken).partition("Plugins that are not in use:")[2].split())
    assert "failed: anyloom_raises (anyloom_raises 4.2): RuntimeError: no driver" in below
    assert "incompatible: anyloom_future (anyloom_future 4.2): 'f' is written for plugin api 99" in below


def test_disabled_plugins_stand_below(broken: Path) -> None:
    text = listing(path=broken, ANYLOOM_PLUGINS="anyloom")
    assert "disabled: anyloom_raises (anyloom_raises 4.2)" in text


def test_json_has_the_documented_keys(broken: Path) -> None:
    value = json.loads(listing("--json", path=broken))
    assert list(value) == ["api", "components", "recipes", "commands", "plugins"]
    row_keys = {"kind", "name", "modalities", "target", "requires", "package", "version", "licence"}
    row_keys |= {"summary", "status"}
    assert all(set(row) == row_keys for row in value["components"])
    assert all(set(row) == {"name", "package", "path", "summary"} for row in value["recipes"])
    assert all(set(row) == {"name", "target", "summary"} for row in value["commands"])
    assert all(set(row) == {"name", "package", "version", "status", "cause"} for row in value["plugins"])
    assert {"plugins", "fit"} <= {row["name"] for row in value["commands"]}
    states = {row["name"]: row["status"] for row in value["plugins"]}
    assert (states["anyloom"], states["anyloom_raises"], states["anyloom_future"]) == ("ok", "failed", "incompatible")


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from anyloom.cli.main import main; main(['plugins']); main(['plugins', '--json']);"
        "heavy = ['torch', 'transformers', 'diffusers', 'lightning', 'numpy', 'pydantic'];"
        "print('heavy:', [m for m in heavy if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.rstrip().endswith("heavy: []")


@pytest.mark.parametrize("words", [[], ["plugins"]])
def test_help_and_listing_take_less_than_half_a_second_of_cpu(words: list[str]) -> None:
    code = f"import time; from anyloom.cli.main import main; main({words}); print('seconds:', time.process_time())"
    seconds = []
    for _ in range(3):
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        seconds.append(float(result.stdout.rpartition("seconds:")[2]))
    assert min(seconds) < 0.5
