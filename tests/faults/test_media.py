"""Rows 1 to 11: media files that are broken, hostile or too much."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from anyloom.cli.main import main
from anyloom.errors import ConfigError, MediaError
from anyloom.media import Isolation, isolated, read_media, write_media
from faults.rows import in_child, read, row
from parts import picture


def image(path: Path) -> dict[str, str]:
    return {"type": "image", "path": path.name}


def clip(path: Path, times: list[int] | None = None, container: str | None = None) -> Path:
    """A clip whose frame n is of the brightness 20 n."""
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream("mpeg2video" if container == "mpegts" else "libx264", rate=25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 25)
        for number, pts in enumerate(times if times is not None else range(10)):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * number, np.uint8), format="rgb24")
            frame.pts = pts
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@row(1, "media", done="JPEG and PNG cut at 60 %", promise="skipped, counted as truncated")
def test_truncated_pictures(tmp_path: Path) -> None:
    files = [write_media(picture(n), tmp_path / f"{n}{suffix}") for n, suffix in enumerate((".png", ".jpg", ".png"))]
    for file in files[:2]:
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
    batches, counts, examples = read(tmp_path, [image(f) for f in files])
    assert counts == {"used": 1, "truncated": 2}
    assert len(batches) == 1
    assert all("train.jsonl" in text or ".png" in text or ".jpg" in text for text in examples["truncated"])


@row(2, "media", done="files of zero bytes, and missing ones", promise="skipped, counted as truncated or missing")
def test_empty_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a.wav").touch()
    parts = [image(tmp_path / "a.png"), {"type": "audio", "path": "a.wav"}, image(tmp_path / "none.png")]
    _, counts, _ = read(tmp_path, parts)
    assert counts == {"used": 0, "truncated": 2, "missing": 1}


@row(3, "media", done="a clip called .jpg; a file that is GIF and ZIP at once", promise="formats by content, of a list")
def test_wrong_extensions_and_polyglots(tmp_path: Path) -> None:
    clip(tmp_path / "a.mp4").rename(tmp_path / "a.jpg")
    write_media(picture(1), tmp_path / "b.gif")
    import zipfile

    with zipfile.ZipFile(tmp_path / "b.gif", "a") as archive:
        archive.writestr("evil.py", "raise SystemExit")
    (tmp_path / "c.png").write_bytes((tmp_path / "b.gif").read_bytes())
    batches, counts, _ = read(tmp_path, [image(tmp_path / n) for n in ("a.jpg", "b.gif", "c.png")])
    assert counts == {"used": 2, "wrong format": 1}
    assert torch.equal(batches[0][0], batches[1][0]), "the picture, whatever the file is called"


@row(4, "media", done="a picture of 30,000 x 30,000 pixels in 110 kB", promise="refused, less than 100 MB taken")
def test_decompression_bomb(tmp_path: Path) -> None:
    side, place = 30_000, tmp_path / "bomb.png"
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side // 8)) for _ in range(side)) + packer.flush()
    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    made = [len(c).to_bytes(4, "big") + n + c + zlib.crc32(n + c).to_bytes(4, "big") for n, c in chunks]
    place.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(made))
    found, grown = in_child(lambda: read(tmp_path, [image(place)])[1])
    assert found == {"used": 0, "too large": 1}
    assert grown < 100


@row(
    5,
    "media",
    done="animated, CMYK, 16 bit, turned by EXIF, palette, clear, 1 bit, grey",
    promise="right pixels",
)
def test_kinds_of_pictures(tmp_path: Path) -> None:
    red = Image.new("RGB", (4, 2), (255, 0, 0))
    blue = Image.new("RGB", (4, 2), (0, 0, 255))
    red.save(tmp_path / "animated.gif", save_all=True, append_images=[blue])
    Image.new("CMYK", (4, 2), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=100)
    Image.fromarray(np.full((2, 4), 32768, np.uint16)).save(tmp_path / "deep.png")
    turned = Image.new("RGB", (4, 2), (0, 0, 0))
    turned.putpixel((0, 0), (255, 255, 255))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    red.convert("P").save(tmp_path / "palette.png")
    Image.new("RGBA", (4, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("1", (4, 2), 1).save(tmp_path / "bits.png")
    Image.new("L", (4, 2), 51).save(tmp_path / "grey.png")
    pixels = {p.stem: read_media(p).tensor() for p in tmp_path.iterdir()}
    reddish = torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 2, 4)
    assert torch.equal(pixels["animated"], reddish)
    assert torch.allclose(pixels["cmyk"], reddish, atol=0.02)
    assert torch.allclose(pixels["deep"], torch.full((3, 2, 4), 32768 / 65535), atol=1e-6)
    assert pixels["turned"].shape == (3, 4, 2)
    assert pixels["turned"][0, 0, 1] == 1
    assert torch.equal(pixels["palette"], reddish)
    assert torch.equal(pixels["clear"], torch.ones(3, 2, 4))
    assert torch.equal(pixels["bits"], torch.ones(3, 2, 4))
    assert torch.allclose(pixels["grey"], torch.full((3, 2, 4), 0.2))


@row(6, "media", done="SVG, EPS and PDF as pictures, with a program gs", promise="refused, nothing is run")
def test_documents_as_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    (tmp_path / "a.svg").write_text('<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>')
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    (tmp_path / "a.pdf").write_text("%PDF-1.4\n")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.eps").read_bytes())
    files = [tmp_path / name for name in ("a.svg", "a.eps", "a.pdf", "b.png")]
    assert read(tmp_path, [image(f) for f in files])[1] == {"used": 0, "wrong format": 4}
    assert not (tmp_path / "ran").exists()


@row(
    7,
    "media",
    done="clips: empty, one frame, uneven, cut, ten hours by the header",
    promise="right or skipped",
)
def test_odd_clips(tmp_path: Path) -> None:
    whole = clip(tmp_path / "whole.mp4")
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:-700])
    (tmp_path / "header.mp4").write_bytes(whole.read_bytes()[:60])
    lie = bytearray(whole.read_bytes())
    for atom in (b"mvhd", b"mdhd", b"tkhd"):
        at = lie.find(atom)
        offset = at + 4 + (16 if atom != b"tkhd" else 20)
        lie[offset : offset + 4] = (36_000_000).to_bytes(4, "big")
    (tmp_path / "lie.mp4").write_bytes(lie)
    clip(tmp_path / "one.mp4", [0])
    uneven = clip(tmp_path / "uneven.mp4", [0, 1, 2, 10, 11])
    begun = time.monotonic()
    assert read_media(tmp_path / "one.mp4").tensor().shape == (1, 3, 32, 32)
    frames = read_media(uneven)
    assert frames.tensor().shape[0] / frames.meta["fps"] == pytest.approx(12 / 25, abs=0.1)
    _, counts, _ = read(tmp_path, [{"type": "video", "path": f"{n}.mp4"} for n in ("cut", "header")])
    assert counts["used"] == 0
    with contextlib.suppress(MediaError):  # a clip whose header lies may be refused too
        assert read_media(tmp_path / "lie.mp4").tensor().shape[0] == 10
    assert time.monotonic() - begun < 20


@row(
    8,
    "media",
    done="playlists of files of this machine and of the network",
    promise="refused, 0 calls",
)
def test_containers_that_name_other_files(tmp_path: Path) -> None:
    hits: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: hits.append(server.accept()), daemon=True).start()
        port = server.getsockname()[1]
        clip(tmp_path / "secret.ts", container="mpegts")
        names = []
        for number, target in enumerate(("secret.ts", "/etc/passwd", f"http://127.0.0.1:{port}/a.ts")):
            playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"
            listing = f"ffconcat version 1.0\nfile {target}"
            for suffix, text in ((".m3u8", playlist), (".mp4", playlist), (".mkv", listing)):
                names.append(f"{number}{suffix}")
                (tmp_path / names[-1]).write_text(text)
        parts = [{"type": kind, "path": name} for name in names for kind in ("video", "audio")]
        _, counts, _ = read(tmp_path, parts)
        assert counts == {"used": 0, "wrong format": len(parts)}
        time.sleep(0.2)
    assert not hits


@row(9, "media", done="sounds: empty, NaN, infinite, 1 Hz, 768 kHz, 64 channels", promise="skipped or finite")
def test_odd_sounds(tmp_path: Path) -> None:
    wave = np.sin(np.arange(4000) / 9).astype(np.float32)
    bad = wave.copy()
    bad[7] = np.nan
    worse = wave.copy()
    worse[7] = np.inf
    for name, samples, rate in (
        ("empty", wave[:0], 16000), ("nan", bad, 16000), ("inf", worse, 16000), ("slow", wave, 1),
        ("fast", wave, 768_000), ("many", np.stack([wave] * 64, 1), 16000), ("most", np.stack([wave] * 65, 1), 16000),
    ):  # fmt: skip
        soundfile.write(tmp_path / f"{name}.wav", samples, rate, subtype="FLOAT")
    names = ("empty", "nan", "inf", "slow", "fast", "many", "most")
    batches, counts, _ = read(tmp_path, [{"type": "audio", "path": f"{n}.wav"} for n in names])
    assert counts["NaN"] == 2
    assert counts["used"] == 1
    assert torch.isfinite(batches[0][0]).all()


def hostile_decoder(folder: Path, deed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Pillow do something to one picture, in processes that are started from now on."""
    (folder / "sitecustomize.py").write_text(
        "import os, time, PIL.Image\n"
        "opened = PIL.Image.open\n"
        "def hostile(file, *rest, **more):\n"
        "    content = file.read(); file.seek(0)\n"
        f"    if content == open({str(folder / '1.png')!r}, 'rb').read(): {deed}\n"
        "    return opened(file, *rest, **more)\n"
        "PIL.Image.open = hostile\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))


@row(10, "media", done="a decoder that sleeps for ever; a pipe in place of a file", promise="ended in time, skipped")
def test_decoder_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write_media(picture(n), tmp_path / f"{n}.png") for n in range(3)]
    os.mkfifo(tmp_path / "pipe.png")
    hostile_decoder(tmp_path, "time.sleep(600)", monkeypatch)
    parts = [image(f) for f in [*files, tmp_path / "pipe.png"]]
    batches, counts, _ = read(tmp_path, parts, isolation=Isolation(3.0, 2010))
    assert counts == {"used": 2, "too slow": 1, "missing": 1}
    assert len(batches) == 2


