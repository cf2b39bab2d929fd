"""Picture samples of the starter pack: one webdataset sample per base emoji, all its drawings inside."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from anyloom_starter.edits import PIXEL_EDITS
from starter_pack.naming import Naming, name_bases
from starter_pack.quantise import quantise
from starter_pack.shards import json_bytes

NUM_COLOURS = 48
BASES_PER_SHARD = 256
TEST_SHARE = 0.145
# Subjects with sounds in the test split: held out too, so that it has pictures that belong to its sounds.
HELD_OUT_WITH_SOUNDS = frozenset({"musical keyboard", "guitar", "long drum"})
VISIBLE_CHANGE = 4  # mean absolute difference by which a pixel edit must change a picture to be seen
TWIN_DISTANCE = 2.0  # mean absolute difference of 16 x 16 pictures on white, in grey levels of 255

TONES = {
    "1F3FB": "light",
    "1F3FC": "medium-light",
    "1F3FD": "medium",
    "1F3FE": "medium-dark",
    "1F3FF": "dark",
}


@dataclass(frozen=True)
class Drawing:
    """One picture of a base: its style, the tone codes after the base id and the source file."""

    style: str
    codes: str
    path: Path

    @property
    def extension(self) -> str:
        """Return what follows the key in the name of the tar member."""
        return ".".join(part for part in (self.style, self.codes.lower(), "webp") if part)

    @property
    def tone(self) -> str:
        """Return the skin tone in words; two people of the same tone have one."""
        tones = list(dict.fromkeys(TONES[code] for code in self.codes.split("-") if code))
        return " and ".join(tones) or "none"


class Pictures:
    """All bases in the order of Unicode's chart, with names, subjects and splits."""

    def __init__(self, google: Path, twitter: Path) -> None:
        folders = {"noto": google / "img/google/64", "twemoji": twitter / "img/twitter/64"}
        records = json.loads((google / "emoji.json").read_text(encoding="utf-8"))
        self.records: list[dict[str, Any]] = sorted(records, key=lambda record: record["sort_order"])
        self.naming: dict[str, Naming] = name_bases(self.records)
        self.drawings = {record["unified"]: _drawings(record, folders) for record in self.records}
        self.subjects = self._merge_twins()

    @property
    def num_shards(self) -> int:
        """Return the number of picture shards."""
        return -(-len(self.records) // BASES_PER_SHARD)

    def members(self, shard: int) -> Iterator[tuple[str, bytes]]:
        """Yield (name, content) of every tar member of one shard, metadata before pictures."""
        for record in self.records[shard * BASES_PER_SHARD : (shard + 1) * BASES_PER_SHARD]:
            key = record["unified"].lower()
            pictures = {}
            for drawing in self.drawings[record["unified"]]:
                with Image.open(drawing.path) as picture:
                    pictures[drawing.extension] = quantise(picture.convert("RGBA"), NUM_COLOURS)
            yield f"{key}.json", json_bytes(self._metadata(record, pictures))
            for extension, picture in pictures.items():
                yield f"{key}.{extension}", _webp(picture)

    def _metadata(self, record: dict[str, Any], pictures: dict[str, Image.Image]) -> dict[str, Any]:
        unchanged = {extension: _hardly_changed_by(picture) for extension, picture in pictures.items()}
        naming = self.naming[record["unified"]]
        subject = self.subjects[naming.stem]
        group = naming.gender_group.lower() if naming.gender_group else None
        drawings = self.drawings[record["unified"]]
        held_out = _fraction(subject) < TEST_SHARE or subject in HELD_OUT_WITH_SOUNDS
        return {
            "base": record["unified"].lower(),
            "name": naming.name,
            "category": record["category"],
            "subcategory": record["subcategory"],
            "keywords": record["short_names"],
            "stem": naming.stem,
            "subject": subject,
            "gender": naming.gender,
            "gender_group": group,
            "sequence": naming.sequence,
            "index": naming.index,
            "split": "test" if held_out and naming.sequence is None else "train",
            "pictures": {drawing.extension: [drawing.style, drawing.tone] for drawing in drawings},
            "unchanged": {extension: edits for extension, edits in unchanged.items() if edits},
        }

    def _merge_twins(self) -> dict[str, str]:
        """Return stem -> subject: stems with nearly the same drawing (flags of dependencies) share one."""
        leader = {naming.stem: naming.stem for naming in self.naming.values()}

        def find(stem: str) -> str:
            while leader[stem] != stem:
                stem = leader[stem]
            return stem

        plain = [(self.naming[base].stem, d) for base, ds in self.drawings.items() for d in ds if not d.codes]
        stems = [stem for stem, _ in plain]
        small = np.stack([_thumbnail(drawing.path) for _, drawing in plain])
        for row in range(len(small)):
            distances = np.abs(small[row + 1 :] - small[row]).mean(axis=1)
            for other in np.flatnonzero(distances < TWIN_DISTANCE):
                first, second = sorted((find(stems[row]), find(stems[row + 1 + int(other)])))
                leader[second] = first
        return {stem: find(stem) for stem in leader}


def _drawings(record: dict[str, Any], folders: dict[str, Path]) -> list[Drawing]:
    images = {"": record["image"]}
    images |= {code: variant["image"] for code, variant in record.get("skin_variations", {}).items()}
    return [Drawing(style, code, folder / name) for style, folder in folders.items() for code, name in images.items()]


def _fraction(text: str) -> float:
    """Return a number in [0, 1) that depends on ``text`` alone."""
    return int.from_bytes(hashlib.sha256(f"anyloom-starter:{text}".encode()).digest()[:8], "big") / 2**64


def _webp(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "WEBP", lossless=True, quality=90, method=5)
    return content.getvalue()


def _hardly_changed_by(picture: Image.Image) -> list[str]:
    """Return the names of the pixel edits that one could not tell from doing nothing."""
    pixels = torch.from_numpy(np.array(_on_white(picture))).permute(2, 0, 1)
    changes = {name: edit.apply(pixels).int() - pixels.int() for name, edit in PIXEL_EDITS.items()}
    return [name for name, change in changes.items() if int(change.abs().sum()) < VISIBLE_CHANGE * pixels.numel()]


def _thumbnail(path: Path) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Return the picture on white at 16 x 16 pixels, flat."""
    with Image.open(path) as picture:
        small = _on_white(picture.convert("RGBA")).resize((16, 16), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.int16).reshape(-1)


def _on_white(picture: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    return ground.convert("RGB")
