"""The modalities as the framework sees them: found by name, chosen by suffix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import anyloom
from anyloom.errors import MediaError
from anyloom.interfaces import ModalityIO
from anyloom.media import io_for, write_media

NAMES = ("audio", "image", "video")


@pytest.mark.parametrize("name", NAMES)
def test_modality_is_found_by_name(name: str) -> None:
    io = anyloom.build("modality", name)
    assert isinstance(io, ModalityIO)
    assert io.modality == name


def test_no_suffix_is_claimed_twice() -> None:
    suffixes = [suffix for name in NAMES for suffix in io_for(name).suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in suffixes)


MEDIA = [
    (anyloom.Media("image", torch.rand(3, 4, 6)), ".png"),
    (anyloom.Media("audio", torch.zeros(1, 50), meta={"sample_rate": 8000}), ".wav"),
    (anyloom.Media("video", torch.rand(2, 3, 4, 6), meta={"fps": 2}), ".mp4"),
]


@pytest.mark.parametrize(("media", "suffix"), MEDIA)
def test_core_writes_and_reads_by_suffix(tmp_path: Path, media: anyloom.Media, suffix: str) -> None:
    path = write_media(media, tmp_path / "folder" / "a")
    assert path.suffix == suffix
    back = anyloom.read_media(path)
    assert back.modality == media.modality
    assert back.tensor().shape == media.tensor().shape
    assert dict(back.meta) == dict(media.meta)


def test_suffix_that_nobody_reads(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"reads \.docx.*\.png"):
        anyloom.read_media(tmp_path / "a.docx")


@pytest.mark.parametrize(("media", "suffix"), MEDIA)
def test_media_that_load_later_know_their_meta_at_once(tmp_path: Path, media: anyloom.Media, suffix: str) -> None:
    path = write_media(media, tmp_path / f"a{suffix}")
    later = anyloom.read_media(path, lazy=True)
    assert later.data is None
    assert dict(later.meta) == dict(media.meta)
    torch.testing.assert_close(later.tensor(), anyloom.read_media(path).tensor())


def test_header_that_cannot_be_read_is_refused_at_the_first_look(tmp_path: Path) -> None:
    for name in ("a.wav", "a.mp4"):
        (tmp_path / name).write_text("only text\n" * 50)
        media = anyloom.read_media(tmp_path / name, lazy=True)  # opens nothing: data sets hold millions
        with pytest.raises(MediaError, match="not a readable"):
            media.meta.get("fps")


def test_pictures_are_read_where_the_extra_for_clips_is_not_installed(tmp_path: Path) -> None:
    path = write_media(MEDIA[0][0], tmp_path / "a.png")
    code = f"""
import importlib.util as u, sys
real = u.find_spec
u.find_spec = lambda name, *rest: None if name == "av" else real(name, *rest)
import anyloom
print(anyloom.read_media({str(path)!r}).modality)
try:
    anyloom.read_media({str(tmp_path / "a.mp4")!r}, "video")
except anyloom.AnyloomError as error:
    print(error)
"""
    (tmp_path / "a.mp4").touch()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    picture, clip = result.stdout.splitlines()
    assert picture == "image"
    assert "needs av" in clip
    assert "anyloom[video]" in clip
