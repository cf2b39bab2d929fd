"""Pictures of real life: damaged blocks, deep and float values, animations, bombs, other containers."""

from __future__ import annotations

import contextlib
import io
import random
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anyloom.conversation import Media
from anyloom.errors import AnyloomError, ConfigError, MediaError
from anyloom.media import io_for, read_media
from anyloom_media.image import ImageIO

FILES = Path(__file__).parents[2] / "fixtures" / "media"
IO = ImageIO.from_options()


@pytest.mark.filterwarnings("ignore")  # Pillow's own, of the expected pixels
@pytest.mark.parametrize("name", ["fuzzed_1.jpg", "fuzzed_2.jpg", "fuzzed_3.jpg", "ex_neg.jpg"])
def test_picture_with_a_broken_exif_block_is_read(name: str) -> None:
    with Image.open(FILES / name) as picture:
        expected = np.asarray(picture.convert("RGB"))
    data = (IO.read(FILES / name).tensor() * 255).round().permute(1, 2, 0).numpy()
    assert sorted(data.flatten()) == sorted(expected.flatten()), "the same pixels, turned at most"


def mutants(count: int, tmp_path: Path) -> list[str]:
    """Read JPEGs with one to three changed bytes in their EXIF block; return what is no AnyloomError."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8769] = 6, "maker", {0x9003: "2026:01:01 00:00:00", 0x829A: (1, 60)}
    buffer = io.BytesIO()
    Image.new("RGB", (16, 8), "red").save(buffer, "JPEG", exif=exif)
    original = buffer.getvalue()
    start, length = original.index(b"Exif"), len(exif.tobytes())
    draw, raw = random.Random(0), []
    path = tmp_path / "a.jpg"
    for _ in range(count):
        content = bytearray(original)
        for _ in range(draw.randint(1, 3)):
            content[start + draw.randrange(length)] = draw.randrange(256)
        path.write_bytes(content)
        try:
            assert IO.read(path).tensor().numel() == 3 * 16 * 8
        except MediaError:
            pass
        except Exception as error:
            raw.append(repr(error))
    return raw


def test_changed_bytes_in_exif_raise_nothing_raw(tmp_path: Path) -> None:
    assert mutants(300, tmp_path) == []


@pytest.mark.slow
def test_six_thousand_changed_exif_blocks_raise_nothing_raw(tmp_path: Path) -> None:
    assert mutants(6000, tmp_path) == []


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".tif", ".bmp", ".avif"])
def test_changed_bytes_anywhere_raise_nothing_raw(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (24, 31, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, Image.registered_extensions()[suffix])
    draw, path = random.Random(0), tmp_path / f"a{suffix}"
    for _ in range(60):
        content = bytearray(buffer.getvalue())
        for _ in range(draw.randint(1, 8)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content)
        with contextlib.suppress(MediaError):  # what Pillow's decoders raise is no MediaError
            IO.read(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations(tmp_path: Path, orientation: int) -> None:
    upright = torch.arange(6 * 4 * 3, dtype=torch.uint8).view(6, 4, 3)
    stored = {  # how each camera position stores what stands upright (EXIF 2.3, tag 274)
        1: lambda x: x,
        2: lambda x: x.flip(1),
        3: lambda x: x.flip(0, 1),
        4: lambda x: x.flip(0),
        5: lambda x: x.transpose(0, 1),
        6: lambda x: torch.rot90(x, 1),
        7: lambda x: x.flip(0, 1).transpose(0, 1),
        8: lambda x: torch.rot90(x, -1),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored.contiguous().numpy()).save(tmp_path / "a.png", exif=exif)
    back = (IO.read(tmp_path / "a.png").tensor() * 255).round().to(torch.uint8).permute(1, 2, 0)
    assert torch.equal(back, upright)


@pytest.mark.parametrize(("scale", "kind"), [(1, np.float32), (255, np.float32), (65535, np.float32)])
def test_float_picture_on_any_scale(tmp_path: Path, scale: float, kind: type) -> None:
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    Image.fromarray((values * scale).astype(kind)).save(tmp_path / "a.tif")
    back = IO.read(tmp_path / "a.tif").tensor()
    torch.testing.assert_close(back, torch.from_numpy(values).expand(3, 3, 4), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("top", [255, 65535])
def test_whole_numbers_of_32_bits_are_not_black(tmp_path: Path, top: int) -> None:
    values = np.linspace(0, top, 64).round().astype(np.int32).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "deep.tiff")
    read = read_media(tmp_path / "deep.tiff").tensor()
    np.testing.assert_allclose(read[0].numpy(), values / top, atol=1e-6)


def test_the_float_picture_of_the_report_is_not_black() -> None:
    with Image.open(FILES / "f01.tif") as picture:
        expected = float(np.asarray(picture).mean())
    assert float(IO.read(FILES / "f01.tif").tensor().mean()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e6])
def test_float_picture_that_is_none_is_refused(tmp_path: Path, value: float) -> None:
    Image.fromarray(np.array([[0.5, value]], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(MediaError, match="its values go from") as caught:
        IO.read(tmp_path / "a.tif")
    assert caught.value.where == str(tmp_path / "a.tif")


def test_sixteen_bit_rgb_keeps_eight_bits(tmp_path: Path) -> None:
    """Pillow has no mode for it; the file is built from the PNG specification."""
    row = b"\x00" + b"".join(v.to_bytes(2, "big") for v in (65535, 32768, 0, 257, 514, 771))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content)
    back = (IO.read(tmp_path / "a.png").tensor() * 255).round()[:, 0].T.tolist()
    assert back == [[255, 128, 0], [1, 2, 3]]


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "lime")]
    for suffix in (".gif", ".webp", ".png", ".tif"):
        path = tmp_path / f"a{suffix}"
        frames[0].save(
            path, save_all=True, append_images=frames[1:], **({"lossless": True} if suffix == ".webp" else {})
        )
        assert IO.read(path).tensor()[:, 0, 0].tolist() == [1, 0, 0], suffix


def test_avif_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (32, 16), (200, 40, 90)).save(tmp_path / "a.avif", quality=95)
    back = read_media(tmp_path / "a.avif").tensor() * 255
    assert (back - torch.tensor([200, 40, 90]).view(3, 1, 1)).abs().max() < 4


def test_heic_is_read_where_its_package_is(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (32, 16), (200, 40, 90))).save(tmp_path / "a.heic", quality=95)
    back = read_media(tmp_path / "a.heic").tensor() * 255
    assert (back - torch.tensor([200, 40, 90]).view(3, 1, 1)).abs().max() < 4


def test_heic_names_its_cure_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anyloom_media.image.missing_modules", lambda names: list(names))
    (tmp_path / "a.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + b"\x00" * 40)
    with pytest.raises(MediaError, match=r"pillow-heif.*pip install 'anyloom\[heic\]'"):
        read_media(tmp_path / "a.heic")


@pytest.mark.parametrize("suffix", [".png", ".eps", ".pdf", ".svg", ".dat"])
def test_programs_and_drawings_are_no_pictures(tmp_path: Path, suffix: str) -> None:
    """Whatever they are called: nothing is run for them, and no entity of an XML is followed."""
    (tmp_path / "secret.txt").write_text("secret")
    texts = ["%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", "%PDF-1.4\n1 0 obj\n"]
    texts.append(f'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY e SYSTEM "file://{tmp_path}/secret.txt">]><svg>&e;</svg>')
    for text in texts:
        (tmp_path / f"a{suffix}").write_text(text)
        with pytest.raises(MediaError, match="its content is none of PNG"):
            read_media(tmp_path / f"a{suffix}", "image")


def bomb(path: Path, side: int, mode: str = "1") -> None:
    """A black PNG of ``side`` x ``side`` written row by row, without the memory for it."""
    bits, colour = {"1": (1, 0), "RGBA": (8, 6)}[mode]
    row = b"\x00" * (1 + (side * bits * (4 if colour else 1) + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    size = side.to_bytes(4, "big")
    header = chunk(b"IHDR", size + size + bytes([bits, colour, 0, 0, 0]))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b""))


@pytest.mark.parametrize(("side", "mode"), [(13_000, "1"), (9_000, "RGBA"), (30_000, "1")])
def test_bomb_is_refused_before_memory_is_taken(tmp_path: Path, side: int, mode: str) -> None:
    bomb(tmp_path / "a.png", side, mode)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MediaError, match="pixels"):
        IO.read(tmp_path / "a.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


def test_limit_is_an_option(tmp_path: Path) -> None:
    path = IO.write(Media("image", torch.zeros(3, 10, 10)), tmp_path / "a.png")
    with pytest.raises(MediaError, match=r"100 pixels are more than the limit of 99.*max_pixels"):
        read_media(path, options={"max_pixels": 99})
    assert read_media(path, options={"max_pixels": 100}).tensor().shape == (3, 10, 10)
    lazy = read_media(path, lazy=True, options={"max_pixels": 99})
    with pytest.raises(MediaError, match="max_pixels"):
        lazy.tensor()
    with pytest.raises(ConfigError, match=r"max_pixel.*did you mean 'max_pixels'"):
        io_for("image", {"max_pixel": 3})


def test_large_jpeg_is_decoded_at_the_size_that_is_enough(tmp_path: Path) -> None:
    x = torch.linspace(0, 1, 800).expand(3, 640, 800)
    path = IO.write(Media("image", x), tmp_path / "a.jpg")
    media = read_media(path, lazy=True)
    small = media.sample(side=100)
    assert small.dtype == torch.uint8
    assert small.shape == (3, 160, 200)  # 1/4: the last of 1/2, 1/4, 1/8 whose shorter side is 100 or more
    assert media.sample(side=600).shape == (3, 640, 800)
    assert (small[0, 80].float() / 255 - torch.linspace(0, 1, 200)).abs().max() < 0.02
    assert torch.equal(media.sample(), (media.tensor() * 255).round().to(torch.uint8))


def test_float_picture_in_bytes_range_is_refused_and_not_made_white(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"values from 255 to 255.*divide them by 255"):
        IO.write(Media("image", torch.full((3, 2, 2), 255.0)), tmp_path / "a.png")


def test_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.png")
    code = f"""
import anyloom
for modality in ("image", "audio", "video", None):
    try:
        anyloom.read_media({str(tmp_path / "a.png")!r}, modality)
    except anyloom.AnyloomError as error:
        print(error.what)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["there is no such file"] * 4


def test_name_that_no_file_can_have() -> None:
    for name in ("a" * 300 + ".png", "a\0b.png"):
        with pytest.raises(AnyloomError):
            read_media(name)


def test_bytes_of_a_file_reach_encoders_that_want_bytes_unchanged(tmp_path: Path) -> None:
    """Not by way of floats, which take four times the memory; and to the same values."""
    from anyloom_imagebind.pictures import picture_input

    data = torch.randint(0, 256, (3, 300, 260), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    path = IO.write(Media("image", data), tmp_path / "a.png")
    media = read_media(path, lazy=True)
    assert torch.equal(media.sample(), data)
    assert torch.equal(picture_input(media.sample()), picture_input(media.tensor()))
