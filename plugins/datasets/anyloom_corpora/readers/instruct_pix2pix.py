"""InstructPix2Pix: pairs of pictures with an instruction, as folders of seeds or as parquet of the hub."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from anyloom.data.sources import Blob, ParquetRows
from anyloom.data.sources.jsonl import parse_json
from anyloom.errors import BadRecord, ConfigError
from anyloom.interfaces import Record
from anyloom_corpora.media import MediaFolder, blob_media
from anyloom_corpora.reader import Part, Reader, RecordSource, Share, split_by_order
from anyloom_corpora.tables import cell, parquet_columns, parquet_texts

__all__ = ["ChosenRows", "EditRows", "InstructPix2Pix", "SeedFolders"]

_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "before": ("original_image", "input_image"),
    "after": ("edited_image",),
    "edit": ("edit_prompt",),
}
"""What the published tables call the fields."""


class SeedFolders:
    """``seeds.json`` and a folder a prompt; every seed of it is one record, and all of a prompt share their edit.

    Args:
        folder: The data set.
        prompts: Pairs of a folder's name and its seeds, in the order of ``seeds.json``.
    """

    def __init__(self, folder: MediaFolder, prompts: Sequence[tuple[str, Sequence[str]]]) -> None:
        self.folder, self.prompts = folder, prompts
        self._ends = list(accumulate(len(seeds) for _, seeds in prompts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def shards(self) -> Sequence[range]:
        """One range: files are read at random as cheaply as in order."""
        return [range(len(self))]

    def related(self, index: int) -> Sequence[int]:
        """Return the other seeds of the record's prompt."""
        prompt, _ = self._place(index)
        end = self._ends[prompt]
        return [n for n in range(end - len(self.prompts[prompt][1]), end) if n != index]

    def __getitem__(self, index: int) -> Record:
        """Return a pair with its instruction.

        Raises:
            anyloom.errors.BadRecord: A file is missing, or ``prompt.json`` has no instruction.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        prompt, number = self._place(index)
        name, seeds = self.prompts[prompt]
        where = f"{self.folder.root}/{name}/{seeds[number]}"
        file = self.folder.path(f"{name}/prompt.json", where)
        words = parse_json(Blob(str(file)).read(1 << 20), where)
        if not isinstance(words, dict):
            raise BadRecord("bad row", where, "prompt.json holds no object")
        pictures = [self.folder.media(f"{name}/{seeds[number]}_{n}.jpg", "image", where) for n in (0, 1)]
        return {
            "key": f"{name}/{seeds[number]}",
            "where": where,
            # the seeds of a prompt are pictures of one concept
            "image": pictures[0],
            "before": pictures[0],
            "after": pictures[1],
            "edit": cell(words, "edit", where),
            # the published files call the first caption either of these
            "caption": str(words.get("caption") or words.get("input") or ""),
            "edited_caption": str(words.get("output") or ""),
        }

    def _place(self, index: int) -> tuple[int, int]:
        """Return the prompt of a record and its place among the prompt's seeds."""
        prompt = bisect_right(self._ends, index)
        return prompt, index - (self._ends[prompt] - len(self.prompts[prompt][1]))


