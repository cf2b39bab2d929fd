"""What pictures of the pack do in clips: frames of moving, turning, growing, fading and flashing pictures.

A motion has sixteen moments. A clip shows eight of them in 2.56 seconds, as long as a sound of the pack may be: every
second one (``whole``), the earlier half (``first``) or the later half (``second``), which is what happens next.
Frames are uint8 (8, 3, 64, 64) on a white ground; the same on every machine but for the rounding of turned and scaled
pixels.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom_starter.pack import SAMPLE_RATE
from anyloom_starter.sound_edits import MAX_SAMPLES

__all__ = ["CLIP_RATE", "FRAMES", "MOTIONS", "PARTS", "REVERSED", "click", "flash", "frames", "motion_phrasings"]

FRAMES: Final = 8
CLIP_RATE: Final = FRAMES * SAMPLE_RATE / MAX_SAMPLES  # 3.125 frames a second
MOMENTS: Final = 16
REACH: Final = 24  # pixels from the middle at which a moving picture begins and ends
SMALL: Final = 0.4
FAINT: Final = 0.1
DIM: Final = 0.35
CLICK_SAMPLES: Final = 3200

Part = Literal["whole", "first", "second"]

# Which of the sixteen moments a clip shows; backwards, a whole one shows the same moments.
PARTS: Final[dict[str, tuple[int, ...]]] = {
    "whole": (0, 2, 4, 6, 9, 11, 13, 15),
    "first": tuple(range(8)),
    "second": tuple(range(8, 16)),
}

# Name -> ways to ask for it, and the words of a caption.
_WORDS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "move-left": (("move to the left", "slide to the left", "go left"), "moving to the left"),
    "move-right": (("move to the right", "slide to the right", "go right"), "moving to the right"),
    "move-up": (("move up", "rise", "slide upwards"), "moving up"),
    "move-down": (("move down", "sink", "slide downwards"), "moving down"),
    "turn-left": (("turn to the left", "rotate counterclockwise", "tip over to the left"), "turning to the left"),
    "turn-right": (("turn to the right", "rotate clockwise", "tip over to the right"), "turning to the right"),
    "grow": (("grow", "become larger", "come closer"), "growing"),
    "shrink": (("shrink", "become smaller", "go away"), "shrinking"),
    "fade-out": (("fade out", "disappear", "vanish slowly"), "fading out"),
    "fade-in": (("fade in", "appear", "appear slowly"), "fading in"),
}
MOTIONS: Final = tuple(_WORDS)
REVERSED: Final = {
    "move-left": "move-right", "move-right": "move-left", "move-up": "move-down", "move-down": "move-up",
    "grow": "shrink", "shrink": "grow", "fade-out": "fade-in", "fade-in": "fade-out",
}  # fmt: skip


def motion_phrasings(motion: str) -> tuple[str, ...]:
    """Return the ways to ask for a motion.

    >>> motion_phrasings("grow")
    ('grow', 'become larger', 'come closer')
    """
    return _WORDS[motion][0]


def motion_caption(motion: str) -> str:
    """Return what a caption says of a motion, such as ``moving up``.

    >>> motion_caption("move-up")
    'moving up'
    """
    return _WORDS[motion][1]


def frames(pixels: Tensor, motion: str, part: str) -> Tensor:
    """Return the frames (8, 3, 64, 64) of a picture (3, 64, 64), uint8, that does something.

    Args:
        pixels: The picture on a white ground.
        motion: One of :data:`MOTIONS`.
        part: One of :data:`PARTS`.

    >>> shown = frames(torch.zeros(3, 64, 64, dtype=torch.uint8), "fade-out", "whole")
    >>> tuple(shown.shape), bool((shown[1:] >= shown[:-1]).all())  # it gets lighter, towards the white ground
    ((8, 3, 64, 64), True)
    """
    shares = [moment / (MOMENTS - 1) for moment in PARTS[part]]
    family, _, direction = motion.partition("-")
    if family == "move":
        return torch.stack([_moved(pixels, round((2 * share - 1) * REACH), direction) for share in shares])
    if family == "fade":
        return torch.stack([_faded(pixels, share if direction == "out" else 1 - share) for share in shares])
    if family == "turn":
        sign = 1 if direction == "left" else -1
        return torch.stack([_placed(pixels, angle=sign * share * math.pi / 2) for share in shares])
    return torch.stack([_placed(pixels, scale=SMALL + (1 - SMALL) * abs(s - (motion == "shrink"))) for s in shares])


def flash(pixels: Tensor, moment: int) -> Tensor:
    """Return frames (8, 3, 64, 64) of a picture in the dark that is lit in one frame, 0 to 7.

    >>> shown = flash(torch.full((3, 64, 64), 200, dtype=torch.uint8), moment=2)
    >>> [index for index, frame in enumerate(shown) if int(frame.max()) == 200]
    [2]
    """
    dark = (pixels.float() * DIM).round().to(torch.uint8)
    return torch.stack([pixels if index == moment else dark for index in range(FRAMES)])


def click(moment: int) -> Tensor:
    """Return 2.56 seconds of silence, float32 (1, T), with one short noise when frame ``moment`` begins.

    >>> wave = click(4)
    >>> int(wave[0].nonzero()[0]) / wave.shape[1]  # frame 4 of 8 begins in the middle
    0.5
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(CLICK_SAMPLES, generator=generator) * 1.6 - 0.8
    burst = noise * torch.exp(-torch.arange(CLICK_SAMPLES) / (CLICK_SAMPLES / 4))
    wave = torch.zeros(1, MAX_SAMPLES)
    start = moment * MAX_SAMPLES // FRAMES
    wave[0, start : start + CLICK_SAMPLES] = burst
    return wave


def _moved(pixels: Tensor, distance: int, direction: str) -> Tensor:
    """Move by pixels; what was not there is white."""
    across = direction in ("left", "right")
    by = -distance if direction in ("left", "up") else distance
    moved = torch.full_like(pixels, 255)
    size = pixels.shape[-1]
    old, new = slice(max(0, -by), size - max(0, by)), slice(max(0, by), size - max(0, -by))
    if across:
        moved[..., new] = pixels[..., old]
    else:
        moved[..., new, :] = pixels[..., old, :]
    return moved


def _faded(pixels: Tensor, share: float) -> Tensor:
    strength = 1 - (1 - FAINT) * share
    return (255 - strength * (255 - pixels.float())).round().to(torch.uint8)


def _placed(pixels: Tensor, angle: float = 0.0, scale: float = 1.0) -> Tensor:
    """Turn counterclockwise by an angle in radians, or scale; what lies outside is white."""
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    grid = F.affine_grid(torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]]), [1, *pixels.shape], align_corners=False)
    ink = F.grid_sample(255 - pixels.float()[None], grid, mode="bilinear", align_corners=False)[0]
    return (255 - ink).round().clamp(0, 255).to(torch.uint8)
