"""Readers that hang, crash or take all memory end in a process of their own; each costs one file and one error."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom.conversation import Media
from anyloom.errors import MediaError
from anyloom.media import Isolation, conversation_from_json, read_media, write_media

HOSTILE = """
import os, sys, time
import torch
from anyloom.conversation import Media
from anyloom.errors import MediaError
from anyloom.interfaces import ModalityIO

class IO(ModalityIO):
    modality, suffixes = "hostile", (".hostile",)

    def read(self, path):
        print("what a library prints")
        sys.stdout.flush()
        word = path.read_text()
        if word == "hang":
            time.sleep(600)
        if word == "abort":
            os.abort()
        if word == "exit":
            os._exit(3)
        if word == "fill":
            hoard = [torch.ones(2**24) for _ in range(10**4)]
        if word == "bug":
            raise KeyError("a mistake")
        if word == "refuse":
            raise MediaError("it is broken", where=str(path), fix="mend it")
        return Media("hostile", torch.tensor([float(word)]), meta={"a": 1})

    def write(self, media, path):
        return path

    def to_html(self, media):
        return "<b></b>"
"""
PLUGIN = """
from anyloom.discovery import ComponentSpec, hookimpl

@hookimpl
def anyloom_components():
    return [ComponentSpec(kind="modality", name="hostile", target="anyloom_hostile.io:IO", suffixes=(".hostile",))]
"""
SCRIPT = """
import json, sys, time
from anyloom.errors import AnyloomError
from anyloom.media import Isolation, read_media
limits = Isolation(seconds=float(sys.argv[1]), megabytes=1500)
for word in sys.argv[2:]:
    open("a.hostile", "w").write(word)
    start = time.monotonic()
    try:
        media = read_media("a.hostile", isolation=limits)
        found = [media.tensor().tolist(), dict(media.meta)]
    except AnyloomError as error:
        found = [type(error).__name__, error.what]
    print(json.dumps([word, *found, time.monotonic() - start]))
assert "anyloom_hostile.io" not in sys.modules
"""


def tried(folder: Path, seconds: float, *words: str) -> dict[str, list[Any]]:
    """Read a file of each word with a hostile plugin installed; returns what came, by word."""
    package, info = folder / "anyloom_hostile", folder / "anyloom_hostile-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").touch()
    (package / "io.py").write_text(HOSTILE)
    (package / "plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: anyloom-hostile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[anyloom]\nanyloom_hostile = anyloom_hostile.plugin\n")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    run = [sys.executable, "-c", SCRIPT, str(seconds), *words]
    done = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return {word: found for word, *found in map(json.loads, done.stdout.splitlines())}


def test_hanging_and_crashing_readers_are_one_error_each_and_the_next_file_is_read(tmp_path: Path) -> None:
    found = tried(tmp_path, 5, "7", "hang", "8", "abort", "exit", "bug", "refuse", "9")
    assert found["7"][:2] == [[7.0], {"a": 1}]
    assert found["hang"][:2] == ["MediaError", "reading it took more than 5 s"]
    assert found["hang"][2] < 120, "ended at its deadline, not after ten minutes"
    assert found["abort"][1] == "its reader crashed (SIGABRT)"
    assert found["exit"][1] == "its reader crashed (status 3)"
    assert found["bug"][:2] == ["MediaError", "its reader failed (KeyError: 'a mistake')"]
    assert found["refuse"][:2] == ["MediaError", "it is broken"]
    assert [found[word][0] for word in "89"] == [[8.0], [9.0]]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux limits the memory of a process so")
def test_reader_that_takes_all_memory_is_stopped(tmp_path: Path) -> None:
    found = tried(tmp_path, 120, "fill", "7")
    assert found["fill"][0] == "MediaError"
    assert found["7"][0] == [7.0]


def test_a_file_read_apart_is_the_same_file(tmp_path: Path) -> None:
    sound = Media("audio", torch.rand(1, 800) - 0.5, meta={"sample_rate": 16000})
    path = write_media(sound, tmp_path / "a.wav")
    here = read_media(path)
    part = {"type": "audio", "path": "a.wav"}
    apart = conversation_from_json([{"role": "user", "content": [part]}], root=tmp_path, isolation=Isolation()).media[0]
    for media in (apart, pickle.loads(pickle.dumps(apart)), read_media(path, isolation=Isolation())):
        assert torch.equal(media.tensor(), here.tensor())
        assert (dict(media.meta), media.length()) == (dict(here.meta), 1)
        assert torch.equal(media.sample([0]), here.tensor())
    (tmp_path / "a.wav").write_bytes(b"RIFF but cut")
    with pytest.raises(MediaError, match="not a readable audio file"):
        apart.tensor()


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"megabytes": -1}])
def test_limits_are_positive(limits: dict[str, Any]) -> None:
    with pytest.raises(MediaError, match="must be positive"):
        Isolation(**limits)