class EditRows(RecordSource):
    """Rows of parquet with both pictures; rows of one instruction belong together.

    Args:
        rows: The rows.
        folder: Limits.
        columns: Field -> column, where the table calls it otherwise than the published ones do.
    """

    def __init__(self, rows: ParquetRows, folder: MediaFolder, columns: Mapping[str, str]) -> None:
        super().__init__(rows, folder)
        self.names = {field: (columns[field],) if field in columns else known for field, known in _COLUMNS.items()}
        self._groups: tuple[Any, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_groups": None}  # each process reads the instructions when it needs them

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return a pair with its instruction.

        Raises:
            anyloom.errors.BadRecord: A picture or the instruction is missing.
        """
        before, after = (self._picture(row, self.names[field], where) for field in ("before", "after"))
        return {
            "image": before,
            "before": before,
            "after": after,
            "edit": cell(row, _known(row, self.names["edit"]), where),
            "caption": str(row.get("original_prompt") or ""),
            "edited_caption": str(row.get("edited_prompt") or ""),
        }

    def related(self, index: int) -> Sequence[int]:
        """Return the other rows with the same instruction."""
        group, order = self._grouped()
        own = group[index]
        begin, end = (int(np.searchsorted(group[order], own, side=side)) for side in ("left", "right"))
        return [int(n) for n in order[begin:end] if n != index]

    def in_groups_of(self, least: int) -> NDArray[np.int64]:
        """Return the rows whose instruction stands in so many rows at least, in order."""
        group, _ = self._grouped()
        return np.flatnonzero(np.bincount(group)[group] >= least)

    def _picture(self, row: Mapping[str, Any], columns: Sequence[str], where: str) -> Any:
        value = row.get(_known(row, columns))
        # the hub's image columns are {"bytes": ..., "path": ...}
        content = value.get("bytes") if isinstance(value, Mapping) else value
        if not isinstance(content, bytes):
            raise BadRecord("missing", where, f"there is no {columns[0]}")
        return blob_media(Blob(where, data=content), "image", where, max_bytes=self.folder.max_bytes)

    def _grouped(self) -> tuple[Any, Any]:
        """Number of each row's instruction, and the rows in the order of these numbers."""
        if self._groups is None:
            rows: Any = self.rows
            column = _known(dict.fromkeys(parquet_columns(rows.files[0])), self.names["edit"])
            numbers: dict[str, int] = {}
            texts = parquet_texts(rows.files, column)
            found = [numbers.setdefault(text.strip(), len(numbers)) for text in texts]
            group = np.array(found, np.int64)
            self._groups = group, np.argsort(group, kind="stable")
        return self._groups


class ChosenRows:
    """Some rows of a source, in their order.

    Args:
        whole: The source.
        numbers: Which rows, ascending.
    """

    def __init__(self, whole: EditRows, numbers: NDArray[np.int64]) -> None:
        self.whole, self.numbers = whole, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def shards(self) -> Sequence[range]:
        """Those of the whole, as far as they are chosen."""
        edges = (np.searchsorted(self.numbers, (shard.start, shard.stop)).tolist() for shard in self.whole.shards)
        return [range(begin, end) for begin, end in edges if end > begin]

    def __getitem__(self, index: int) -> Record:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.whole[int(self.numbers[index])]

    def related(self, index: int) -> Sequence[int]:
        """Return the other rows with the same instruction; those were all chosen, or none."""
        found = np.searchsorted(self.numbers, self.whole.related(int(self.numbers[index])))
        return [int(n) for n in found]


class InstructPix2Pix(Reader):
    """InstructPix2Pix: ``seeds.json`` with a folder a prompt, or parquet (``timbrooks/instructpix2pix-clip-filtered``).

    Pairs of one prompt, or of one instruction, are each other's examples: the paper's exemplar task.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("instruct-pix2pix", Path(folder))  # as `anyloom layouts` does
    ...     data = InstructPix2Pix(InstructPix2Pix.Config(root=root, tasks={"image-edit": 1}))
    ...     sample = data.build("train")[0]
    ...     sample.task, [getattr(s, "text", "<media>") for m in sample.conversation.messages for s in m.segments]
    ('image-edit', ['<media>', 'Change the colour 0.', '<media>'])
    """

    natural: ClassVar[Mapping[str, float]] = {"image-edit": 1, "image-exemplar": 1}

    class Config(Reader.Config):
        """Options.

        Args:
            columns: ``before``, ``edit`` or ``after`` -> column, for parquet of other sets of edits (MagicBrush's
                ``source_img``, ``instruction``, ``target_img``).
            least: Leave out prompts with fewer seeds, and instructions with fewer rows: 2 or more where exemplars are
                the only task, since a pair alone has none.
            shares: Of train, val and test, by the order of prompts, or of rows.
        """

        least: int = Field(1, ge=1)
        columns: Mapping[Literal["before", "edit", "after"], str] = Field(default_factory=dict)
        shares: tuple[Share, Share, Share] = (0.9, 0.05, 0.05)

    config: Config

    def source(self, split: str) -> Part:
        """Return the pairs of a split; the seeds of one prompt are never split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or neither layout is there.
        """
        shares, seeds = self.config.shares, self.file("") / "seeds.json"
        if seeds.is_file():
            prompts = [prompt for prompt in _prompts(seeds) if len(prompt[1]) >= self.config.least]
            stretch = split_by_order(len(prompts), shares, split, "instruct-pix2pix")
            own = SeedFolders(self.folder, prompts[stretch.start : stretch.stop])
            return Part(own, range(len(own)))
        tables = sorted(self.config.root.rglob("*.parquet"))
        if not tables:
            raise ConfigError("neither seeds.json nor parquet is here", where=str(self.config.root), fix="check 'root'")
        rows = EditRows(
            ParquetRows(tables), self.folder, {str(field): column for field, column in self.config.columns.items()}
        )
        found = ChosenRows(rows, rows.in_groups_of(self.config.least)) if self.config.least > 1 else rows
        return Part(found, split_by_order(len(found), shares, split, "instruct-pix2pix"))


@cache
def _prompts(path: Path) -> list[tuple[str, list[str]]]:
    """Names of prompts and their seeds."""
    try:
        value = parse_json(path.read_bytes(), str(path))
    except BadRecord as error:
        raise ConfigError(error.what, where=str(path), fix="fetch it again") from error
    well_formed = isinstance(value, list) and all(
        isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) and isinstance(p[1], list) for p in value
    )
    if not well_formed:
        raise ConfigError('expected [["0000000", ["123", ...]], ...]', where=str(path), fix="fetch it again")
    return [(name, [str(seed) for seed in seeds]) for name, seeds in value]


def _known(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """Return the column that the table has of several names for the same."""
    return next((column for column in columns if column in row), columns[0])
