"""Rows of csv and tsv files, found by their offsets."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anyloom.data.sources import JsonFile, JsonLines, Lines, ParquetRows
from anyloom.errors import BadRecord, ConfigError
from anyloom_corpora.reader import Rows

__all__ = ["CsvRows", "captions", "cell", "file_names", "parquet_columns", "parquet_texts", "table"]


class CsvRows:
    """Rows of a csv file as texts by column.

    Args:
        path: The file.
        columns: Names of its columns; the first line gives them by default.
        delimiter: What stands between fields.
        quoted: Whether fields may stand in double quotes, which may then hold delimiters and line ends.
        comment: Lines at the top that begin with this are no rows.

    Raises:
        anyloom.errors.ConfigError: There is no such file, or it has no header.
    """

    def __init__(
        self,
        path: Path,
        *,
        columns: Sequence[str] | None = None,
        delimiter: str = ",",
        quoted: bool = True,
        comment: str = "",
    ) -> None:
        self.lines = Lines(path, quoted=quoted)
        self.delimiter, self.quoted = delimiter, quoted
        self.first = 0
        while comment and self.first < len(self.lines) and self.lines.text(self.first).startswith(comment):
            self.first += 1
        if columns is None:
            if self.first >= len(self.lines):
                raise ConfigError("the file is empty, a header is expected", where=str(path), fix="check the file")
            try:
                columns = [name.strip() for name in self._fields(self.first)]
            except BadRecord as error:
                raise ConfigError(f"no header ({error.what})", where=str(path), fix="give csv in UTF-8") from error
            self.first += 1
        self.columns = tuple(columns)

    def __len__(self) -> int:
        return len(self.lines) - self.first

    @property
    def shards(self) -> Sequence[range]:
        """One range: rows are read at random as cheaply as in order."""
        return [range(len(self))]

    def where(self, index: int) -> str:
        """Return file and line number, for errors."""
        return self.lines.where(index + self.first)

    def __getitem__(self, index: int) -> Mapping[str, str]:
        """Return a row.

        Raises:
            anyloom.errors.BadRecord: It has more or fewer fields than the header, or is no csv.
        """
        fields = self._fields(index + self.first)
        if len(fields) != len(self.columns):
            what = f"{len(fields)} fields, {len(self.columns)} columns"
            raise BadRecord("bad row", self.where(index), what)
        return dict(zip(self.columns, fields))

    def _fields(self, line: int) -> list[str]:
        text = self.lines.text(line)
        if not self.quoted:
            return text.split(self.delimiter)
        try:
            return next(csv.reader([text], delimiter=self.delimiter, skipinitialspace=True, strict=True))
        except (csv.Error, StopIteration) as error:
            raise BadRecord("bad row", self.lines.where(line), f"no csv ({error})") from error


def table(path: Path) -> Rows:
    """Return the rows of a file by what its name ends with: csv, tsv, json, jsonl or parquet.

    A folder counts as the parquet files in it.

    Raises:
        anyloom.errors.ConfigError: There is no such file, or it is of another kind.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.csv"
    ...     _ = path.write_text("name,caption" + chr(10) + "1.png,a red hat" + chr(10))
    ...     dict(table(path)[0])
    {'name': '1.png', 'caption': 'a red hat'}
    """
    suffix = path.suffix.lower()
    if path.is_dir() and (parts := sorted(path.rglob("*.parquet"))):
        return ParquetRows(parts)
    if suffix == ".csv":
        return CsvRows(path)
    if suffix in (".tsv", ".tab"):
        return CsvRows(path, delimiter="\t")
    if suffix == ".json":
        return JsonFile(path)
    if suffix in (".jsonl", ".ndjson"):
        return JsonLines(path)
    if suffix == ".parquet":
        return ParquetRows([path])
    raise ConfigError("not a kind of table that is read", where=str(path), fix="give csv, tsv, json, jsonl or parquet")


def parquet_columns(path: Path) -> list[str]:
    """Return the names of a parquet file's columns.

    >>> import tempfile, pyarrow, pyarrow.parquet
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pyarrow.parquet.write_table(pyarrow.table({"id": [1], "text": ["a"]}), Path(folder) / "a.parquet")
    ...     parquet_columns(Path(folder) / "a.parquet")
    ['id', 'text']
    """
    import pyarrow.parquet

    return list(pyarrow.parquet.read_schema(path).names)


def parquet_texts(files: Sequence[Path], column: str) -> Iterator[str]:
    """Return a column of parquet files as texts, a row group at a time.

    >>> import tempfile, pyarrow, pyarrow.parquet
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2]}), Path(folder) / "a.parquet")
    ...     list(parquet_texts([Path(folder) / "a.parquet"], "id"))
    ['1', '2']
    """
    import pyarrow.parquet

    for path in files:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=[column], use_threads=False):
                yield from map(str, batch.column(0).to_pylist())


def cell(row: Mapping[str, Any], column: str, where: str) -> str:
    """Return a field of a row as text.

    Raises:
        anyloom.errors.BadRecord: There is no such column, or the field is empty or no text.

    >>> cell({"caption": " a red hat "}, "caption", "a.csv:2")
    'a red hat'
    >>> try:
    ...     cell({"caption": ""}, "caption", "a.csv:3")
    ... except BadRecord as error:
    ...     print(error.reason, error.where)
    bad row a.csv:3
    """
    value = row.get(column)
    if isinstance(value, bytes):  # a column of another type than it should have
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            raise BadRecord("wrong format", where, f"{column} is not UTF-8 ({error.reason})") from error
    if isinstance(value, (list, tuple, Mapping)):
        raise BadRecord("bad row", where, f"{column} is a {type(value).__name__}, a text is expected")
    empty = value is None or (isinstance(value, float) and math.isnan(value))  # pandas writes NaN for nothing
    text = "" if empty else str(value).strip()
    if not text:
        known = "" if column in row else f"; columns: {', '.join(map(str, row))}"
        raise BadRecord("bad row", where, f"no {column}{known}")
    return text


def captions(row: Mapping[str, Any], column: str, where: str) -> str | list[str]:
    """Return the caption of a row, or its captions.

    Raises:
        anyloom.errors.BadRecord: There is none.

    >>> captions({"caption": [" a red hat ", ""]}, "caption", "a.parquet:2")
    ['a red hat']
    """
    value = row.get(column)
    if not isinstance(value, (list, tuple)):
        return cell(row, column, where)
    found = [text.strip() for text in value if isinstance(text, str) and text.strip()]
    if found:
        return found
    raise BadRecord("no target", where, f"no {column}")


def file_names(row: Mapping[str, Any], patterns: Sequence[str], where: str) -> list[str]:
    """Return the names that a row's file may have: patterns whose columns the table lacks are left out.

    Raises:
        anyloom.errors.BadRecord: No pattern fits the table's columns.

    >>> file_names({"id": "7"}, ("{id}.jpg", "{folder}/{id}.jpg"), "a.csv:2")
    ['7.jpg']
    """
    found: list[str] = []
    for pattern in patterns:
        try:
            found.append(pattern.format_map(row))
        except (KeyError, ValueError, AttributeError, IndexError):
            continue
    if not found:
        raise BadRecord("bad row", where, f"no column for {' or '.join(patterns)}; columns: {', '.join(map(str, row))}")
    return found
