"""The tables of a suite, from its results; for the report and for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from anyloom.evaluation.control import control_name
from anyloom.evaluation.intervals import interval_of
from anyloom.evaluation.results import Results, Value, named_parts
from anyloom.evaluation.suite import Suite, TableSettings
from anyloom.report.contents import Measure, MeasuredRow
from anyloom.report.tables import shown_value

__all__ = ["markdown_of", "shown_value", "tables_of", "text_of", "value_interval"]


def tables_of(suite: Suite, results: Results) -> list[Measure]:
    """Return the suite's tables; rows, columns and tables without any value are left out.

    >>> settings = TableSettings(title="Words", rows={"all": "all"}, columns={"right": "words/{}/right"})
    >>> suite = Suite(title="Mine", data={}, metrics={}, tables=(settings,))
    >>> results = Results(values={"words/all/right": Value(0.5, 20)})
    >>> [(row.label, row.values, row.count) for row in tables_of(suite, results)[0].rows]
    [('all', [0.5], 20)]
    """
    tables = [_table(settings, results) for settings in suite.tables]
    return [t for t in tables if t.rows]


def _table(settings: TableSettings, results: Results) -> Measure:
    names = {
        row: [pattern.replace("{}", group) for pattern in settings.columns.values()]
        for row, group in settings.rows.items()
    }
    kept = [i for i in range(len(settings.columns)) if any(n[i] in results.values for n in names.values())]
    rows = [row for label, all_ in names.items() for row in _rows(label, [all_[i] for i in kept], results)]
    infos = [i for n in names.values() for x in n if (i := results.info(x)) is not None]
    columns = [list(settings.columns)[i] for i in kept]
    shown = {x for n in names.values() for x in n}
    shown |= {control_name(x) for label, n in names.items() for x in n if not label.startswith(" ")}
    measured = [r for r in rows if any(v is not None for v in r.values)]
    return Measure(
        title=settings.title,
        explanation=settings.explanation or (infos[0].explanation if infos else ""),
        columns=columns,
        rows=[*measured, *_quoted(settings, columns)] if measured else [],
        better=infos[0].better if infos else "higher",
        form=infos[0].form if infos else "percent",
        comparable=len({(i.title, i.better) for i in infos}) <= 1 and not settings.quoted,
        remarks=[*_flagged(results, shown), *_other_counts(settings, measured)],
    )


def _flagged(results: Results, shown: set[str]) -> list[str]:
    return [f"{name}: {said}" for name, all_ in results.flags.items() if _of(name, shown) for said in all_]


def _other_counts(settings: TableSettings, measured: Sequence[MeasuredRow]) -> list[str]:
    """Rows that are quoted from another number of samples than those measured here."""
    own = ", ".join(sorted({f"{row.count:,}" for row in measured}))
    others = {label: row.count for label, row in settings.quoted.items() if row.count is not None}
    different = [f"{label} has {count:,}" for label, count in others.items() if f"{count:,}" != own]
    return [f"quoted rows of another number of samples than {own}: {', '.join(different)}"] if different else []


def _of(flagged: str, shown: set[str]) -> bool:
    """Whether a flag is about a shown value: it names the value, or the ``flagged`` of its metric and group."""
    metric, group, _ = named_parts(flagged)
    return flagged in shown or any(named_parts(name)[:2] == (metric, group) for name in shown)


def _quoted(settings: TableSettings, columns: Sequence[str]) -> list[MeasuredRow]:
    """Published rows; a column that they do not have stays empty."""
    return [
        MeasuredRow(f"{label} (quoted: {row.source})", [row.values.get(column) for column in columns], 0)
        for label, row in settings.quoted.items()
    ]


def _rows(label: str, names: Sequence[str], results: Results) -> list[MeasuredRow]:
    """A row, and below one that is no part of another its control where that was measured."""
    row, control = _row(label, names, results), [control_name(name) for name in names]
    if label.startswith(" ") or not any(name in results.values for name in control):
        return [row]
    return [row, _row(f" {label.strip()}: decoded from true features", control, results)]


def _row(label: str, names: Sequence[str], results: Results) -> MeasuredRow:
    found = [results.values.get(n) for n in names]
    return MeasuredRow(
        label.strip(),
        [None if v is None else v.value for v in found],
        max((v.count for v in found if v is not None), default=0),
        part=label.startswith(" "),
        intervals=[None if v is None else value_interval(results, n, v) for n, v in zip(names, found)],
    )


def value_interval(results: Results, name: str, value: Value) -> tuple[float, float] | None:
    """The 95 % interval of a measured value.

    >>> low, high = value_interval(Results(), "words/all/right", Value(0.5, 20, error=0.1))
    >>> bool(low < 0.5 < high)
    True
    """
    info = results.info(name)
    return interval_of(value.value, value.error, value.count, share=info is None or info.form == "percent")


def text_of(table: Measure) -> str:
    """A table as text, columns aligned.

    >>> print(text_of(Measure("Words", "Share of right words.", ["right"], [MeasuredRow("all", [0.5], 20)])))
    Words (higher is better)
            right   N
      all  50.0 %  20
    """
    head = ["", *table.columns, "N"]
    rows = [
        [
            ("  " if row.part else "") + row.label,
            *(shown_value(v, i, table.form) for v, i in zip(row.values, row.intervals or [None] * len(row.values))),
            str(row.count) if row.count else "–",
        ]
        for row in table.rows
    ]
    widths = [max(len(cells[i]) for cells in (head, *rows)) for i in range(len(head))]
    lines = [
        cells[0].ljust(widths[0]) + "".join(f"  {cell:>{w}}" for cell, w in zip(cells[1:], widths[1:]))
        for cells in (head, *rows)
    ]
    spread = any(i is not None for row in table.rows for i in row.intervals)
    said = f"{table.better} is better" + ("; in brackets 95 % intervals" if spread else "")
    remarks = [f"  note: {remark}" for remark in table.remarks]
    return "\n".join([f"{table.title} ({said})", *(f"  {line}".rstrip() for line in lines), *remarks])


def markdown_of(table: Measure) -> str:
    """A table in Markdown.

    >>> print(markdown_of(Measure("Words", "Share of right words.", ["right"], [MeasuredRow("all", [0.5], 20)])))
    ### Words
    <BLANKLINE>
    Share of right words.
    <BLANKLINE>
    |  | right | N |
    |---|---|---|
    | all | 50.0 % | 20 |
    <BLANKLINE>
    """
    head = ["", *table.columns, "N"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in table.rows:
        intervals = row.intervals or [None] * len(row.values)
        cells = [shown_value(v, i, table.form) for v, i in zip(row.values, intervals)]
        lines.append(f"| {' | '.join([row.label, *cells, str(row.count) if row.count else '–'])} |")
    remarks = [f"- {remark}" for remark in table.remarks]
    return "\n".join([f"### {table.title}", "", table.explanation, "", *lines, "", *remarks]).rstrip() + "\n"
