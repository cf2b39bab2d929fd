"""Pictures: ``(3, H, W)`` RGB tensors, uint8 or float32 in 0..1."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from PIL import Image, UnidentifiedImageError
from pydantic import Field
from torch import Tensor

from anyloom.conversation import Media
from anyloom.discovery.targets import missing_modules
from anyloom.errors import MediaError
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.modality import ModalityIO
from anyloom_media.files import data_uri, limit, opened, require_suffix, unreadable
from anyloom_media.picture_notes import picture_note, put_into_file, saving
from anyloom_media.pillow import from_pillow, to_pillow

__all__ = ["ImageIO", "picture_tag"]

_WRITTEN: Final = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_READ: Final = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
"""Of all that Pillow opens: pictures of pixels alone, no programs (PostScript) and nothing that names other files."""

_WRITING: Final[dict[str, dict[str, object]]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}
_HEIF_BRANDS: Final = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_SHOWN_SIDE: Final = 160
_MOST_SHOWN: Final = 1024
_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageIO(ModalityIO):
    """Reads and writes pictures.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = ImageIO.from_options().write(Media("image", torch.ones(3, 2, 4)), Path(folder, "white.png"))
    ...     ImageIO.from_options().read(path).tensor().shape
    torch.Size([3, 2, 4])
    """

    class Config(ComponentConfig):
        """Limits.

        Args:
            max_pixels: Height times width of a picture that is read; reading takes up to 12 bytes a pixel.
        """

        max_pixels: int = Field(64_000_000, gt=0)

    modality: ClassVar[str] = "image"
    suffixes: ClassVar[tuple[str, ...]] = tuple(_WRITTEN)
    hub_feature: ClassVar[str] = "Image"

    def read(self, path: Path) -> Media:
        """Read a picture as float32 ``(3, H, W)`` in 0..1, upright, on white where it is transparent.

        Of an animation the first frame is taken. Deep (16 or 32 bit) grey pictures keep their precision.

        Raises:
            anyloom.errors.MediaError: The file is missing, truncated, no picture, beyond the limit, or takes a package
                that is not installed.
        """
        pixels = self._pixels(path, None)
        data = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        return Media(self.modality, data, path=str(path))

    def read_meta(self, path: Path) -> Mapping[str, float]:
        """Nothing: a picture is its tensor."""
        return {}

    def sample(self, path: Path, steps: Sequence[int] | None, side: int | None) -> Tensor:
        """Read a picture as bytes, a JPEG at 1/2, 1/4 or 1/8 of its size where that is enough; see the interface.

        Returns:
            uint8 ``(3, H, W)``, a quarter of what floats take; of deep grey pictures float32 in 0..1.

        Raises:
            anyloom.errors.MediaError: As for :meth:`read`, or steps are given: a picture has none.
        """
        if steps is not None:
            raise MediaError("a picture has no steps to choose from", where=str(path), fix="leave out steps")
        return self._pixels(path, side)

    def _pixels(self, path: Path, side: int | None) -> Tensor:
        with _library_errors(path), opened(path) as file:
            formats = _formats(file.read(12))
            file.seek(0)
            with Image.open(file, formats=formats) as picture:
                limit(path, "pixels", picture.width * picture.height, self.config.max_pixels, "max_pixels")
                if side is not None:
                    picture.draft(None, (side, side))
                return from_pillow(_upright(picture))

    def write(self, media: Media, path: Path) -> Path:
        """Write a picture; floats are clamped to 0..1. JPEG loses detail, the other formats do not.

        All but BMP keep the note.

        Raises:
            anyloom.errors.MediaError: The tensor is no picture, or the suffix names no known format.
        """
        kind = _WRITTEN[require_suffix(path, self.suffixes, self.modality)]
        picture = to_pillow(media.tensor(), str(path))
        try:
            kept = saving(kind, media.note) if media.note else {}
            picture.save(path, format=kind, **_WRITING.get(kind, {}), **kept)
        except (ValueError, SystemError) as error:  # such as a picture that is too large for the format
            raise MediaError(f"cannot be written as {kind}: {error}", where=str(path), fix="write .png") from error
        if media.note:
            put_into_file(path, kind, media.note)
        return path

    def note(self, path: Path) -> str:
        """Return the note of a picture; see the interface."""
        return picture_note(path)

    def from_pillow(self, picture: Any) -> Media:
        """Return a Pillow picture of any mode as media, on white where it is transparent.

        Raises:
            anyloom.errors.MediaError: It is no Pillow picture, or its values are on no known scale.
        """
        if not isinstance(picture, Image.Image):
            raise MediaError(f"picture must be a Pillow picture, got {type(picture).__name__}", where="Media.from_pil")
        return Media(self.modality, from_pillow(picture))

    def to_pillow(self, media: Media) -> Image.Image:
        """Return a picture as Pillow's; floats are clamped to 0..1.

        Raises:
            anyloom.errors.MediaError: The tensor is no picture.
        """
        return to_pillow(media.tensor(), media.path or self.modality)

    def to_board(self, media: Media, board: Any, name: str, step: int) -> None:
        """Show a picture."""
        pixels = torch.frombuffer(
            bytearray((drawn := self.to_pillow(media).convert("RGB")).tobytes()), dtype=torch.uint8
        )
        board.add_image(name, pixels.reshape(drawn.height, drawn.width, 3), step, dataformats="HWC")

    def to_html(self, media: Media) -> str:
        """Return an ``<img>``; small pictures are enlarged by a whole factor, without smoothing."""
        data = media.tensor()
        return picture_tag(data, f"picture, {data.shape[-1]} x {data.shape[-2]}", enlarge_to=_SHOWN_SIDE)


def picture_tag(data: Tensor, alt: str, *, enlarge_to: int = 0) -> str:
    """Return an ``<img>`` with the picture inside, reduced if a side has more than 1024 pixels.

    Args:
        data: ``(3, H, W)``, float32 in 0..1 or uint8.
        alt: What it shows, in words; must need no escaping.
        enlarge_to: Pixels that the longer side of a small picture is enlarged to, roughly: by a whole factor.

    Raises:
        anyloom.errors.MediaError: The tensor is no picture.

    >>> import torch
    >>> picture_tag(torch.zeros(3, 2, 2), "a black square")[:22]
    '<img src="data:image/p'
    """
    picture = to_pillow(data, "to_html")
    picture.thumbnail((_MOST_SHOWN, _MOST_SHOWN))  # a page of large pictures would be a page nobody can load
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    factor = max(1, round(enlarge_to / max(picture.size)))
    return (
        f'<img src="{data_uri("image/png", buffer.getvalue())}" alt="{alt}" '
        f'width="{picture.width * factor}" height="{picture.height * factor}" '
        'style="image-rendering:pixelated;max-width:100%;height:auto">'
    )


@contextlib.contextmanager
def _library_errors(path: Path) -> Iterator[None]:
    """Turn whatever Pillow raises for a broken file into one MediaError; its warnings about such files are left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MediaError as error:
        error.where = error.where or str(path)
        raise
    except Image.DecompressionBombError as error:
        what = "it has more pixels than Pillow opens at all"
        raise MediaError(what, where=str(path), fix="make it smaller", reason="too large") from error
    except UnidentifiedImageError as error:
        raise unreadable(path, "image", f"its content is none of {', '.join(_READ)}") from error
    except MemoryError:
        raise
    except Exception as error:  # each of Pillow's decoders raises what it likes: struct.error, KeyError, SystemError
        raise unreadable(path, "image", error) from error


def _upright(picture: Image.Image) -> Image.Image:
    """Turn a picture as its camera says. A broken EXIF block says nothing, and costs nobody the picture."""
    picture.load()
    try:
        turn: Any = picture.getexif().get(_ORIENTATION)
        method = _TURNS.get(turn)
    except Exception:  # what a parser of broken bytes can raise; see above
        method = None
    return picture if method is None else picture.transpose(method)


def _formats(start: bytes) -> list[str]:
    """Return the formats to try on a file that begins so.

    Raises:
        anyloom.errors.MediaError: It is HEIC, and the package that reads it is not installed.
    """
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS:
        if missing_modules(["pillow_heif"]):
            what = "HEIC pictures need pillow-heif, which is not installed"
            raise MediaError(what, fix="pip install 'anyloom[heic]'")
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    return [name for name in _READ if name in Image.OPEN]
