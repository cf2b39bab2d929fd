"""Alpaca: instructions without media."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from anyloom.errors import BadRecord
from anyloom_corpora.media import MediaFolder
from anyloom_corpora.reader import Part, Reader, RecordSource, Rows, Share, split_by_order
from anyloom_corpora.tables import cell, table

__all__ = ["Alpaca", "AlpacaSource"]


FIELDS: Final = ("instruction", "input", "output")


class AlpacaSource(RecordSource):
    """``{instruction, input, output}``; about two in five rows have an input.

    Args:
        rows: The table.
        folder: Limits.
        columns: Field -> column, where the table calls it otherwise.
    """

    def __init__(self, rows: Rows, folder: MediaFolder, columns: Mapping[str, str]) -> None:
        super().__init__(rows, folder)
        self.columns = dict(columns)

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return instruction, input and output.

        Raises:
            anyloom.errors.BadRecord: There is no instruction, or no output.
        """
        instruction, given, output = (self.columns.get(name, name) for name in FIELDS)
        answer = row.get(output)
        if not isinstance(answer, str) or not answer.strip():
            raise BadRecord("no target", where, f"there is no {output}")
        text = row.get(given)
        return {
            "instruction": cell(row, instruction, where),
            "input": text.strip() if isinstance(text, str) else "",
            "output": answer.strip(),
        }


class Alpaca(Reader):
    """Alpaca: ``alpaca_data.json``, a list of ``{instruction, input, output}``; jsonl and parquet are read too.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("alpaca", Path(folder))  # as `anyloom layouts` does
    ...     data = Alpaca(Alpaca.Config(root=root))
    ...     sample = data.build("train")[0]
    ...     sample.task, [m.text for m in sample.conversation.messages]
    ('instruction', ['Name 2 parts of the animal.', 'A honey bee typically has six legs and two pairs of wings.'])
    """

    natural: ClassVar[Mapping[str, float]] = {"instruction": 1, "text-repurposed": 1}

    class Config(Reader.Config):
        """Options.

        Args:
            file: The table, inside ``root``.
            columns: ``instruction``, ``input`` or ``output`` -> column, for tables that call them otherwise.
            shares: Of train, val and test, by order.
        """

        file: str = "alpaca_data.json"
        columns: Mapping[Literal["instruction", "input", "output"], str] = Field(default_factory=dict)
        shares: tuple[Share, Share, Share] = (1.0, 0.0, 0.0)

    config: Config

    def source(self, split: str) -> Part:
        """Return the instructions of a split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or the file is missing.
        """
        rows = table(self.file(self.config.file))
        stretch = split_by_order(len(rows), self.config.shares, split, "alpaca")
        return Part(
            AlpacaSource(rows, self.folder, {str(field): column for field, column in self.config.columns.items()}),
            stretch,
        )
