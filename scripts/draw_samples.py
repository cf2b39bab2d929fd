"""Draw the picture and the sound that ship as ``anyloom.sample(...)``; dedicated to the public domain (CC0)."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from anyloom.media import Media, write_media

FOLDER = Path(__file__).parents[1] / "core" / "anyloom" / "media" / "samples"
SIDE, SMOOTH = 192, 4


def hat() -> Media:
    """A red top hat with a dark band on white."""
    picture = Image.new("RGB", (SIDE * SMOOTH, SIDE * SMOOTH), "white")
    draw = ImageDraw.Draw(picture)

    def box(left: int, top: int, right: int, bottom: int) -> tuple[int, ...]:
        return tuple(SMOOTH * x for x in (left, top, right, bottom))

    draw.ellipse(box(16, 128, 176, 164), fill=(150, 24, 34))
    draw.rectangle(box(52, 44, 140, 144), fill=(200, 36, 48))
    draw.ellipse(box(52, 132, 140, 154), fill=(200, 36, 48))
    draw.rectangle(box(52, 112, 140, 136), fill=(40, 32, 48))
    draw.ellipse(box(52, 126, 140, 146), fill=(40, 32, 48))
    draw.ellipse(box(52, 34, 140, 56), fill=(226, 78, 84))
    return Media.from_pil(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def bell() -> Media:
    """A struck bell, one second: five decaying partials."""
    rate = 16000
    time = torch.arange(rate) / rate
    partials = ((1, 1.0, 2.5), (2, 0.6, 4), (2.4, 0.5, 5), (3, 0.35, 6), (4.5, 0.2, 9))
    wave = sum(a * torch.exp(-d * time) * torch.sin(2 * math.pi * 440 * f * time) for f, a, d in partials)
    fade = (time * 200).clamp(max=1) * ((1 - time) * 50).clamp(max=1)
    return Media("audio", (0.3 * wave * fade)[None], meta={"sample_rate": rate})


if __name__ == "__main__":
    print(write_media(hat(), FOLDER / "hat.png"), write_media(bell(), FOLDER / "bell.flac"))
