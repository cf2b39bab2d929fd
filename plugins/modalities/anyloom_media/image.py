"""Pictures: ``(3, H, W)`` RGB tensors, float32 in 0..1 or uint8 in 0..255."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.errors import MediaError
from anyloom.interfaces.modality import ModalityIO
from anyloom_media.files import data_uri, require_file, require_suffix, unreadable

__all__ = ["ImageIO", "picture_tag", "to_bytes"]

_FORMATS: Final = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_WRITING: Final[dict[str, dict[str, object]]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}
_DAMAGED: Final = (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError)
_SHOWN_SIDE: Final = 160
_DEEPEST: Final = 65535


class ImageIO(ModalityIO):
    """Reads and writes pictures.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = ImageIO.from_options().write(Media("image", torch.ones(3, 2, 4)), Path(folder, "white.png"))
    ...     ImageIO.from_options().read(path).tensor().shape
    torch.Size([3, 2, 4])
    """

    modality: ClassVar[str] = "image"
    suffixes: ClassVar[tuple[str, ...]] = tuple(_FORMATS)

    def read(self, path: Path) -> Media:
        """Read a picture as float32 ``(3, H, W)`` in 0..1, upright, on white where it is transparent.

        Of an animation the first frame is taken. Deep (16 bit) grey pictures keep their precision.

        Raises:
            anyloom.errors.MediaError: The file is missing, truncated or no picture.
        """
        require_file(path)
        try:
            with Image.open(path, formats=sorted(set(_FORMATS.values()))) as picture:
                data = _on_white(ImageOps.exif_transpose(picture))
        except _DAMAGED as error:
            raise unreadable(path, self.modality, error) from error
        return Media(self.modality, data, path=str(path))

    def read_meta(self, path: Path) -> Mapping[str, float]:
        """Nothing: a picture is its tensor."""
        require_file(path)
        return {}

    def write(self, media: Media, path: Path) -> Path:
        """Write a picture; floats are clamped to 0..1. JPEG loses detail, the other formats do not.

        Raises:
            anyloom.errors.MediaError: The tensor is no picture, or the suffix names no known format.
        """
        kind = _FORMATS[require_suffix(path, self.suffixes, self.modality)]
        picture = _to_pil(media.tensor(), str(path))
        picture.save(path, format=kind, **_WRITING.get(kind, {}))
        return path

    def to_html(self, media: Media) -> str:
        """Return an ``<img>``; small pictures are enlarged by a whole factor, without smoothing."""
        data = media.tensor()
        return picture_tag(data, f"picture, {data.shape[-1]} x {data.shape[-2]}", enlarge_to=_SHOWN_SIDE)


def picture_tag(data: Tensor, alt: str, *, enlarge_to: int = 0) -> str:
    """Return an ``<img>`` with the picture inside.

    Args:
        data: ``(3, H, W)``, float32 in 0..1 or uint8.
        alt: What it shows, in words; must need no escaping.
        enlarge_to: Pixels that the longer side of a small picture is enlarged to, roughly: by a whole factor.

    Raises:
        anyloom.errors.MediaError: The tensor is no picture.
    """
    picture = _to_pil(data, "to_html")
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    factor = max(1, round(enlarge_to / max(picture.size)))
    return (
        f'<img src="{data_uri("image/png", buffer.getvalue())}" alt="{alt}" '
        f'width="{picture.width * factor}" height="{picture.height * factor}" '
        'style="image-rendering:pixelated;max-width:100%;height:auto">'
    )


def to_bytes(data: Tensor, where: str, dims: int) -> Tensor:
    """Return RGB values ``(..., 3, H, W)`` as uint8; floats are taken as 0..1, clamped and rounded.

    Args:
        data: The tensor, float or uint8.
        where: Place for the error message.
        dims: How many dimensions it must have.

    Raises:
        anyloom.errors.MediaError: The shape or type is another.
    """
    if data.ndim != dims or data.shape[-3] != 3 or 0 in data.shape:
        expected = "(3, H, W)" if dims == 3 else "(T, 3, H, W)"
        raise MediaError(f"expected a tensor {expected}, got {tuple(data.shape)}", where=where)
    data = data.detach().cpu()
    if data.dtype == torch.uint8:
        return data
    if not data.is_floating_point():
        raise MediaError(
            f"expected float values in 0..1 or uint8, got {data.dtype}", where=where, fix="convert it to uint8"
        )
    if not torch.isfinite(data).all():
        raise MediaError("the tensor holds NaN or infinite values", where=where)
    return (data.float().clamp(0, 1) * 255).round().to(torch.uint8)


def _to_pil(data: Tensor, where: str) -> Image.Image:
    return Image.fromarray(to_bytes(data, where, 3).permute(1, 2, 0).contiguous().numpy())


def _on_white(picture: Image.Image) -> Tensor:
    """Return a Pillow picture of any mode as float32 ``(3, H, W)`` in 0..1."""
    if picture.mode.startswith("I"):
        grey = torch.from_numpy(np.asarray(picture).astype(np.float32) / _DEEPEST)
        return grey.clamp(0, 1).expand(3, -1, -1).contiguous()
    if not picture.has_transparency_data:
        return _channels(picture.convert("RGB"))
    rgba = _channels(picture.convert("RGBA"))
    colour, alpha = rgba[:3], rgba[3:]
    return colour * alpha + (1 - alpha)


def _channels(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
