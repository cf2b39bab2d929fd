"""MIMIC-IT: instructions about pictures and frames, with in-context sets; pictures as base64 in json or parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from pydantic import Field

from anyloom.conversation import Media
from anyloom.data.sources import JsonFile, ParquetRows
from anyloom.errors import BadRecord, ConfigError
from anyloom_corpora.lookup import Lookup
from anyloom_corpora.media import MediaFolder, of_base64
from anyloom_corpora.reader import Part, Reader, RecordSource, Share, split_by_order
from anyloom_corpora.tables import cell, parquet_columns, parquet_texts

__all__ = ["MimicIt", "MimicItSource"]

_ID_COLUMNS: Final = ("image_id", "__index_level_0__", "id", "key")
_MOST_NAMES: Final = 4096


class Pictures(Protocol):
    """Base64 text of pictures by their id."""

    def base64(self, name: str) -> str | None:
        """Return the text of a picture, None if there is no such id."""
        ...


@dataclass(frozen=True)
class _JsonPictures:
    """``{image_id: base64}``, the older form."""

    rows: JsonFile
    lookup: Lookup

    def base64(self, name: str) -> str | None:
        row = self.lookup.find(name)
        return None if row is None else str(self.rows[row].get("value"))


@dataclass(frozen=True)
class _ParquetPictures:
    """Rows with the column ``base64``, by image id: one file, or a folder of partitions."""

    rows: ParquetRows
    lookup: Lookup

    def base64(self, name: str) -> str | None:
        row = self.lookup.find(name)
        return None if row is None else str(self.rows[row].get("base64"))


@dataclass(frozen=True)
class _IdColumn:
    rows: ParquetRows
    column: str

    def __call__(self, row: int) -> str:
        return str(self.rows[row][self.column])


class MimicItSource(RecordSource):
    """Instructions with their pictures, and which of them are each other's examples.

    Args:
        rows: The instructions.
        folder: Limits.
        pictures: Where pictures are found; None for a set of texts.
        examples: Instruction -> ids of its in-context set, where the set gives them apart.
        frames: Most pictures of an instruction.
    """

    def __init__(
        self,
        rows: JsonFile,
        folder: MediaFolder,
        pictures: Pictures | None,
        examples: JsonFile | None,
        frames: int = 8,
    ) -> None:
        super().__init__(rows, folder)
        self.pictures, self.examples, self.frames = pictures, examples, frames
        self._ids = Lookup(rows.name, [rows.path], rows.names)
        self._example_ids = None if examples is None else Lookup(examples.name, [examples.path], examples.names)

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return instruction, answer and pictures; several pictures are the frames of a clip.

        Raises:
            anyloom.errors.BadRecord: A picture is missing or no base64, or a field is missing.
        """
        names = row.get("image_ids") or []
        if not isinstance(names, list) or len(names) > _MOST_NAMES:
            raise BadRecord("bad row", where, f"image_ids must be a list of at most {_MOST_NAMES}")
        answer = row.get("answer")
        if not isinstance(answer, str) or not answer.strip():
            raise BadRecord("no target", where, "there is no answer")
        return {
            "key": str(row["__key__"]),
            "instruction": cell(row, "instruction", where),
            "input": "",
            "output": answer.strip(),
            "images": [self._picture(str(name), where) for name in _spread(names, self.frames)],
        }

    def related(self, index: int) -> Sequence[int]:
        """Return the in-context set of an instruction: that of the train file, else its ``rel_ins_ids``."""
        rows: Any = self.rows
        if self.examples is not None and self._example_ids is not None:
            place = self._example_ids.find(rows.name(index))
            names = [] if place is None else self.examples[place].get("value")
        else:
            names = rows[index].get("rel_ins_ids")
        found = (self._ids.find(name) for name in names or () if isinstance(name, str))
        return [n for n in found if n is not None and n != index]

    def _picture(self, name: str, where: str) -> Media:
        text = None if self.pictures is None else self.pictures.base64(name)
        if text is None:
            raise BadRecord("missing", where, f"there is no picture {name!r}")
        return of_base64(text, "image", where, max_bytes=self.folder.max_bytes)


