"""Alpaca: instructions without media."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from anyloom.errors import BadRecord
from anyloom_corpora.reader import Part, Reader, RecordSource, Share, split_by_order
from anyloom_corpora.tables import cell, table

__all__ = ["Alpaca", "AlpacaSource"]


class AlpacaSource(RecordSource):
    """``{instruction, input, output}``; about two in five rows have an input."""

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return instruction, input and output.

        Raises:
            anyloom.errors.BadRecord: There is no instruction, or no output.
        """
        output = row.get("output")
        if not isinstance(output, str) or not output.strip():
            raise BadRecord("no target", where, "there is no output")
        given = row.get("input")
        return {
            "instruction": cell(row, "instruction", where),
            "input": given.strip() if isinstance(given, str) else "",
            "output": output.strip(),
        }


class Alpaca(Reader):
    """Alpaca: ``alpaca_data.json``, a list of ``{instruction, input, output}``; jsonl and parquet are read too."""

    natural: ClassVar[Mapping[str, float]] = {"instruction": 1, "text-repurposed": 1}

    class Config(Reader.Config):
        """Options.

        Args:
            file: The table, inside ``root``.
            shares: Of train, val and test, by order.
        """

        file: str = "alpaca_data.json"
        shares: tuple[Share, Share, Share] = (1.0, 0.0, 0.0)

    config: Config

    def source(self, split: str) -> Part:
        """Return the instructions of a split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or the file is missing.
        """
        rows = table(self.file(self.config.file))
        return Part(AlpacaSource(rows, self.folder), split_by_order(len(rows), self.config.shares, split, "alpaca"))
