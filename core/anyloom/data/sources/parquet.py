"""Rows of parquet files, read a row group at a time."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyloom.data.sources.index import open_index
from anyloom.errors import BadRecord, ConfigError, PluginError

__all__ = ["ParquetRows"]

_KEPT_BYTES = 256 << 20
_MAX_GROUP_BYTES = 4 << 30


class ParquetRows:
    """Rows of one or several parquet files of equal columns; a record maps column names to plain values.

    The row groups last read are kept, up to 256 MB a process: an order that stays near a few of them reads each once.

    Args:
        files: The files, in order.
        columns: Columns to read; all by default.
        index: Folder of the index; beside the first file by default.

    Raises:
        anyloom.errors.ConfigError: A file is missing or no parquet file, or a column is not there.
        anyloom.errors.PluginError: pyarrow is not installed.

    >>> import tempfile, pyarrow, pyarrow.parquet
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.parquet"
    ...     pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2], "text": ["a", "b"]}), path)
    ...     ParquetRows([path], columns=["text"])[1]
    {'text': 'b'}
    """

    def __init__(
        self, files: Sequence[str | Path], *, columns: Sequence[str] | None = None, index: Path | None = None
    ) -> None:
        self.files = [Path(f) for f in files]
        self.columns = None if columns is None else list(columns)
        for file in self.files:
            if not file.is_file():
                raise ConfigError("there is no such file", where=str(file), fix="check the path")
        self._index = open_index(self.files, "parquet", self._groups, folder=index)
        self._kept: OrderedDict[int, Any] = OrderedDict()
        if self.columns is not None and self.files:
            known = _opened(self.files[0]).schema_arrow.names
            missing = [c for c in self.columns if c not in known]
            if missing:
                raise ConfigError(
                    f"no column {', '.join(missing)}", where=str(self.files[0]), fix=f"columns: {', '.join(known)}"
                )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": OrderedDict()}

    def __len__(self) -> int:
        return int(self._index["first"][-1])

    @property
    def shards(self) -> Sequence[range]:
        """One range for each row group."""
        first = self._index["first"].tolist()
        return [range(a, b) for a, b in itertools.pairwise(first) if b > a]

    def where(self, index: int) -> str:
        """Return file and row, for errors."""
        group, row = self._place(index)
        file = int(self._index["file"][group])
        begin = int(self._index["first"][int(np.searchsorted(self._index["file"], file))])
        return f"{self.files[file]}:{int(self._index['first'][group]) - begin + row}"

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """Return a row.

        Raises:
            anyloom.errors.BadRecord: Its row group cannot be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        group, row = self._place(index)
        if group not in self._kept:
            self._read(group, index)
        self._kept.move_to_end(group)
        found: dict[str, Any] = self._kept[group].slice(row, 1).to_pylist()[0]
        return found

    def _place(self, index: int) -> tuple[int, int]:
        first = self._index["first"]
        group = int(np.searchsorted(first, index, side="right")) - 1
        return group, index - int(first[group])

    def _read(self, group: int, index: int) -> None:
        file, number = int(self._index["file"][group]), int(self._index["group"][group])
        size = int(self._index["bytes"][group])
        if size > _MAX_GROUP_BYTES:
            raise BadRecord("too large", self.where(index), f"a row group of {size} bytes")
        while self._kept and sum(t.nbytes for t in self._kept.values()) + size > _KEPT_BYTES:
            self._kept.popitem(last=False)
        try:
            with _opened(self.files[file]) as opened:
                self._kept[group] = opened.read_row_group(number, columns=self.columns, use_threads=False)
        except (OSError, ValueError) as error:  # pyarrow's errors are ones or the others
            raise BadRecord("truncated", self.where(index), f"row group {number} cannot be read ({error})") from error

    def _groups(self) -> dict[str, NDArray[Any]]:
        rows: list[tuple[int, int, int, int]] = []
        for number, file in enumerate(self.files):
            with _opened(file) as opened:
                metadata = opened.metadata
                groups = (metadata.row_group(g) for g in range(metadata.num_row_groups))
                rows += [(number, g, m.num_rows, m.total_byte_size) for g, m in enumerate(groups)]
        table = np.array(rows, np.int64).reshape(-1, 4)
        return {
            "file": table[:, 0],
            "group": table[:, 1],
            "bytes": table[:, 3],
            "first": np.concatenate([[0], np.cumsum(table[:, 2])]),
        }


def _opened(file: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PluginError(
            "parquet files need pyarrow", where=str(file), fix="pip install 'anyloom[parquet]'"
        ) from error
    try:
        return pyarrow.parquet.ParquetFile(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise ConfigError(f"not a parquet file ({error})", where=str(file), fix="check that it is whole") from error
