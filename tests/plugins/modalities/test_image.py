"""Pictures through real files."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anyloom.conversation.segments import Media
from anyloom.errors import MediaError
from anyloom_media.image import ImageIO

IO = ImageIO.from_options()


def picture(height: int = 12, width: int = 18) -> torch.Tensor:
    """A uint8 picture whose channels and corners all differ."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 5]).to(torch.uint8)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif"])
def test_lossless_formats_give_back_every_value(tmp_path: Path, suffix: str) -> None:
    data = picture()
    path = IO.write(Media("image", data), tmp_path / f"a{suffix}")
    media = IO.read(path)
    assert media.tensor().dtype == torch.float32
    assert media.path == str(path)
    torch.testing.assert_close(media.tensor(), data.float() / 255, rtol=0, atol=0)


def test_pillow_sees_the_same_colours(tmp_path: Path) -> None:
    data = picture()
    IO.write(Media("image", data.float() / 255), tmp_path / "a.png")
    seen = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert (seen == data.permute(1, 2, 0).numpy()).all()


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_jpeg_keeps_plain_colours(tmp_path: Path, suffix: str) -> None:
    data = torch.zeros(3, 32, 32)
    data[0, :, :16], data[1, :, 16:], data[2] = 0.9, 0.7, 0.2
    back = IO.read(IO.write(Media("image", data), tmp_path / f"a{suffix}")).tensor()
    assert (back - data).abs().max() < 0.03


def test_transparency_is_composited_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0] = [[255, 0, 0, 255], [255, 0, 0, 51], [0, 0, 0, 0]]
    Image.fromarray(rgba).save(tmp_path / "a.png")
    expected = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.8, 1.0], [0.0, 0.8, 1.0]])
    torch.testing.assert_close(IO.read(tmp_path / "a.png").tensor()[:, 0], expected)


def test_palette_with_a_transparent_entry(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 255, 10, 20, 30])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.gif", transparency=1)
    assert IO.read(tmp_path / "a.gif").tensor()[:, 0].T.tolist() == [[0, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize("mode", ["L", "1", "CMYK", "LA"])
def test_other_pixel_modes_become_three_channels(tmp_path: Path, mode: str) -> None:
    Image.new("L", (4, 3), 255).convert(mode).save(tmp_path / "a.tif")
    torch.testing.assert_close(IO.read(tmp_path / "a.tif").tensor(), torch.ones(3, 3, 4))


def test_sixteen_bit_grey_keeps_its_precision(tmp_path: Path) -> None:
    values = np.array([[0, 300, 32768, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    expected = torch.from_numpy(values.astype(np.float32) / 65535).expand(3, 1, 4)
    torch.testing.assert_close(IO.read(tmp_path / "a.png").tensor(), expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_grey_of_a_png_is_white(tmp_path: Path, depth: int) -> None:
    """The chunk tRNS of the PNG specification names one grey; the other one stays."""
    row = b"".join(value.to_bytes(depth // 8, "big") for value in (100, 0))
    chunks = [
        (b"IHDR", (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([depth, 0, 0, 0, 0])),
        (b"tRNS", (100).to_bytes(2, "big")),
        (b"IDAT", zlib.compress(b"\0" + row)),
        (b"IEND", b""),
    ]
    written = (len(c).to_bytes(4, "big") + n + c + zlib.crc32(n + c).to_bytes(4, "big") for n, c in chunks)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))
    assert IO.read(tmp_path / "a.png").tensor()[:, 0].T.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_dark_sixteen_bit_grey_stays_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 200, np.uint16)).save(tmp_path / "a.png")
    torch.testing.assert_close(IO.read(tmp_path / "a.png").tensor(), torch.full((3, 2, 2), 200 / 65535))


def test_camera_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.fromarray(picture().permute(1, 2, 0).contiguous().numpy())
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    expected = torch.rot90(picture().float() / 255, -1, (1, 2))
    torch.testing.assert_close(IO.read(tmp_path / "a.png").tensor(), expected)


def test_values_beyond_the_range_are_clamped(tmp_path: Path) -> None:
    data = torch.tensor([-0.2, 0.5, 1.3]).view(3, 1, 1)
    back = IO.read(IO.write(Media("image", data), tmp_path / "a.png")).tensor()
    assert (back * 255).round().flatten().tolist() == [0, 128, 255]


def test_a_normalised_picture_is_refused(tmp_path: Path) -> None:
    """What ``Normalize(0.5, 0.5)`` makes of black and white."""
    with pytest.raises(MediaError, match=r"values from -1 to 1.*\(x \+ 1\) / 2"):
        IO.write(Media("image", torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1)), tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tif"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 64, 64, generator=generator)
    path = IO.write(Media("image", noise), tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(MediaError, match="not a readable image") as caught:
        IO.read(path)
    assert caught.value.where == str(path)
    assert "again" in caught.value.fix


@pytest.mark.parametrize(("content", "message"), [(b"hello, I am text", "not a readable image"), (b"", "is empty")])
def test_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(MediaError, match=message):
        IO.read(tmp_path / "a.png")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        IO.read(tmp_path / "a.png")
    with pytest.raises(MediaError, match="a folder"):
        IO.read(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.zeros(1, 4, 4), r"expected a tensor \(3, H, W\), got \(1, 4, 4\)"),
        (torch.zeros(2, 3, 4, 4), "expected a tensor"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "int64"),
        (torch.full((3, 4, 4), torch.nan), "NaN"),
    ],
)
def test_tensors_that_are_no_pictures(tmp_path: Path, data: torch.Tensor, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        IO.write(Media("image", data), tmp_path / "a.png")


def test_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"'\.xyz' files.*use one of \.png"):
        IO.write(Media("image", picture()), tmp_path / "a.xyz")


def test_html_is_one_picture_enlarged_by_a_whole_factor() -> None:
    html = IO.to_html(Media("image", picture(12, 18)))
    assert html.startswith('<img src="data:image/png;base64,')
    assert 'width="162" height="108"' in html
    assert "pixelated" in html
    assert "http" not in html
