"""Reduce a picture with transparency to few colours, the same way on every machine.

All sums are integers (or floats that hold integers exactly), so the result does not depend on the
processor, the number of threads or the BLAS behind numpy.
"""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt
from PIL import Image

Integers = npt.NDArray[np.int64]

_SHIFTS = np.array([24, 16, 8, 0], dtype=np.int64)
_REFINEMENTS = 2


def quantise(picture: Image.Image, num_colours: int) -> Image.Image:
    """Return ``picture`` with at most ``num_colours`` colours, fully clear pixels included.

    The palette is found in premultiplied RGBA, where the distance of two colours is how different they
    look on a dark ground and the colour of clear pixels does not matter: boxes are split along their
    widest axis, then refined by Lloyd's steps.

    Args:
        picture: An RGBA picture of any size.
        num_colours: Size of the palette, at least 1.
    """
    pixels = np.asarray(picture, dtype=np.int64).reshape(-1, 4)
    premultiplied = pixels.copy()
    premultiplied[:, :3] = (pixels[:, :3] * pixels[:, 3:] + 127) // 255
    packed, where, counts = np.unique((premultiplied << _SHIFTS).sum(axis=1), return_inverse=True, return_counts=True)
    colours = (packed[:, None] >> _SHIFTS) & 255
    if len(colours) > num_colours:
        palette = _refine(_split_boxes(colours, counts, num_colours), colours, counts)
        colours = palette[_nearest(colours, palette)]
    alpha = colours[:, 3:]
    straight = (colours[:, :3] * 255 + alpha // 2) // np.maximum(alpha, 1)
    colours = np.concatenate([np.minimum(straight, 255), alpha], axis=1)
    width, height = picture.size
    return Image.fromarray(colours[where].reshape(height, width, 4).astype(np.uint8))


def _split_boxes(colours: Integers, counts: Integers, num_colours: int) -> Integers:
    """Return ``num_colours`` mean colours of boxes; the box with the largest error is split first."""

    def error(members: Integers) -> npt.NDArray[np.float64]:
        weights = counts[members, None]
        mean = (colours[members] * weights).sum(axis=0) / weights.sum()
        return (((colours[members] - mean) ** 2) * weights).sum(axis=0)

    everything = np.arange(len(colours))
    boxes: list[tuple[float, int, Integers]] = [(-float(error(everything).max()), 0, everything)]
    serial = 0
    while len(boxes) < num_colours and boxes[0][0] < 0:
        _, _, members = heapq.heappop(boxes)
        axis = int(error(members).argmax())
        values = colours[members, axis]
        left = values * counts[members].sum() <= (values * counts[members]).sum()
        for half in (members[left], members[~left]):
            serial += 1
            heapq.heappush(boxes, (-float(error(half).max()) if len(half) > 1 else 0.0, serial, half))
    return np.stack([_mean(colours[members], counts[members]) for _, _, members in boxes])


def _refine(palette: Integers, colours: Integers, counts: Integers) -> Integers:
    """Return ``palette`` after a few of Lloyd's steps; an entry without pixels stays where it is."""
    for _ in range(_REFINEMENTS):
        owner = _nearest(colours, palette)
        weights = np.bincount(owner, counts, len(palette)).astype(np.int64)[:, None]
        sums = [np.bincount(owner, colours[:, channel] * counts, len(palette)) for channel in range(4)]
        means = (2 * np.stack(sums, axis=1).astype(np.int64) + weights) // np.maximum(2 * weights, 1)
        palette = np.where(weights > 0, means, palette)
    return palette


def _mean(colours: Integers, counts: Integers) -> Integers:
    """Return the weighted mean colour, rounded half up."""
    total = (colours * counts[:, None]).sum(axis=0)
    return (2 * total + counts.sum()) // (2 * counts.sum())


def _nearest(colours: Integers, palette: Integers) -> Integers:
    """Return for each colour the index of the nearest palette entry (exact in float32: values < 2**24)."""
    product = colours.astype(np.float32) @ palette.astype(np.float32).T
    return ((palette**2).sum(axis=1) - 2 * product.astype(np.int64)).argmin(axis=1)
