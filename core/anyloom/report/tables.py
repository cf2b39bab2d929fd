"""Tables of a report: measured values, stages, facts, attributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from anyloom.report.contents import Attribution, Measure, MeasuredRow, StageRow

__all__ = ["attribution_table", "duration", "facts_table", "measure_table", "shown_value", "stage_table"]

_SOFT = ('<span class="soft">', "</span>")


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(8.21), duration(75), duration(3700)
    ('8.2 s', '1 min 15 s', '1 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _table(head: Sequence[str], rows: Sequence[str], words: Sequence[int] = ()) -> str:
    """A table; columns of words begin at the left."""
    kinds = [' class="words"' if n in words else "" for n in range(len(head))]
    cells = "".join(f'<th scope="col"{kind}>{escape(h)}</th>' for h, kind in zip(head, kinds))
    body = "".join(rows)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def shown_value(
    value: float | None, interval: tuple[float, float] | None, form: str, *, tags: tuple[str, str] = ("", "")
) -> str:
    """A value with its interval in words.

    Args:
        value: The value.
        interval: Its ends, if they are known.
        form: ``percent`` or ``number``.
        tags: What stands before and behind the interval.

    >>> shown_value(0.385, (0.332, 0.441), "percent"), shown_value(0.358, None, "number")
    ('38.5 (33.2 to 44.1) %', '0.358')
    """
    if value is None:
        return "–"
    scale, digits, unit = (100, 1, " %") if form == "percent" else (1, 3, "")
    ends = " to ".join(f"{scale * end:.{digits}f}" for end in interval or ())
    spread = f" {tags[0]}({ends}){tags[1]}" if ends else ""
    return f"{scale * value:.{digits}f}{spread}{unit}"


def measure_table(measure: Measure) -> str:
    """Heading, explanation and table of one measure; the best value of a row stands out.

    >>> table = measure_table(Measure("Words", "Share of right words.", ["right"], [MeasuredRow("all", [0.5], 20)]))
    >>> "Higher is better" in table, "50.0 %" in table
    (True, True)
    """
    direction = "Higher is better." if measure.better == "higher" else "Lower is better."
    rows = [_measured_row(measure, row) for row in measure.rows]
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in measure.remarks)
    return (
        f"<h3>{escape(measure.title)}</h3><p>{escape(measure.explanation)} {direction}</p>"
        f"{_table(['', *measure.columns, 'N'], rows)}"
    ) + (f"<ul>{remarks}</ul>" if remarks else "")


def _measured_row(measure: Measure, row: MeasuredRow) -> str:
    known = [v for v in row.values if v is not None]
    several = measure.comparable and len(set(known)) > 1
    best = (max if measure.better == "higher" else min)(known) if several else None
    cells = "".join(
        f"<td{' class=best' if value is not None and value == best else ''}>"
        f"{shown_value(value, ends, measure.form, tags=_SOFT)}</td>"
        for value, ends in zip(row.values, row.intervals or [None] * len(row.values))
    )
    label = f"<td{' class=part' if row.part else ''}>{escape(row.label)}</td>"
    return f"<tr>{label}{cells}<td>{f'{row.count:,}' if row.count else '–'}</td></tr>"


def stage_table(stages: Sequence[StageRow]) -> str:
    """What each stage cost, with the sum of the times.

    >>> "1 min" in stage_table([StageRow("encoders", "What media look like", seconds=60.0, steps=100)])
    True
    """
    head = ["Stage", "What it trains", "Time", "Steps", "Samples/s", "Peak memory", "Trained parameters"]
    rows = [_stage_row(s) for s in stages]
    total = duration(sum(s.seconds for s in stages))
    rows.append(f"<tr><td><b>All</b></td><td></td><td><b>{total}</b></td><td></td><td></td><td></td><td></td></tr>")
    return _table(head, rows, words=(1,))


def _stage_row(stage: StageRow) -> str:
    speed = "–" if stage.samples_per_second is None else f"{stage.samples_per_second:,.0f}"
    memory = "–" if stage.memory is None else f"{stage.memory / 2**30:.2f} GiB"
    parameters = "–" if stage.parameters is None else f"{stage.parameters / 1e6:.2f} M"
    numbers = (duration(stage.seconds), f"{stage.steps:,}", speed, memory, parameters)
    cells = "".join(f"<td>{n}</td>" for n in numbers)
    return f'<tr><td>{escape(stage.name)}</td><td class="words">{escape(stage.summary)}</td>{cells}</tr>'


def facts_table(facts: Mapping[str, str]) -> str:
    """Two columns, name and value.

    >>> "<td>Python</td>" in facts_table({"Python": "3.11"})
    True
    """
    rows = [f'<tr><td>{escape(k)}</td><td class="words">{escape(v)}</td></tr>' for k, v in facts.items()]
    return _table(["", ""], rows)


def attribution_table(attributions: Sequence[Attribution]) -> str:
    """Whose work was used, under which licence; addresses are text, so that the page refers to nothing outside.

    >>> "CC BY 4.0" in attribution_table([Attribution("A song", "Somebody", "CC BY 4.0")])
    True
    """
    rows = [
        f"<tr><td>{escape(a.what)}</td>"
        + "".join(f'<td class="words">{escape(text)}</td>' for text in (a.author, a.licence, a.source))
        + "</tr>"
        for a in attributions
    ]
    return _table(["What", "By", "Licence", "From"], rows, words=(1, 2, 3))
