"""What made a medium is kept in its file, where other programs find it too, and changes nothing of the medium."""

from __future__ import annotations

import json
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image

from anyloom.conversation import Media
from anyloom.media import note_of, read_media, write_media

NOTE = json.dumps({"asked": "Grüße 🎩\nüber zwei Zeilen", "filler": "x" * 300_000}, ensure_ascii=False)
SOUND = Media("audio", torch.sin(torch.arange(8000) / 9)[None] * 0.5, meta={"sample_rate": 16000})
CLIP = Media("video", torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8), meta={"fps": 8})
PICTURE = Media("image", torch.linspace(0, 1, 3 * 20 * 30).reshape(3, 20, 30))
KEEPING = {
    **dict.fromkeys((".wav", ".flac", ".ogg", ".mp3"), SOUND),
    **dict.fromkeys((".mp4", ".m4v", ".webm", ".mkv", ".mov", ".avi"), CLIP),
    **dict.fromkeys((".png", ".jpg", ".webp", ".gif", ".tiff"), PICTURE),
}
PICTURES = (".png", ".jpg", ".webp", ".gif", ".tiff")
NOT_KEEPING = {".opus": SOUND, ".bmp": PICTURE}


@pytest.mark.parametrize("suffix", KEEPING)
def test_a_note_is_read_again_and_changes_nothing(tmp_path: Path, suffix: str) -> None:
    media = KEEPING[suffix]
    plain = write_media(media, tmp_path / f"plain{suffix}")
    noted = write_media(replace(media, note=NOTE), tmp_path / f"noted{suffix}")
    assert note_of(noted) == NOTE
    assert note_of(plain) == ""
    assert torch.equal(read_media(noted).tensor(), read_media(plain).tensor())


@pytest.mark.parametrize("suffix", [s for s in KEEPING if s not in PICTURES])
def test_ffmpeg_finds_the_note_of_sounds_and_clips(tmp_path: Path, suffix: str) -> None:
    path = write_media(replace(KEEPING[suffix], note="made by anyloom"), tmp_path / f"noted{suffix}")
    shown = ["-show_entries", "format_tags:stream_tags", "-of", "json", str(path)]
    found = subprocess.run(["ffprobe", "-v", "error", *shown], check=True, capture_output=True, text=True).stdout
    assert "made by anyloom" in found


def test_pillow_finds_the_note_of_pictures(tmp_path: Path) -> None:
    with Image.open(write_media(replace(PICTURE, note=NOTE), tmp_path / "noted.png")) as picture:
        picture.load()
        assert picture.text["anyloom"] == NOTE


def test_pillow_finds_the_notes_of_other_pictures(tmp_path: Path) -> None:
    short = "made <by> anyloom & nobody else"
    paths = {s: write_media(replace(PICTURE, note=short), tmp_path / f"noted{s}") for s in PICTURES}
    with Image.open(paths[".jpg"]) as jpeg, Image.open(paths[".gif"]) as gif:
        assert jpeg.info["comment"] == gif.info["comment"] == short.encode()
    for suffix in (".webp", ".tiff"):
        with Image.open(paths[suffix]) as picture:
            found = ElementTree.fromstring(picture.info["xmp"]).iter("{urn:anyloom}note")
            assert [element.text for element in found] == [short]


def test_a_short_note_has_room_in_opus(tmp_path: Path) -> None:
    sound = replace(SOUND, note="Grüße " * 5_000)
    assert note_of(write_media(sound, tmp_path / "noted.opus")) == sound.note


@pytest.mark.parametrize("suffix", NOT_KEEPING)
def test_formats_without_a_place_are_written_as_ever(tmp_path: Path, suffix: str) -> None:
    path = write_media(replace(NOT_KEEPING[suffix], note=NOTE), tmp_path / f"noted{suffix}")
    assert note_of(path) == ""
    assert read_media(path).tensor().isfinite().all()


@pytest.mark.parametrize("suffix", KEEPING)
def test_the_note_of_a_broken_file_is_empty(tmp_path: Path, suffix: str) -> None:
    path = write_media(replace(KEEPING[suffix], note="what made it"), tmp_path / f"noted{suffix}")
    content = path.read_bytes()
    for kept in (1, 11, 40, len(content) // 2):
        path.write_bytes(content[:kept])
        assert note_of(path) in ("", "what made it")


def test_sizes_in_a_file_are_not_believed(tmp_path: Path) -> None:
    """A chunk that says it is 4 GB, and a note longer than the limit, take no memory."""
    png = b"\x89PNG\r\n\x1a\n"
    path = tmp_path / "huge.png"
    path.write_bytes(png + struct.pack(">I", 2**32 - 1) + b"iTXt" + b"anyloom\0\0\0\0\0")
    assert note_of(path) == ""
    path.write_bytes(png + struct.pack(">I", 2_000_012) + b"iTXt" + b"anyloom\0\0\0\0\0" + b"x" * 2_000_000)
    assert note_of(path) == ""
