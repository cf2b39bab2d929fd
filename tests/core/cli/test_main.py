"""The ``anyloom`` command in processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import pytest

import anyloom
from anyloom.cli.console import saying
from anyloom.discovery import get_registry

PLUGIN = """
from anyloom.discovery import CommandSpec, hookimpl

@hookimpl
def anyloom_commands():
    names = ["echo", "fails", "crashes", "waits", "pours"]
    return [CommandSpec(name=n, target=f"anyloom_words.commands:{n}", summary=f"the command {n}") for n in names]
"""
COMMANDS = """
import time
from anyloom.errors import ConfigError

def echo(args):
    print(args)
    return 7 if "seven" in args else None

def fails(args):
    raise ConfigError("batch_size must be positive", where="data.batch_size", fix="give 1 or more")

def crashes(args):
    raise RuntimeError("a bug")

def waits(args):
    print("waiting", flush=True)
    time.sleep(60)

def pours(args):
    for line in range(100_000):
        print("line", line)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables under which a plugin with a few commands is installed."""
    info = tmp_path / "anyloom_words-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: anyloom-words\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[anyloom]\nanyloom_words = anyloom_words.plugin\n")
    (tmp_path / "anyloom_words").mkdir()
    for name, text in {"__init__": "", "plugin": PLUGIN, "commands": COMMANDS}.items():
        (tmp_path / "anyloom_words" / f"{name}.py").write_text(text)
    return {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}


def run(*args: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "anyloom.cli.main", *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_help_lists_every_command_with_its_summary(environment: dict[str, str], args: list[str]) -> None:
    result = run(*args, environment=environment)
    assert result.returncode == 0
    for name, spec in get_registry().commands.items():
        assert f"  {name} " in result.stdout
        assert spec.summary in result.stdout
    assert "the command echo" in result.stdout


def test_version(environment: dict[str, str]) -> None:
    result = run("--version", environment=environment)
    assert result.stdout.strip() == f"anyloom {anyloom.__version__}"


def test_arguments_and_status_go_through(environment: dict[str, str]) -> None:
    result = run("echo", "--help", "-x", "a b", "--debug", environment=environment)
    assert result.stdout.strip() == "['--help', '-x', 'a b', '--debug']"
    assert result.returncode == 0
    assert run("echo", "seven", environment=environment).returncode == 7


def test_unknown_command_is_answered_with_the_nearest(environment: dict[str, str]) -> None:
    result = run("plugin", environment=environment)
    assert result.returncode == 2
    assert result.stderr.strip() == "error: there is no command 'plugin'. To fix: did you mean 'plugins'?"


def test_unknown_option(environment: dict[str, str]) -> None:
    result = run("--quiet", "plugins", environment=environment)
    assert result.returncode == 2
    assert "--quiet" in result.stderr


def test_deliberate_error_is_one_line_without_traceback(environment: dict[str, str]) -> None:
    result = run("fails", environment=environment)
    assert result.returncode == 2
    assert result.stderr.strip() == "error: data.batch_size: batch_size must be positive. To fix: give 1 or more"
    assert result.stdout == ""


def test_debug_shows_the_traceback_too(environment: dict[str, str]) -> None:
    result = run("--debug", "fails", environment=environment)
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert result.stderr.rstrip().endswith(
        "error: data.batch_size: batch_size must be positive. To fix: give 1 or more"
    )


def test_bug_keeps_its_traceback(environment: dict[str, str]) -> None:
    result = run("crashes", environment=environment)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "RuntimeError: a bug" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_interrupt_is_one_line_and_status_130(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "anyloom.cli.main", "waits"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A shell's background jobs ignore the signal, and their children inherit that.
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, env=environment, text=True, preexec_fn=listen, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX shell")
def test_reader_that_leaves_early_causes_no_traceback(environment: dict[str, str]) -> None:
    command = f"{sys.executable} -m anyloom.cli.main pours | head -n 1"
    result = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout == "line 0\n"
    assert result.stderr == ""


def test_wrong_allow_list_is_an_error_and_not_a_traceback(environment: dict[str, str]) -> None:
    result = run("plugins", environment={**environment, "ANYLOOM_PLUGINS": "anyloom_wrods"})
    assert result.returncode == 2
    assert result.stderr.startswith("error: plugin allow-list")
    assert "anyloom_words" in result.stderr


def test_a_warning_to_the_user_is_one_line() -> None:
    before = warnings.formatwarning
    with saying(""):
        assert warnings.formatwarning("two\nlines", UserWarning, "a.py", 3) == "warning: two lines\n"
        assert warnings.formatwarning("old", FutureWarning, "b.py", 4) == "b.py:4: FutureWarning: old\n"
    assert warnings.formatwarning is before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is needed")
@pytest.mark.parametrize("command", ["echo", "pours"])
def test_a_full_disk_below_standard_output_is_one_line(environment: dict[str, str], command: str) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "anyloom.cli.main", command],
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "No space left on device" in line  # the system's own words for ENOSPC


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is needed")
def test_an_error_that_nobody_can_read_keeps_its_status(environment: dict[str, str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "anyloom.cli.main", "fails"]
        assert subprocess.run(command, env=environment, stdout=full, stderr=full, check=False).returncode == 2


def test_no_folder_for_temporary_files_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    # Root may write everywhere, so the places that Python tries are taken away instead.
    away = "import tempfile\ntempfile._candidate_tempdir_list = lambda: ['/proc/nowhere']\n"
    (tmp_path / "sitecustomize.py").write_text(away)
    result = run("env", environment=environment)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.endswith("in ['/proc/nowhere']. To fix: set TMPDIR to a folder that can be written to")
