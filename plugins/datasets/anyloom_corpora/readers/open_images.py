"""OpenImages V7 with its masks: composition without a captioner or a segmenter.

Every picture that has masks is one record. Its objects, cut out on white, and a relation that their boxes tell ("on",
"in front of", "to the left of", ...) ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anyloom.conversation import Media
from anyloom.data.sources.index import open_index
from anyloom.errors import BadRecord
from anyloom.interfaces import Record
from anyloom_corpora.media import MediaFolder
from anyloom_corpora.reader import Reader, require_split
from anyloom_corpora.readers.captioned import Patterns
from anyloom_corpora.tables import CsvRows, cell, file_names
from anyloom_corpora.tasks.derived import derived_image

__all__ = ["Box", "OpenImages", "OpenImagesSource", "relation"]

_CSV: Final = "{}-annotations-object-segmentation.csv"
_PUBLISHED: Final = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Box:
    """Where an object is, as shares of width and height: 0 is left and top."""

    left: float
    right: float
    top: float
    bottom: float

    @property
    def area(self) -> float:
        """Share of the picture."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)


class OpenImagesSource:
    """Pictures with their objects.

    Args:
        rows: The list of masks.
        folder: Where pictures and masks are.
        names: Label code -> what it is called.
        image: Names a picture may have.
        mask: Names a mask may have.
        parts: Most objects of a picture, largest first.
    """

    def __init__(
        self,
        rows: CsvRows,
        folder: MediaFolder,
        names: Mapping[str, str],
        *,
        image: Patterns,
        mask: Patterns,
        parts: int,
    ) -> None:
        self.rows, self.folder, self.names = rows, folder, dict(names)
        self.image, self.mask, self.parts = image, mask, parts
        self._index = open_index([rows.lines.path], "masks by picture", lambda: _by_picture(rows))

    def __len__(self) -> int:
        return len(self._index["first"]) - 1

    @property
    def shards(self) -> Sequence[range]:
        """One range: pictures are read at random as cheaply as in order."""
        return [range(len(self))]

    def __getitem__(self, index: int) -> Record:
        """Return a picture with its objects.

        Raises:
            anyloom.errors.BadRecord: A file is missing, a row is broken, or a label has no name.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        begin, end = self._index["first"][index : index + 2].tolist()
        numbers = self._index["rows"][begin:end].tolist()
        where = self.rows.where(numbers[0])
        rows = [self.rows[n] for n in numbers]
        picture = self.folder.media(file_names(rows[0], self.image, where), "image", where)
        found = sorted(((_box(row, where), row) for row in rows), key=lambda pair: -pair[0].area)[: self.parts]
        parts = [(self._label(row, where), self._object(row, picture, where)) for _, row in found]
        boxes = [box for box, _ in found]
        record = {"key": cell(rows[0], "ImageID", where), "where": where, "image": picture, "parts": parts}
        if len(parts) > 1:
            record["relation"] = relation(boxes[0], boxes[1])
        else:
            record["relation"] = "A scene with {0}"
        return record

    def _label(self, row: Mapping[str, str], where: str) -> str:
        code = cell(row, "LabelName", where)
        if code not in self.names:
            raise BadRecord("bad row", where, f"there is no label {code!r}")
        return self.names[code].lower()

    def _object(self, row: Mapping[str, str], picture: Media, where: str) -> Media:
        mask = self.folder.media(file_names(row, self.mask, where), "image", where)
        return derived_image("cut-out", _cut_out, picture, mask)


class OpenImages(Reader):
    """OpenImages V7: ``train-annotations-object-segmentation.csv``, masks as png, pictures, and class names.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("open-images", Path(folder))  # as `anyloom layouts` does
    ...     data = OpenImages(OpenImages.Config(root=root))
    ...     sample = data.build("train")[0]
    ...     sample.task, [getattr(s, "text", "<media>") for m in sample.conversation.messages for s in m.segments]
    ('composition', ['<media>', ' with ', '<media>', '<media>'])
    """

    natural: ClassVar[Mapping[str, float]] = {"composition": 1}

    class Config(Reader.Config):
        """Options; the defaults are the published names.

        Args:
            image: Names that a picture may have, with columns of the list of masks in braces.
            mask: Names that a mask may have; ``{ImageID[0]}`` is the letter of the archive it comes in.
            classes: List of label codes and names, with or without a header.
            parts: Most objects of a picture, largest first.
        """

        image: Patterns = ("images/{ImageID}.jpg", "{split}/{ImageID}.jpg")
        mask: Patterns = ("masks/{MaskPath}", "{split}-masks/{MaskPath}", "{split}-masks-{ImageID[0]}/{MaskPath}")
        classes: str = "oidv7-class-descriptions.csv"
        parts: int = 2

    config: Config

    def source(self, split: str) -> OpenImagesSource:
        """Return the pictures of a split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or a list is missing.
        """
        require_split(split, "open-images")
        name = _PUBLISHED[split]
        image, mask = (tuple(p.replace("{split}", name) for p in ps) for ps in (self.config.image, self.config.mask))
        rows = CsvRows(self.file(_CSV.format(name)))
        names = _class_names(self.file(self.config.classes))
        return OpenImagesSource(rows, self.folder, names, image=image, mask=mask, parts=self.config.parts)


def relation(first: Box, second: Box) -> str:
    """Return how the first of two objects stands to the second, as their boxes tell.

    On: its foot is inside the second, its top is higher, and its middle is above it. In front of: nine tenths of it are
    inside the second. Else the side it is on, if the boxes do not overlap on that axis; else "with".

    >>> relation(Box(0.4, 0.6, 0.1, 0.5), Box(0.2, 0.9, 0.4, 0.9))
    '{0} on {1}'
    """
    middle = (first.left + first.right) / 2
    across = min(first.right, second.right) - max(first.left, second.left)
    down = min(first.bottom, second.bottom) - max(first.top, second.top)
    if first.area and max(0.0, across) * max(0.0, down) >= 0.9 * first.area:
        return "{0} in front of {1}"
    if second.left <= middle <= second.right and first.top < second.top <= first.bottom < second.bottom:
        return "{0} on {1}"
    if across <= 0:
        return "{0} to the left of {1}" if first.right <= second.left else "{0} to the right of {1}"
    if down <= 0:
        return "{0} above {1}" if first.bottom <= second.top else "{0} below {1}"
    return "{0} with {1}"


def _cut_out(picture: Media, mask: Media) -> Tensor:
    """Return an object on white, in the square around it; the mask may have another size than the picture."""
    pixels, inside = picture.tensor(), mask.tensor()
    pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
    level = 127 if inside.dtype == torch.uint8 else 0.5
    weights = (inside.amax(0, keepdim=True) > level).float()[None]
    weights = torch.nn.functional.interpolate(weights, pixels.shape[-2:], mode="nearest")[0]
    where = mask.path or mask.key
    rows, columns = torch.nonzero(weights[0].any(1)).flatten(), torch.nonzero(weights[0].any(0)).flatten()
    if not len(rows):
        raise BadRecord("bad row", where, "the mask is empty")
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    height, width = bottom - top, right - left
    side = max(height, width)
    square = torch.ones(3, side, side)
    y, x = (side - height) // 2, (side - width) // 2
    cut, weight = pixels[:, top:bottom, left:right], weights[:, top:bottom, left:right]
    square[:, y : y + height, x : x + width] = cut * weight + (1 - weight)
    return square


def _by_picture(rows: CsvRows) -> dict[str, NDArray[np.int64]]:
    """Row numbers of each picture, pictures in the order of their first row."""
    pictures: dict[str, list[int]] = {}
    for number in range(len(rows)):
        try:
            pictures.setdefault(rows[number]["ImageID"], []).append(number)
        except (BadRecord, KeyError):
            pictures[f"row {number}"] = [number]  # a record of its own, so that it is counted when it is read
    lengths = [len(numbers) for numbers in pictures.values()]
    return {
        "rows": np.array([n for numbers in pictures.values() for n in numbers], np.int64),
        "first": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    }


def _box(row: Mapping[str, str], where: str) -> Box:
    try:
        box = Box(*(float(row[name]) for name in ("BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax")))
    except (KeyError, ValueError) as error:
        raise BadRecord("bad row", where, f"no box ({error})") from error
    if not all(0 <= edge <= 1 for edge in (box.left, box.right, box.top, box.bottom)):  # also refuses NaN
        raise BadRecord("bad row", where, "the box leaves the picture")
    return box


@cache
def _class_names(path: Path) -> dict[str, str]:
    """Label code -> name, from ``LabelName,DisplayName``; older lists have no header."""
    rows = CsvRows(path, columns=("LabelName", "DisplayName"))
    found = {row["LabelName"]: row["DisplayName"] for row in (rows[n] for n in range(len(rows)))}
    found.pop("LabelName", None)
    return found
