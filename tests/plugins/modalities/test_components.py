"""The modalities as the framework sees them: found by name, chosen by suffix."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import anyloom
from anyloom.conversation import io_for, write_media
from anyloom.errors import MediaError
from anyloom.interfaces import ModalityIO

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


@pytest.mark.parametrize(
    ("media", "suffix"),
    [
        (anyloom.Media("image", torch.rand(3, 4, 6)), ".png"),
        (anyloom.Media("audio", torch.zeros(1, 50), meta={"sample_rate": 8000}), ".wav"),
        (anyloom.Media("video", torch.rand(2, 3, 4, 6), meta={"fps": 2}), ".mp4"),
    ],
)
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
