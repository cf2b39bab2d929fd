"""Read the starter pack: tables of pictures and sounds, decoded one by one when asked.

``load_pack`` reads the metadata only. The shards stay in memory as bytes (about 17 MB), so a picture costs
a few hundred microseconds and no file is open. Records are small frozen dataclasses: a spawned worker gets
them by pickling and reads the shards itself at its first use.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final, Literal

import numpy as np
import soundfile
import torch
from PIL import Image
from torch import Tensor

from anyloom.errors import MediaError
from anyloom.storage.json_text import json_value

__all__ = ["PICTURE_SIZE", "SAMPLE_RATE", "Pack", "Picture", "Sound", "load_pack", "picture_pixels", "sound_wave"]

SAMPLE_RATE: Final = 16_000
PICTURE_SIZE: Final = 64

_REMEDY: Final = "reinstall the package, or build the pack again with scripts/build_starter_pack.py"

Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawing of one emoji.

    Attributes:
        key: Stable name, ``style/base`` or ``style/base-tones`` in lower-case code points.
        name: What is shown, in lower-case words, without style and tone.
        style: ``noto`` or ``twemoji``.
        tone: Skin tone: ``none``, ``light`` ... ``dark``, or two joined by " and ".
        gender: ``none``, ``man``, ``woman`` or ``person``.
        base: The emoji without skin tones, in code points.
        stem: The name without gender words; drawings of one subject share it.
        subject: Stem after drawings that look alike were put together; splits are made by it.
        gender_group: What the variants for man and woman of one base have in common, or None.
        sequence: ``clock``, ``moon`` or None, and ``index``, the place in it, from 0.
        unchanged: Names of the pixel edits that hardly change it (a mirrored circle).
        member: Name of the tar member that holds it.
    """

    key: str
    name: str
    style: str
    tone: str
    gender: str
    category: str
    subcategory: str
    keywords: tuple[str, ...]
    base: str
    stem: str
    subject: str
    gender_group: str | None
    sequence: str | None
    index: int | None
    split: Split
    unchanged: tuple[str, ...]
    member: str


@dataclass(frozen=True, slots=True)
class Sound:
    """One recording.

    Attributes:
        key: Stable name, as its author's file was called.
        name: What is heard, in lower-case words.
        family: Kind of sound, such as ``drum kit``.
        stem: What takes of one sound share; splits are made by it.
        duration: Length in seconds, at most 2.56.
        links: Bases of pictures that show what is heard.
        member: Name of the tar member that holds it.
    """

    key: str
    name: str
    family: str
    stem: str
    duration: float
    links: tuple[str, ...]
    author: str
    source: str
    split: Split
    member: str


@dataclass(frozen=True)
class Pack:
    """All pictures and sounds, in the order of the shards."""

    pictures: tuple[Picture, ...]
    sounds: tuple[Sound, ...]
    _by_key: Mapping[str, Picture | Sound] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        items: list[Picture | Sound] = [*self.pictures, *self.sounds]
        object.__setattr__(self, "_by_key", {item.key: item for item in items})

    def __reduce__(self) -> tuple[Callable[[], Pack], tuple[()]]:
        return load_pack, ()

    def picture(self, key: str) -> Picture:
        """Return the picture of that key; KeyError if there is none."""
        item = self._by_key[key]
        if not isinstance(item, Picture):
            raise KeyError(key)
        return item

    def sound(self, key: str) -> Sound:
        """Return the sound of that key; KeyError if there is none."""
        item = self._by_key[key]
        if not isinstance(item, Sound):
            raise KeyError(key)
        return item

    @property
    def links(self) -> tuple[tuple[Sound, Picture], ...]:
        """Every (sound, picture) pair that shows and sounds the same thing."""
        plain: dict[str, list[Picture]] = {}
        for picture in self.pictures:
            plain.setdefault(picture.base, []).append(picture)
        return tuple((sound, picture) for sound in self.sounds for base in sound.links for picture in plain[base])


@cache
def load_pack() -> Pack:
    """Return the tables of the pack, after checking the shards once against their checksums.

    Raises:
        anyloom.errors.MediaError: A file is missing or differs from the published one.

    >>> pack = load_pack()
    >>> pack.picture("noto/1f44b-1f3fb").tone
    'light'
    """
    pictures, sounds = [], []
    for name, content in _members().items():
        if name.endswith(".json"):
            record = json.loads(bytes(content))
            if "base" in record:
                pictures.extend(_pictures(record))
            else:
                record["links"] = tuple(record["links"])
                sounds.append(Sound(**record, member=f"{record['key']}.flac"))
    return Pack(tuple(pictures), tuple(sounds))


@lru_cache(maxsize=8192)
def picture_pixels(picture: Picture) -> Tensor:
    """Return the picture on a white ground, uint8 (3, 64, 64), RGB. Kept in memory (12 KB each): do not write to it."""
    with Image.open(io.BytesIO(_members()[picture.member])) as image:
        drawing = image.convert("RGBA")
    ground = Image.new("RGBA", drawing.size, "white")
    ground.alpha_composite(drawing)
    return torch.from_numpy(np.array(ground.convert("RGB"))).permute(2, 0, 1).contiguous()


@lru_cache(maxsize=256)
def sound_wave(sound: Sound) -> Tensor:
    """Return the sound, float32 (1, T) within [-1, 1], mono at 16 kHz. Kept in memory: do not write to it."""
    samples, rate = soundfile.read(io.BytesIO(_members()[sound.member]), dtype="float32")
    assert rate == SAMPLE_RATE
    return torch.from_numpy(samples)[None]


def _pictures(record: dict[str, Any]) -> list[Picture]:
    """Return the drawings of one base from its metadata."""
    base, drawings, unchanged = record["base"], record.pop("pictures"), record.pop("unchanged")
    record["keywords"] = tuple(record["keywords"])
    pictures = []
    for extension, (style, tone) in drawings.items():
        codes = extension.removeprefix(style).removesuffix("webp").strip(".")
        key = f"{style}/{base}-{codes}" if codes else f"{style}/{base}"
        same = tuple(unchanged.get(extension, ()))
        member = f"{base}.{extension}"
        pictures.append(Picture(key=key, style=style, tone=tone, unchanged=same, member=member, **record))
    return pictures


@cache
def _members() -> dict[str, memoryview]:
    """Return name -> content of every member of the shards."""
    folder = files("anyloom_starter") / "data"
    try:
        checksums: dict[str, str] = json_value((folder / "SHA256SUMS.json").read_bytes())["files"]
        contents = {name: (folder / name).read_bytes() for name in checksums}
    except (OSError, ValueError, KeyError) as error:
        raise MediaError(f"the starter pack is not complete ({error})", where=str(folder), fix=_REMEDY) from error
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != checksums[name]:
            raise MediaError("this is not the published file", where=str(folder / name), fix=_REMEDY)
    return {
        entry.name: memoryview(content)[entry.offset_data : entry.offset_data + entry.size]
        for name, content in contents.items()
        if name.endswith(".tar")
        for entry in tarfile.open(fileobj=io.BytesIO(content))
    }
