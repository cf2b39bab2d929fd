"""Sound samples of the starter pack: mono, 16 kHz, 16 bit, cut at 2.56 s from the onset."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from starter_pack.shards import json_bytes

SAMPLE_RATE = 16_000
MAX_SECONDS = 2.56
FADE_SECONDS = 0.02
PEAK = 0.8
MAX_GAIN = 30.0
ONSET_LEVEL = 0.01  # of the peak
MIN_SECONDS = 0.05
SILENCE = 1e-3  # peak before normalising
TEST_SHARE = 0.18

FAMILIES = {
    "ambi": "ambience",
    "bass": "bass",
    "bd": "bass drum",
    "drum": "drum kit",
    "elec": "electronic",
    "guit": "guitar",
    "loop": "loop",
    "misc": "miscellaneous",
    "perc": "percussion",
    "sn": "snare drum",
    "tabla": "tabla",
    "vinyl": "vinyl",
}

Wave = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Credit:
    """Who made a sound and where it was published, as Debian's copyright file says."""

    author: str
    source: str


class Sounds:
    """The CC0 sounds of Debian's ``sonic-pi-samples``, with names, stems and splits."""

    def __init__(self, root: Path) -> None:
        self.credits = cc0_credits((root / "usr/share/doc/sonic-pi-samples/copyright").read_text("utf-8"))
        with Path(__file__).with_name("sounds.tsv").open(encoding="utf-8", newline="") as table:
            self.rows = list(csv.DictReader(table, delimiter="\t"))
        self.waves = {}
        for row in self.rows:
            if row["file"] not in self.credits:
                raise SystemExit(f"{row['file']} is not CC0 in debian/copyright: take it out of sounds.tsv")
            wave = _read(root / f"usr/share/sonic-pi/samples/{row['file']}.flac")
            if len(wave) >= MIN_SECONDS * SAMPLE_RATE and np.abs(wave).max() >= SILENCE:
                self.waves[row["file"]] = wave
        self.held_out = _held_out(list(self.waves))

    def members(self) -> Iterator[tuple[str, bytes]]:
        """Yield (name, content) of every tar member, metadata before the sound."""
        for row in self.rows:
            if (key := row["file"]) in self.waves:
                yield f"{key}.json", json_bytes(self._metadata(key, row))
                yield f"{key}.flac", _flac(self.waves[key])

    def _metadata(self, key: str, row: dict[str, str]) -> dict[str, Any]:
        return {
            "key": key,
            "name": row["name"],
            "family": FAMILIES[key.split("_")[0]],
            "stem": stem(key),
            "duration": len(self.waves[key]) / SAMPLE_RATE,
            "split": "test" if stem(key) in self.held_out else "train",
            "links": [base for base in row["pictures"].split(",") if base],
            "author": self.credits[key].author,
            "source": self.credits[key].source,
        }


def cc0_credits(copyright_text: str) -> dict[str, Credit]:
    """Return the credit of every sample whose own paragraph in debian/copyright says CC0."""
    credits = {}
    for paragraph in copyright_text.split("\n\n"):
        name = re.search(r"^Files: etc/samples/(\w+)\.flac$", paragraph, re.MULTILINE)
        author = re.search(r"^Copyright: (?:\d{4} )?([^<\n]+)", paragraph, re.MULTILINE)
        source = re.search(r"http\S+", paragraph)
        if name and author and source and "\nLicense: CC0" in paragraph:
            credits[name[1]] = Credit(author[1].strip(), source[0])
    return credits


def stem(key: str) -> str:
    """Return what takes of one sound share: the file name without number, strength, length and note."""
    return re.sub(r"(_hit)?(_hard|_soft|_full|_[cf]|\d)$", "", key) if key != "bd_808" else key


def _held_out(keys: list[str]) -> set[str]:
    """Return the stems of the test split: the same share of every family, chosen by a hash of the stem."""
    families = defaultdict(set)
    for key in keys:
        families[key.split("_")[0]].add(stem(key))
    held_out: set[str] = set()
    for stems in families.values():
        order = sorted(stems, key=lambda text: hashlib.sha256(f"anyloom-starter:{text}".encode()).digest())
        held_out.update(order[: round(TEST_SHARE * len(order))])
    return held_out


def _read(path: Path) -> Wave:
    """Return the sound as (T,) at 16 kHz, from its onset, faded where it was cut, peak at ``PEAK``."""
    samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    wave = soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE, quality="VHQ")
    loud = np.abs(wave)
    wave = wave[int(np.argmax(loud >= ONSET_LEVEL * loud.max())) :]
    limit, fade = round(MAX_SECONDS * SAMPLE_RATE), round(FADE_SECONDS * SAMPLE_RATE)
    if len(wave) > limit:
        wave = wave[:limit].copy()
        wave[-fade:] *= np.linspace(1, 0, fade)
    peak = np.abs(wave).max()
    return wave if peak < SILENCE else wave * min(MAX_GAIN, PEAK / peak)


def _flac(wave: Wave) -> bytes:
    content = io.BytesIO()
    samples = np.round(wave * 32767).astype(np.int16)
    soundfile.write(content, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return content.getvalue()
