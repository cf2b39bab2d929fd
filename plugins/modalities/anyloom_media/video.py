"""Clips: ``(T, 3, H, W)`` RGB tensors, uint8 or float32 in 0..1, with frames per second in ``meta``."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Final

import av
import torch
from av.video.reformatter import ColorRange, Colorspace
from pydantic import Field
from torch import Tensor

from anyloom.conversation import Media
from anyloom.conversation.pixels import to_bytes
from anyloom.errors import MediaError
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.modality import ModalityIO
from anyloom_media.clip_frames import Limits, clip_at, read_frames
from anyloom_media.files import data_uri, require_suffix
from anyloom_media.notes import clip_note

__all__ = ["VideoIO"]

_FORMATS: Final = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
    ".mkv": ("matroska", "libx264"),
    ".mov": ("mov", "libx264"),
    ".avi": ("avi", "libx264"),
}
_CONTAINER: Final = {"mov": {"movflags": "use_metadata_tags"}}
"""QuickTime's older text has room for 64 KB alone."""

_OPTIONS: Final = {"libx264": {"crf": "16", "preset": "medium"}, "libvpx-vp9": {"crf": "18", "b": "0"}}
_SHOWN_SIDE: Final = 256
_SHOWN_FRAMES: Final = 300


class VideoIO(ModalityIO):
    """Reads and writes clips without sound. ``meta["fps"]`` is in frames per second.

    Clips are read by their timestamps: T is the number of frames that the decoder shows (edit lists honoured), ``fps``
    is T over the duration, and where frames come unevenly they are resampled to even steps.

    >>> from tempfile import TemporaryDirectory
    >>> io = VideoIO(VideoIO.Config())
    >>> with TemporaryDirectory() as folder:
    ...     file = io.write(Media("video", torch.full((8, 3, 16, 24), 0.5), meta={"fps": 4.0}), Path(folder, "a.mp4"))
    ...     clip = io.read(file)
    >>> clip.tensor().shape, clip.meta["fps"]
    (torch.Size([8, 3, 16, 24]), 4.0)
    """

    class Config(ComponentConfig):
        """Limits.

        Args:
            max_seconds: Duration of a clip that is read.
            max_frames: Frames of a clip that is read.
            max_pixels: Height times width of its frames.
            max_fps: Frames per second.
            max_bytes: Bytes of the frames that are returned at once; ``Media.sample`` takes a few of any clip.
        """

        max_seconds: float = Field(3600.0, gt=0)
        max_frames: int = Field(250_000, gt=0)
        max_pixels: int = Field(9_500_000, gt=0)
        max_fps: float = Field(1000.0, gt=0)
        max_bytes: int = Field(1 << 30, gt=0)

    modality: ClassVar[str] = "video"
    suffixes: ClassVar[tuple[str, ...]] = tuple(_FORMATS)
    hub_feature: ClassVar[str] = "Video"

    @property
    def _limits(self) -> Limits:
        return Limits(**self.config.model_dump())

    def read(self, path: Path) -> Media:
        """Read all frames as uint8 ``(T, 3, H, W)``, upright; a sound track is left out.

        Raises:
            anyloom.errors.MediaError: The file is missing, truncated, holds no pictures or is beyond a limit.
        """
        frames = read_frames(path, None, None, self._limits)
        return Media(self.modality, frames, path=str(path), meta=self.read_meta(path))

    def read_meta(self, path: Path) -> Mapping[str, float]:
        """Read the frame rate by the timestamps of all frames, which are decoded one by one and not kept.

        Raises:
            anyloom.errors.MediaError: As for :meth:`read`.
        """
        return {"fps": float(clip_at(path, self._limits).timeline.fps)}

    def length(self, path: Path) -> int:
        """Return the number of frames, which are decoded one by one and not kept.

        Raises:
            anyloom.errors.MediaError: As for :meth:`read`.
        """
        return len(clip_at(path, self._limits).timeline)

    def sample(self, path: Path, steps: Sequence[int] | None, side: int | None) -> Tensor:
        """Read some frames as uint8 ``(N, 3, h, w)``; the others are decoded and not kept.

        Args:
            path: The file.
            steps: Numbers of frames, in the order wanted; None for all.
            side: Frames are reduced so that their shorter side has this many pixels, if it has more.

        Raises:
            anyloom.errors.MediaError: As for :meth:`read`, or there is no such frame.
        """
        return read_frames(path, steps, side, self._limits)

    def write(self, media: Media, path: Path) -> Path:
        """Write a clip as H.264 (VP9 for .webm) at high quality; colours are stored at half resolution.

        All of them keep the note.

        Raises:
            anyloom.errors.MediaError: The tensor is no clip, its width or height is odd, or its rate is unknown.
        """
        kind, codec = _FORMATS[require_suffix(path, self.suffixes, self.modality)]
        frames = to_bytes(media.tensor(), str(path), 4)
        if frames.shape[-1] % 2 or frames.shape[-2] % 2:
            what = f"a clip needs even width and height, got {frames.shape[-1]} x {frames.shape[-2]}"
            raise MediaError(what, where=str(path), fix="crop or pad it")
        rate, options = _rate(media, str(path)), _CONTAINER.get(kind, {}) if media.note else {}
        try:
            with path.open("wb") as file, av.open(file, "w", format=kind, options=options) as container:
                if media.note:
                    container.metadata["comment"] = media.note
                _encode(container, codec, frames, rate)
        except (av.error.FFmpegError, ValueError) as error:
            what = f"cannot be written as {kind}: {error}"
            raise MediaError(what, where=str(path), fix="use another size, rate or format") from error
        return path

    def note(self, path: Path) -> str:
        """Return the note of a clip; see the interface."""
        return clip_note(path)

    def to_html(self, media: Media) -> str:
        """Return a ``<video>`` that loops; small clips are enlarged, of long ones the start is shown."""
        rate, length = _rate(media, "to_html"), media.length()
        frames = to_bytes(media.sample(range(min(length, _SHOWN_FRAMES))), "to_html", 4)
        height, width = frames.shape[-2:]
        factor = max(1, round(_SHOWN_SIDE / max(height, width)))
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as container:
            _encode(container, "libx264", _even(frames), rate)
        return (
            f'<video controls loop muted playsinline src="{data_uri("video/mp4", buffer.getvalue())}" '
            f'width="{width * factor}" height="{height * factor}" title="{length} frames, {float(rate):g} per s" '
            'style="image-rendering:pixelated;max-width:100%"></video>'
        )


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
