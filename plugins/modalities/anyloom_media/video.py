"""Clips: ``(T, 3, H, W)`` RGB tensors, float32 in 0..1 or uint8, with frames per second in ``meta``."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Final

import av
import av.error
import numpy as np
import torch
from av.video.reformatter import ColorRange, Colorspace
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.errors import MediaError
from anyloom.interfaces.modality import ModalityIO
from anyloom_media.files import data_uri, require_file, require_suffix, unreadable
from anyloom_media.image import to_bytes

__all__ = ["VideoIO"]

_FORMATS: Final = {
    ".mp4": ("mp4", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
    ".mkv": ("matroska", "libx264"),
    ".mov": ("mov", "libx264"),
    ".avi": ("avi", "libx264"),
}
_OPTIONS: Final = {"libx264": {"crf": "16", "preset": "medium"}, "libvpx-vp9": {"crf": "18", "b": "0"}}
_SHOWN_SIDE: Final = 256


class VideoIO(ModalityIO):
    """Reads and writes clips without sound. ``meta["fps"]`` is in frames per second."""

    modality: ClassVar[str] = "video"
    suffixes: ClassVar[tuple[str, ...]] = tuple(_FORMATS)

    def read(self, path: Path) -> Media:
        """Read all frames as float32 ``(T, 3, H, W)`` in 0..1, upright; a sound track is left out.

        Raises:
            anyloom.errors.MediaError: The file is missing, truncated, or holds no pictures.
        """
        require_file(path)
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise unreadable(path, self.modality, "it holds no pictures")
                stream = container.streams.video[0]
                frames = list(container.decode(stream))
                expected = _expected_frames(container)
        except (av.error.FFmpegError, ValueError, EOFError) as error:
            raise unreadable(path, self.modality, error) from error
        if not frames or len(frames) < expected:
            raise unreadable(path, self.modality, f"{len(frames)} of {expected or 'its'} frames are there")
        rate = float(stream.average_rate or 0)
        data = torch.from_numpy(np.stack([_upright(f) for f in frames])).permute(0, 3, 1, 2).float() / 255
        return Media(self.modality, data, path=str(path), meta={"fps": rate})

    def read_meta(self, path: Path) -> Mapping[str, float]:
        """Read the frame rate from the header.

        Raises:
            anyloom.errors.MediaError: The file is missing or holds no pictures.
        """
        require_file(path)
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise unreadable(path, self.modality, "it holds no pictures")
                return {"fps": float(container.streams.video[0].average_rate or 0)}
        except (av.error.FFmpegError, ValueError, EOFError) as error:
            raise unreadable(path, self.modality, error) from error

    def write(self, media: Media, path: Path) -> Path:
        """Write a clip as H.264 (VP9 for .webm) at high quality; colours are stored at half resolution.

        Raises:
            anyloom.errors.MediaError: The tensor is no clip, its width or height is odd, or its rate is unknown.
        """
        kind, codec = _FORMATS[require_suffix(path, self.suffixes, self.modality)]
        frames = to_bytes(media.tensor(), str(path), 4)
        if frames.shape[-1] % 2 or frames.shape[-2] % 2:
            what = f"a clip needs even width and height, got {frames.shape[-1]} x {frames.shape[-2]}"
            raise MediaError(what, where=str(path), fix="crop or pad it")
        rate = _rate(media, str(path))
        with av.open(str(path), "w", format=kind) as container:
            _encode(container, codec, frames, rate)
        return path

    def to_html(self, media: Media) -> str:
        """Return a ``<video>`` that loops; small clips are enlarged by a whole factor."""
        frames, rate = to_bytes(media.tensor(), "to_html", 4), _rate(media, "to_html")
        height, width = frames.shape[-2:]
        factor = max(1, round(_SHOWN_SIDE / max(height, width)))
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as container:
            _encode(container, "libx264", _even(frames), rate)
        return (
            f'<video controls loop muted playsinline src="{data_uri("video/mp4", buffer.getvalue())}" '
            f'width="{width * factor}" height="{height * factor}" title="{len(frames)} frames, {float(rate):g} per s" '
            'style="image-rendering:pixelated;max-width:100%"></video>'
        )


def _expected_frames(container: Any) -> int:
    """Frames that the file says it has, 0 if it does not say."""
    stream = container.streams.video[0]
    if stream.frames or len(container.streams) > 1 or not container.duration or not stream.average_rate:
        return int(stream.frames)
    return int(container.duration / av.time_base * stream.average_rate)


def _upright(frame: av.VideoFrame) -> Any:
    """Return a decoded frame as an array ``(H, W, 3)``, turned as the camera's display matrix asks."""
    array = frame.to_ndarray(format="rgb24")
    return np.rot90(array, round(frame.rotation / 90))


def _even(frames: Tensor) -> Tensor:
    """Repeat the last row or column where height or width is odd."""
    height, width = frames.shape[-2:]
    frames = torch.cat([frames, frames[:, :, height - height % 2 :]], dim=2)
    return torch.cat([frames, frames[..., width - width % 2 :]], dim=3)


def _rate(media: Media, where: str) -> Fraction:
    fps = media.meta.get("fps", 0)
    if fps <= 0:
        raise MediaError("the frame rate is unknown", where=where, fix="give meta={'fps': ...}")
    return Fraction(fps).limit_denominator(1001)


def _encode(container: Any, codec: str, frames: Tensor, rate: Fraction) -> None:
    """Encode uint8 frames ``(T, 3, H, W)`` into an open container, tagged so that players show the same colours."""
    stream = container.add_stream(codec, rate=rate, options=_OPTIONS[codec])
    stream.height, stream.width = frames.shape[-2:]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.colorspace = Colorspace.ITU601
    stream.codec_context.color_range = ColorRange.MPEG
    for array in frames.permute(0, 2, 3, 1).contiguous().numpy():
        frame = av.VideoFrame.from_ndarray(array, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
