"""One picture, clip, sound or other media item: a tensor, or where to get it when it is needed."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from anyloom.errors import AnyloomError, MediaError

__all__ = ["Media", "MediaFiles"]


class MediaFiles(Protocol):
    """What media and answers can do with files; :mod:`anyloom.media` provides it when it is imported."""

    def write(self, media: Media, path: str | Path) -> Path:
        """Write one media item."""

    def html(self, media: Media) -> str:
        """Return a self-contained HTML fragment."""

    def save_answer(self, message: Any, folder: str | Path) -> Path:
        """Write a message and its media into a folder."""

    def from_pillow(self, picture: Any, modality: str | None) -> Media:
        """Return a Pillow picture as media."""

    def to_pillow(self, media: Media) -> Any:
        """Return media as a Pillow picture."""


@dataclass(frozen=True, eq=False)
class Media:
    """One picture, clip, sound or other media item.

    Args:
        modality: Name of its modality.
        data: The media as a tensor, in the layout its modality declares; None if it is loaded when needed.
        loader: Called without arguments for the tensor when ``data`` is None. Must be picklable. It may have methods
            ``length()`` and ``sample(steps, side)``, for media too large to be held (see :meth:`sample`); and
            ``content()``, equal for equal content only, so that features kept on disk are found without opening it.
        key: Stable name of the content. Media of equal key have equal features, so features can be cached.
        path: File it came from or went to.
        meta: What is needed to read the tensor, such as a sample rate; numbers by name.
        features: The features ``(L, D)`` a generated media item was decoded from. The model that made them reads them
            again in place of the media.
        space: Name of the space of ``features``.
        reference: Number, among all media of the conversation, of the earlier one that this one edits or must be
            faithful to; None if there is none or nobody says so.
        caption: Words for what it shows; only an encoder of captions reads them.
        note: What made it. Files keep it where their format has a place for it; no model reads it.

    Raises:
        anyloom.errors.MediaError: An argument is of another type.

    >>> import torch
    >>> Media("picture", torch.zeros(3, 2, 2)).tensor().shape
    torch.Size([3, 2, 2])
    """

    modality: str
    data: Tensor | None = None
    loader: Callable[[], Tensor] | None = None
    key: str = ""
    path: str = ""
    meta: Mapping[str, float] = field(default_factory=dict)
    features: Tensor | None = None
    space: str = ""
    reference: int | None = None
    caption: str = ""
    note: str = ""

    files: ClassVar[MediaFiles | None] = None

    def __post_init__(self) -> None:
        if isinstance(self.path, Path):
            object.__setattr__(self, "path", str(self.path))
        _require(isinstance(self.modality, str) and self.modality, "modality", "a name", self.modality)
        _require(self.data is None or isinstance(self.data, Tensor), "data", "a tensor", self.data)
        _require(self.loader is None or callable(self.loader), "loader", "a function", self.loader)
        _require(isinstance(self.key, str), "key", "a string", self.key)
        _require(isinstance(self.path, str), "path", "a path", self.path)
        _require(isinstance(self.meta, Mapping), "meta", "numbers by name", self.meta)
        _require(self.features is None or isinstance(self.features, Tensor), "features", "a tensor", self.features)
        _require(isinstance(self.space, str), "space", "a name", self.space)
        _require(isinstance(self.caption, str), "caption", "text", self.caption)
        _require(isinstance(self.note, str), "note", "text", self.note)
        counted = self.reference is None or (isinstance(self.reference, int) and self.reference >= 0)
        _require(counted, "reference", "a number of an earlier medium", self.reference)
        if isinstance(self.meta, dict):  # another mapping may read a file at the first look
            for name, value in self.meta.items():
                number = isinstance(value, Real) and math.isfinite(value)
                _require(isinstance(name, str) and number, f"meta[{name!r}]", "a finite number", value)

    @staticmethod
    def from_pil(picture: Any, modality: str | None = None) -> Media:
        """Return a Pillow picture of any mode as media; transparent parts become white.

        Args:
            picture: The picture.
            modality: Name of its modality; by default the one that reads PNG files.

        Raises:
            anyloom.errors.MediaError: It is no Pillow picture, or the modality's media are no pictures.
        """
        return provided_files().from_pillow(picture, modality)

    def captioned(self, caption: str) -> Media:
        """Return the same medium with words for what it shows; its key tells it from the one with other words.

        >>> Media("picture", key="cat.png").captioned("a cat").key
        'cat.png (a cat)'
        """
        return replace(self, caption=caption, key=f"{self.key} ({caption})" if self.key else "")

    @property
    def has_data(self) -> bool:
        """Whether there is more than features: a tensor, or something that loads one."""
        return self.data is not None or self.loader is not None

    def tensor(self) -> Tensor:
        """Return the media as a tensor ``(...)`` of its modality's shape, loading it if necessary.

        Raises:
            anyloom.errors.MediaError: There is neither data nor a loader, or the file cannot be read.
        """
        return self._load(lambda loader: loader())

    def length(self) -> int:
        """Return the steps of the tensor's first axis (frames of a clip), without holding them where that is possible.

        Raises:
            anyloom.errors.MediaError: As for :meth:`tensor`.
        """
        length = getattr(self.loader, "length", None)
        return len(self.tensor()) if self.data is not None or length is None else int(length())

    def sample(self, steps: Sequence[int] | None = None, *, side: int | None = None) -> Tensor:
        """Return a part of the tensor; a clip of any length is read in little memory so.

        Args:
            steps: Which steps of the first axis, such as frames of a clip, in the order wanted; None for all.
            side: Pixels of the shorter side that are enough. What comes may be smaller than the file's, but not
                smaller than this; media that are held come as they are.

        Raises:
            anyloom.errors.MediaError: As for :meth:`tensor`, or there is no such step.

        >>> Media("clip", torch.arange(4.0)).sample([3, 0]).tolist()
        [3.0, 0.0]
        """
        if self.data is None and hasattr(self.loader, "sample"):
            return self._load(lambda loader: loader.sample(steps, side))
        data = self.tensor()
        if steps is None:
            return data
        if any(not 0 <= step < len(data) for step in steps):
            raise MediaError(f"there are {len(data)} steps, no step {max(steps)}", where=self.path or self.modality)
        return data[torch.as_tensor(steps, dtype=torch.long)]

    def _load(self, load: Callable[[Any], Tensor]) -> Tensor:
        if self.data is not None:
            return self.data
        if self.loader is None:
            what = f"this {self.modality} has neither data nor a loader"
            raise MediaError(what, where=self.path, fix="give its model a decoder, or the medium its data")
        return load(self.loader)

    def pil(self) -> Any:
        """Return a picture as Pillow's.

        Raises:
            anyloom.errors.MediaError: It is no picture.
        """
        return self._files().to_pillow(self)

    def save(self, path: str | Path) -> Path:
        """Write the media to a file and return its path; see :func:`anyloom.write_media`."""
        return self._files().write(self, path)

    def _files(self) -> MediaFiles:
        return provided_files()

    def __repr__(self) -> str:
        """Name, place and shape; the numbers are too many to print."""
        shape = f", {tuple(self.data.shape)} {self.data.dtype}" if self.data is not None else ""
        place = f", {self.path!r}" if self.path else ""
        return f"Media({self.modality!r}{shape}{place})"

    def _repr_html_(self) -> str:
        """Show the media in a notebook."""
        if self.data is None and self.loader is None:
            return f"<i>{html.escape(self.modality)}: features only, nothing decoded them</i>"
        try:
            return self._files().html(self)
        except AnyloomError as error:  # a notebook shows the cell's value: the reason is more use than nothing
            return f"<i>{html.escape(self.modality)}: {html.escape(str(error))}</i>"


def provided_files() -> MediaFiles:
    """Return what writes and shows media.

    Raises:
        anyloom.errors.MediaError: :mod:`anyloom.media` has not been imported in this process.
    """
    if Media.files is None:
        raise MediaError("nothing is loaded that writes or shows media", fix="import anyloom.media")
    return Media.files


def _require(right: object, what: str, expected: str, value: object) -> None:
    if right:
        return
    kind = type(value).__name__
    fix = "use torch.from_numpy(array)" if kind == "ndarray" else ""
    fix = "use anyloom.Media.from_pil(picture)" if type(value).__module__.startswith("PIL.") else fix
    got = f"{value!r}" if isinstance(value, str | int | float) else kind
    raise MediaError(f"{what} must be {expected}, got {got}", where="Media", fix=fix)
