"""The tables of a suite, from its results; for the report and for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from anyloom.evaluation.results import Results
from anyloom.evaluation.suite import Suite, TableSettings
from anyloom.report.contents import Measure, MeasuredRow

__all__ = ["shown_value", "tables_of", "text_of"]


def tables_of(suite: Suite, results: Results) -> list[Measure]:
    """Return the suite's tables; rows, columns and tables without any value are left out."""
    tables = [_table(settings, results) for settings in suite.tables]
    return [t for t in tables if t.rows]


def _table(settings: TableSettings, results: Results) -> Measure:
    names = {
        row: [pattern.replace("{}", group) for pattern in settings.columns.values()]
        for row, group in settings.rows.items()
    }
    kept = [i for i in range(len(settings.columns)) if any(n[i] in results.values for n in names.values())]
    rows = [_row(label, [all_[i] for i in kept], results) for label, all_ in names.items()]
    infos = [i for n in names.values() for x in n if (i := results.info(x)) is not None]
    return Measure(
        title=settings.title,
        explanation=settings.explanation or (infos[0].explanation if infos else ""),
        columns=[list(settings.columns)[i] for i in kept],
        rows=[r for r in rows if any(v is not None for v in r.values)],
        better=infos[0].better if infos else "higher",
        form=infos[0].form if infos else "percent",
    )


def _row(label: str, names: Sequence[str], results: Results) -> MeasuredRow:
    found = [results.values.get(n) for n in names]
    return MeasuredRow(
        label.strip(),
        [None if v is None else v.value for v in found],
        max((v.count for v in found if v is not None), default=0),
        part=label.startswith(" "),
        errors=[None if v is None else v.error for v in found],
    )


def shown_value(value: float | None, error: float | None, form: str) -> str:
    """A value with its standard error in words.

    >>> shown_value(0.385, 0.0344, "percent"), shown_value(0.358, None, "number"), shown_value(None, None, "number")
    ('38.5 ± 3.4 %', '0.358', '–')
    """
    if value is None:
        return "–"
    scale, digits, unit = (100, 1, " %") if form == "percent" else (1, 3, "")
    spread = "" if error is None else f" ± {scale * error:.{digits}f}"
    return f"{scale * value:.{digits}f}{spread}{unit}"


def text_of(table: Measure) -> str:
    """A table as text, columns aligned."""
    head = ["", *table.columns, "N"]
    rows = [
        [
            ("  " if row.part else "") + row.label,
            *(shown_value(v, e, table.form) for v, e in zip(row.values, row.errors)),
            str(row.count),
        ]
        for row in table.rows
    ]
    widths = [max(len(cells[i]) for cells in (head, *rows)) for i in range(len(head))]
    lines = [
        cells[0].ljust(widths[0]) + "".join(f"  {cell:>{w}}" for cell, w in zip(cells[1:], widths[1:]))
        for cells in (head, *rows)
    ]
    return "\n".join([f"{table.title} ({table.better} is better)", *(f"  {line}".rstrip() for line in lines)])