@row(11, "media", done="a decoder that aborts, and one that takes all memory", promise="skipped, the next file is read")
@pytest.mark.parametrize(("deed", "reason"), [("os.abort()", "crashed"), ("bytearray(10**11)", "too large")])
def test_decoder_that_crashes(deed: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write_media(picture(n), tmp_path / f"{n}.png") for n in range(3)]
    hostile_decoder(tmp_path, deed, monkeypatch)
    _, counts, _ = read(tmp_path, [image(f) for f in files], isolation=Isolation(60.0, 2011 + len(deed)))
    assert counts == {"used": 2, reason: 1}


@pytest.mark.parametrize("way", ["--isolate", "variable"])
def test_decoder_that_crashes_under_generate(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command lives on and says which file it was; so does a file of conversations."""
    write_media(picture(1), tmp_path / "1.png")
    hostile_decoder(tmp_path, "os.abort()", monkeypatch)
    monkeypatch.setattr(isolated, "_children", {})
    if way == "variable":
        monkeypatch.setenv(isolated.VARIABLE, "megabytes=2021")
    (tmp_path / "asked.jsonl").write_text(json.dumps([{"role": "user", "content": [image(tmp_path / "1.png")]}]) + "\n")
    for asked in (["--media", str(tmp_path / "1.png")], ["--jsonl", str(tmp_path / "asked.jsonl")]):
        words = ["generate", "mini", *asked, "--output", str(tmp_path / "out"), "--max-new-tokens", "1"]
        assert main([*words, "--isolate"] if way == "--isolate" else words) == 2
        said = capsys.readouterr().err
        assert "1.png: its reader crashed (SIGABRT)" in said
        assert "Traceback" not in said


@pytest.mark.parametrize("text", ["seconds", "seconds=-1", "hours=1", "seconds=nan", "megabytes=1e99", "seconds=3;x=1"])
def test_limits_of_the_environment_are_checked(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_media(picture(1), tmp_path / "1.png")
    monkeypatch.setenv(isolated.VARIABLE, text)
    with pytest.raises(ConfigError, match="is no limit"):
        read_media(tmp_path / "1.png")
