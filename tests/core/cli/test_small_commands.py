"""``anyloom env | open | completion`` and the switches that every command knows."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from anyloom.cli.main import main
from anyloom.discovery import get_registry
from projects import sections, write_config


def test_env_tells_versions_and_plugins_and_no_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    assert main(["env", "--json"]) == 0
    printed = capsys.readouterr().out
    found = json.loads(printed)
    assert found["torch"] == version("torch")
    assert found["Python"] == platform.python_version()
    assert len(found["Plugins"]) == len(get_registry().plugins)
    assert "s3cret" not in printed
    assert main(["env"]) == 0
    assert f"torch: {version('torch')}\n" in capsys.readouterr().out


def test_open_starts_the_browser_of_the_user(tmp_path: Path) -> None:
    browser, trace = tmp_path / "browser", tmp_path / "trace"
    browser.write_text(f'#!/bin/sh\necho "$1" > {trace}\n')
    browser.chmod(0o755)
    folder = tmp_path / "a b#c"
    folder.mkdir()
    (folder / "report.html").write_text("<p>hello")
    command = [sys.executable, "-m", "anyloom.cli.main", "open", str(folder)]
    environment = {**os.environ, "BROWSER": f"{browser} %s"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"report: {folder / 'report.html'}\n"
    assert trace.read_text().strip() == (folder / "report.html").as_uri()


def test_open_shows_pages_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.sh").write_text("echo")
    for path, message in ((tmp_path / "run.sh", "this is no page"), (tmp_path, "no report here")):
        assert main(["open", str(path)]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["anyloom", "gen"], "generate"),
        (["anyloom", "generate", "--jso"], "--jsonl"),
        (["anyloom", "generate", "min"], "mini"),
        (["anyloom", "fit", "--sta"], "--stage"),
    ],
)
def test_completion_completes_in_bash(words: list[str], expected: str) -> None:
    script = subprocess.run(
        [sys.executable, "-m", "anyloom.cli.main", "completion", "bash"], capture_output=True, text=True, check=True
    ).stdout
    given = " ".join(words)
    line = f'{script}\nCOMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _anyloom; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, timeout=60)
    assert expected in done.stdout.split()


def test_quiet_and_verbose_before_and_after_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project = sections(tmp_path, max_steps=1)
    del project["trainer"]["enable_progress_bar"]
    config = write_config(tmp_path, project)
    loud = {}
    for name, words in {"": [], "-q": ["-q"], "-v": ["-v"]}.items():
        for place in (["fit", config, *words], [*words, "fit", config]):
            project["result"] = str(tmp_path / f"result-{name}-{len(loud)}")
            write_config(tmp_path, project)
            assert main(place) == 0
            printed = capfd.readouterr()
            assert f"result: {project['result']}" in printed.out
            loud[name] = printed.out + printed.err
    assert loud["-q"].strip() == f"result: {tmp_path / 'result--q-2'}"
    assert "seconds: " in loud["-v"]
    assert len(loud["-v"]) > len(loud["-q"])


def test_an_error_is_never_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-q", "check", "no-such-recipe"]) == 2
    printed = capsys.readouterr()
    assert "no-such-recipe" in printed.out + printed.err
