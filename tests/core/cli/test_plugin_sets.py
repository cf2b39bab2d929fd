"""``anyloom plugins bisect | freeze | restore``."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from anyloom.cli.bisect_plugins import guilty
from anyloom.cli.main import main
from anyloom.cli.plugin_set import installed, read_set
from anyloom.errors import ConfigError

PLUGIN = """
{before}
from anyloom.discovery import ComponentSpec, hookimpl
@hookimpl
def anyloom_components():
    return [ComponentSpec(kind='encoder', name='{name}', target='{name}.parts:Part', licence='MIT', summary='s')]
"""
KILLS = {
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "hangs": "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\ntime.sleep(60)",
}


def install(site: Path, name: str, before: str = "") -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[anyloom]\n{name} = {name}.plugin\n")
    (site / name).mkdir()
    (site / name / "__init__.py").touch()
    (site / name / "plugin.py").write_text(PLUGIN.format(name=name, before=before))


def run(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ANYLOOM_")}
    environment |= {"PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "anyloom.cli.main", "plugins", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("how", KILLS)
def test_the_plugin_that_ends_every_command_is_found(tmp_path: Path, how: str) -> None:
    for number in range(5):
        install(tmp_path, f"many{number}", KILLS[how] if number == 3 else "")
    done = run(tmp_path, "bisect", "--seconds", "20" if how == "killed" else "5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("guilty: many3 (many3 1.0)\n")
    assert done.stderr.count("with ") <= math.ceil(math.log2(5))
    allowed = done.stdout.partition("ANYLOOM_PLUGINS=")[2].strip()
    assert "many3" not in allowed.split(",")
    assert {"many0", "many4", "anyloom"} <= set(allowed.split(","))


def test_one_of_fifty_needs_at_most_six_tries() -> None:
    names = [f"p{i}" for i in range(50)]
    for bad in names:
        tries: list[list[str]] = []
        found, _ = guilty(names, lambda some, bad=bad, tries=tries: tries.append(some) or bad in some)  # type: ignore[misc]
        assert found == bad
        assert len(tries) <= 6


def test_mistakes_of_bisect_are_one_line(tmp_path: Path) -> None:
    install(tmp_path, "many")
    assert "no plugin is called 'manny'" in run(tmp_path, "bisect", "--keep", "manny").stderr
    assert "nobody to suspect" in run(tmp_path, "bisect", "--keep", "many").stderr


def test_a_frozen_set_is_recognised_and_differences_are_shown(tmp_path: Path) -> None:
    install(tmp_path / "site", "many_one")
    install(tmp_path / "site", "many_two")
    file = tmp_path / "plugins.txt"
    assert run(tmp_path / "site", "freeze", "--output", str(file)).returncode == 0
    assert {"many-one": "1.0", "many-two": "1.0"}.items() <= read_set(file).items()
    assert "anyloom" in read_set(file)
    assert "all plugins of the set are installed" in run(tmp_path / "site", "restore", str(file)).stdout
    file.write_text(file.read_text().replace("many-one==1.0", "many-one==2.0"))
    done = run(tmp_path / "site", "restore", str(file))
    assert done.returncode == 2
    assert "many-one: 1.0 -> 2.0" in done.stdout
    assert "pip install many-one==2.0" in done.stdout


@pytest.mark.parametrize(
    "line",
    ["--index-url http://x", "many @ http://x/many.whl", "-e .", "many>=1", "many==1 --hash=x", "../many", "-r x"],
)
def test_nothing_but_names_and_versions_reaches_pip(tmp_path: Path, line: str) -> None:
    file = tmp_path / "plugins.txt"
    file.write_text(f"# a comment\nmany==1.0  # another\n{line}\n")
    with pytest.raises(ConfigError, match="is not 'name==version'") as caught:
        read_set(file)
    assert caught.value.where == f"{file}:3"
    assert main(["plugins", "restore", str(file)]) == 2


def test_restore_rebuilds_a_set_from_a_folder(tmp_path: Path) -> None:
    links, target = tmp_path / "links", tmp_path / "site"
    links.mkdir()
    with zipfile.ZipFile(links / "anyloom_many-2.0-py3-none-any.whl", "w") as wheel:
        info = "anyloom_many-2.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: anyloom-many\nVersion: 2.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
        wheel.writestr(f"{info}/entry_points.txt", "[anyloom]\nanyloom_many = anyloom_many.plugin\n")
        wheel.writestr("anyloom_many/__init__.py", "")
    file = tmp_path / "plugins.txt"
    file.write_text("anyloom-many==2.0\n")
    environment = {**os.environ, "PIP_TARGET": str(target), "PYTHONPATH": str(target)}
    words = ["plugins", "restore", str(file), "--yes", "--find-links", str(links)]
    command = [sys.executable, "-m", "anyloom.cli.main", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (target / "anyloom_many-2.0.dist-info").is_dir()
    assert "all plugins of the set" in subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def test_installed_names_are_those_of_an_index() -> None:
    assert installed()["anyloom"]
