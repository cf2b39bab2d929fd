"""Resizing against Pillow's, and what each fit keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from anyloom.errors import ConfigError, MediaError
from anyloom.signal.resizing import covering_size, inner_size, nearest_aspect, resized, without_padding


def pillow(plane: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """One channel of floats at another size, by Pillow's bicubic filter."""
    image = Image.fromarray(plane.numpy()).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image))


SIZES = [(48, 80, (16, 16)), (80, 48, (16, 16)), (33, 47, (20, 12)), (9, 7, (32, 40)), (16, 16, (16, 16))]


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_cover_is_pillows_resize_and_a_middle_cut(height: int, width: int, size: tuple[int, int]) -> None:
    picture = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    scale = max(size[0] / height, size[1] / width)
    scaled = max(size[0], int(height * scale + 1e-9)), max(size[1], int(width * scale + 1e-9))
    top, left = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    whole = torch.stack([pillow(plane, scaled) for plane in picture]).clamp(0, 1)
    expected = whole[:, top : top + size[0], left : left + size[1]]
    torch.testing.assert_close(resized(picture, size), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_padding_holds_the_whole_picture_and_comes_off_again(height: int, width: int, size: tuple[int, int]) -> None:
    picture = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    padded = resized(picture, size, fit="pad", fill=1.0)
    inside = without_padding(padded, height, width)
    assert padded.shape == (3, *size)
    expected = torch.stack([pillow(plane, tuple(inside.shape[-2:])) for plane in picture])  # type: ignore[arg-type]
    torch.testing.assert_close(inside, expected.clamp(0, 1), rtol=0, atol=2e-3)
    assert int((padded == 1).all(0).sum()) == size[0] * size[1] - inside.shape[-2] * inside.shape[-1]


@pytest.mark.parametrize("fit", ["cover", "pad", "squeeze"])
def test_bytes_and_floats_agree_and_clips_are_pictures_one_by_one(fit: str) -> None:
    clip = torch.randint(0, 256, (2, 4, 3, 30, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    small = resized(clip, (20, 24), fit=fit)  # type: ignore[arg-type]
    assert small.dtype == torch.uint8
    assert small.shape == (2, 4, 3, 20, 24)
    floats = resized(clip.float() / 255, (20, 24), fit=fit)  # type: ignore[arg-type]
    assert (small.float() / 255 - floats).abs().max() <= 0.51 / 255
    assert torch.equal(small[1, 2], resized(clip[1, 2], (20, 24), fit=fit))  # type: ignore[arg-type]


def test_a_centred_disc_stays_a_disc_unless_it_is_squeezed() -> None:
    """The proportions of what is in the middle: 2:1 pictures, square targets."""
    y, x = torch.meshgrid(torch.arange(100) - 49.5, torch.arange(200) - 99.5, indexing="ij")
    disc = (x * x + y * y < 30 * 30).float().expand(3, -1, -1)

    def proportions(picture: torch.Tensor) -> float:
        inside = picture[0] > 0.5
        return float(inside.any(0).sum()) / float(inside.any(1).sum())

    assert proportions(resized(disc, (64, 64))) == pytest.approx(1, abs=0.06)
    assert proportions(resized(disc, (64, 64), fit="pad", fill=0.0)) == pytest.approx(1, abs=0.12)
    assert proportions(resized(disc, (64, 64), fit="squeeze")) == pytest.approx(0.5, abs=0.06)


def test_sizes_of_one_pixel() -> None:
    assert resized(torch.rand(3, 1, 500), (4, 4)).shape == (3, 4, 4)
    assert resized(torch.rand(3, 1, 500), (4, 4), fit="pad").shape == (3, 4, 4)
    assert covering_size(1, 500, (4, 4)) == (4, 2000)
    assert inner_size(1, 500, (4, 4)) == (1, 4)


def test_a_long_strip_costs_little() -> None:
    strip = torch.zeros(3, 2, 60_000)
    strip[..., 30_000:] = 1
    small = resized(strip, (256, 256))
    assert small.shape == (3, 256, 256)
    assert (float(small[0, 9, 20]), float(small[0, 9, 235])) == (0, 1), "its middle is kept"


def test_the_aspect_is_that_of_the_nearest_size() -> None:
    known = [(512, 512), (448, 768), (768, 448)]
    assert [nearest_aspect(h, w, known) for h, w in ((300, 310), (300, 900), (900, 300))] == known


@pytest.mark.parametrize("pixels", [torch.zeros(4, 4), torch.zeros(3, 0, 4), torch.zeros(3, 4, 4, dtype=torch.int64)])
def test_no_picture(pixels: torch.Tensor) -> None:
    with pytest.raises(MediaError, match="expected pixels"):
        resized(pixels, (2, 2))


def test_no_size_and_no_fit() -> None:
    for size, fit in (((0, 4), "cover"), ((4, 4), "stretch")):
        with pytest.raises(ConfigError, match="cover, pad, squeeze"):
            resized(torch.rand(3, 8, 8), size, fit=fit)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no size to choose from"):
        nearest_aspect(2, 2, [])
