"""Pictures and clips as the vision tower wants them, and the one-channel pictures of depth and heat.

CLIP's preprocessing through Pillow; clips as in the paper's appendix: two frames of two seconds, short side 224,
squares along the longer side.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from anyloom.conversation import Media
from anyloom.conversation.pixels import to_bytes
from anyloom.errors import MediaError
from anyloom_imagebind.clips import clip_spans
from anyloom_imagebind.stems import FRAMES, IMAGE_SIZE

__all__ = [
    "clip_inputs",
    "crops",
    "disparity",
    "normalised",
    "picture_input",
    "short_side",
    "spread_frames",
    "square",
    "square_plane",
]

_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
_STD: Final = (0.26862954, 0.26130258, 0.27577711)
_DISPARITY_MEAN, _DISPARITY_STD = 0.0418, 0.0295
_NEAREST_M, _FARTHEST_M = 0.01, 50.0


def normalised(pixels: Tensor) -> Tensor:
    """Subtract CLIP's mean and divide by its deviation; ``(3, ...)`` in 0..1."""
    shape = (3,) + (1,) * (pixels.ndim - 1)
    return (pixels - torch.tensor(_MEAN).view(shape)) / torch.tensor(_STD).view(shape)


def picture_input(picture: Tensor, where: str = "") -> Tensor:
    """Return a picture ``(3, H, W)``, uint8 or float in 0..1, as the vision tower's ``(3, 224, 224)``.

    Raises:
        anyloom.errors.MediaError: It is no picture of three channels.
    """
    pixels = to_bytes(picture, where, 3)
    small = square(Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()))
    return normalised(torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255)


def square(picture: Image.Image) -> Image.Image:
    """Resize the shorter side to 224 (bicubic, antialiased) and cut the middle square out."""
    width, height = picture.size
    short = min(width, height)
    size = (width * IMAGE_SIZE // short, height * IMAGE_SIZE // short)
    resized = picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC)
    left, top = (round((side - IMAGE_SIZE) / 2) for side in size)
    return resized.crop((left, top, left + IMAGE_SIZE, top + IMAGE_SIZE))


def clip_inputs(media: Media, clips: int, count: int) -> Tensor:
    """Return a video ``(T, 3, H, W)`` as ``(clips * count, 3, 2, 224, 224)``.

    Args:
        media: The video, uint8 or float in 0..1, with ``fps``; only the frames that are wanted are read.
        clips: Clips of two seconds, evenly spread; they overlap where the video is short.
        count: Squares of each clip, 1 or 3.

    Raises:
        anyloom.errors.MediaError: It is no video, or its rate is unknown.
    """
    fps, length = media.meta.get("fps", 0), media.length()
    if not fps > 0:
        raise MediaError("the frame rate is unknown", where=media.path, fix="give meta={'fps': ...}")
    inputs = []
    for start, end in clip_spans(length / fps, clips):
        first = max(min(math.ceil(fps * start), length - 1), 0)
        last = max(min(math.ceil(fps * end), length), first + 1)
        frames = media.sample(spread_frames(torch.arange(first, last)).tolist()) if length else media.tensor()
        inputs += crops(short_side(to_bytes(frames, media.path, 4)), IMAGE_SIZE, count)
    return torch.stack(inputs)


def spread_frames(frames: Tensor, count: int = FRAMES) -> Tensor:
    """Return ``count`` frames of ``(T, ...)``, evenly spread from the first to the last."""
    return frames[torch.linspace(0, len(frames) - 1, count).long()]


def short_side(frames: Tensor, size: int = IMAGE_SIZE) -> Tensor:
    """Return frames ``(T, 3, H, W)`` uint8 as normalised ``(3, T, H', W')`` with short side ``size``, bilinear."""
    height, width = frames.shape[-2:]
    short = min(height, width)
    to = (math.floor(height / short * size), math.floor(width / short * size))
    small = F.interpolate(frames.float(), to, mode="bilinear", align_corners=False)
    return normalised(small.transpose(0, 1) / 255)


def crops(clip: Tensor, size: int, count: int) -> list[Tensor]:
    """Cut squares out of a clip ``(3, T, H, W)``: the middle one, or three along the longer side, start to end."""
    height, width = clip.shape[-2:]
    top, left = math.ceil((height - size) / 2), math.ceil((width - size) / 2)
    places = [(top, left)]
    if count == 3:
        ends = [(0, left), (height - size, left)] if height > width else [(top, 0), (top, width - size)]
        places = [ends[0], (top, left), ends[1]]
    return [clip[..., y : y + size, x : x + size] for y, x in places]


def square_plane(values: Tensor, where: str = "") -> Tensor:
    """Return one-channel values ``(1, H, W)`` resized and cut like a picture, float32 ``(1, 224, 224)``.

    Raises:
        anyloom.errors.MediaError: There is another number of channels, or a value is not finite.
    """
    if values.ndim != 3 or values.shape[0] != 1 or 0 in values.shape:
        raise MediaError(f"expected a tensor (1, H, W), got {tuple(values.shape)}", where=where)
    plane = values[0].float() / 255 if values.dtype == torch.uint8 else values[0].float()
    if not torch.isfinite(plane).all():
        raise MediaError("the tensor holds NaN or infinite values", where=where, fix="fill the holes first")
    small = square(Image.fromarray(plane.contiguous().numpy()))
    return torch.from_numpy(np.array(small)).unsqueeze(0)


def disparity(depth: Tensor, focal_length: float, baseline: float, where: str = "") -> Tensor:
    """Return depth ``(1, H, W)`` in metres as standardised disparity ``(1, 224, 224)``.

    ImageBind publishes no depth loader; this follows what Omnivore's authors, whose recipe the paper takes over, give
    for SUN RGB-D: depth clamped to 0.01..50 m, ``baseline * focal_length / depth``, mean 0.0418, deviation 0.0295.

    Args:
        depth: Float, in metres, holes filled.
        focal_length: In pixels.
        baseline: In metres.
        where: Place for the error message.

    Raises:
        anyloom.errors.MediaError: It is no depth picture.
    """
    if not depth.is_floating_point():
        raise MediaError(f"depth is float and in metres, got {depth.dtype}", where=where, fix="convert it to metres")
    shifted = baseline * focal_length / depth.clamp(_NEAREST_M, _FARTHEST_M)
    return (square_plane(shifted, where) - _DISPARITY_MEAN) / _DISPARITY_STD