class MimicIt(Reader):
    """One subset of MIMIC-IT (LA, DC, TVC, VST, SN, SD, E4D), as Otter publishes it.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("mimic-it", Path(folder))  # as `anyloom layouts` does
    ...     data = MimicIt(MimicIt.Config(root=root, subset="DC"))
    ...     sample = data.build("train")[0]
    ...     sample.task, sample.conversation.messages[-1].text
    ('question', 'A disc, as in "disc", moves.')
    """

    natural: ClassVar[Mapping[str, float]] = {"question": 1}

    class Config(Reader.Config):
        """Options.

        Args:
            subset: Short name that the files begin with, such as ``DC``.
            instructions: ``{"meta": ..., "data": {id: {instruction, answer, image_ids, rel_ins_ids}}}``; by default
                ``<subset>_instructions.json``.
            images: Pictures: json, parquet or a folder of parquet; by default ``<subset>.parquet`` or, if that is not
                there, ``<subset>.json``. Of a set of texts, ``none``.
            examples: In-context sets ``{id: [ids]}``; by default ``<subset>_train.json`` if that is there.
            frames: Most pictures of an instruction: a clip of more frames gives so many, evenly spread (choice).
            shares: Of train, val and test, by order.
        """

        subset: str
        instructions: str | None = None
        images: str | None = None
        examples: str | None = None
        frames: int = Field(8, ge=1)
        shares: tuple[Share, Share, Share] = (1.0, 0.0, 0.0)

    config: Config

    def source(self, split: str) -> Part:
        """Return the instructions of a split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or a file is missing.
        """
        c = self.config
        rows = JsonFile(self.file(c.instructions or f"{c.subset}_instructions.json"), key="data")
        stretch = split_by_order(len(rows), c.shares, split, "mimic-it")
        return Part(MimicItSource(rows, self.folder, self._pictures(), self._examples(), c.frames), stretch)

    def _pictures(self) -> Pictures | None:
        c = self.config
        if c.images == "none":
            return None
        named = [c.images] if c.images else [f"{c.subset}.parquet", f"{c.subset}.json"]
        path = next((self.config.root / name for name in named if (self.config.root / name).exists()), None)
        if path is None:
            raise ConfigError(f"there is no {' or '.join(named)}", where=str(c.root), fix="give 'images'")
        if path.suffix == ".json":
            rows = JsonFile(path)
            return _JsonPictures(rows, Lookup(rows.name, [path], rows.names))
        parts = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        if not parts:
            raise ConfigError("no parquet is in this folder", where=str(path), fix="give 'images'")
        return _parquet(parts)

    def _examples(self) -> JsonFile | None:
        name = self.config.examples or f"{self.config.subset}_train.json"
        if self.config.examples is None and not (self.config.root / name).is_file():
            return None
        return JsonFile(self.file(name))


def _spread(names: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many of some names, evenly spread, first and last among them where there are two.

    >>> _spread("abcdefg", 3)
    ['a', 'd', 'g']
    """
    if len(names) <= most:
        return list(names)
    return [names[round(n * (len(names) - 1) / max(1, most - 1))] for n in range(most)]


def _parquet(parts: Sequence[Path]) -> _ParquetPictures:
    rows = ParquetRows(parts, columns=["base64"])
    names = parquet_columns(parts[0])
    column = next((name for name in _ID_COLUMNS if name in names), None)
    if column is None:
        raise ConfigError(
            f"no column of image ids among {', '.join(names)}",
            where=str(parts[0]),
            fix=f"call it one of {', '.join(_ID_COLUMNS)}",
        )
    ids = ParquetRows(parts, columns=[column])
    name = _IdColumn(ids, column)
    return _ParquetPictures(rows, Lookup(name, parts, lambda: parquet_texts(parts, column)))
