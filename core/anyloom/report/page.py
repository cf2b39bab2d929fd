"""Puts the parts of a report together into one HTML file that refers to nothing outside itself."""

from __future__ import annotations

from html import escape
from pathlib import Path

from anyloom.report.contents import Headline, Report
from anyloom.report.curves import curve_figure
from anyloom.report.made import made_element
from anyloom.report.samples import sample_group
from anyloom.report.style import STYLE
from anyloom.report.tables import attribution_table, facts_table, measure_table, stage_table
from anyloom.storage.atomic import write_text

__all__ = ["render", "write_report"]


def write_report(path: str | Path, report: Report) -> Path:
    """Write the page; an older one at the same place is replaced only when the new one is complete.

    Args:
        path: The HTML file; its folder is made.
        report: What it says.

    Returns:
        The path.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(Path(folder) / "report.html", Report("Mine", "What was measured.")).name
    'report.html'
    """
    path = Path(path)
    write_text(path, render(report))
    return path


def render(report: Report) -> str:
    """Return the page as HTML.

    >>> page = render(Report("A & B", "What was measured."))
    >>> page.count("A &amp; B") > 0, page.startswith("<!doctype html>")
    (True, False)
    """
    sections = _sections(report)
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in sections)
    body = "".join(f'<section id="{key}"><h2>{escape(title)}</h2>{text}</section>' for key, title, text in sections)
    warning = f'<p class="warning">{escape(report.warning)}</p>' if report.warning else ""
    paragraphs = "".join(f"<p>{escape(p.strip())}</p>" for p in report.summary.split("\n\n") if p.strip())
    headlines = f'<div class="headlines">{"".join(map(_headline, report.headlines))}</div>' if report.headlines else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style>{made_element(report)}</head>\n"
        f"<body><main><h1>{escape(report.title)}</h1>{warning}{paragraphs}{headlines}"
        f"<nav>{links}</nav>\n{body}</main></body></html>\n"
    )


def _headline(headline: Headline) -> str:
    note = f'<div class="soft">{escape(headline.note)}</div>' if headline.note else ""
    return f'<div class="headline"><b>{escape(headline.value)}</b>{escape(headline.label)}{note}</div>'


def _measures(report: Report) -> str:
    """The tables, further ones folded away."""
    folded = "".join(measure_table(m) for m in report.measures if m.folded)
    details = f"<details><summary>Further measures</summary>{folded}</details>" if folded else ""
    note = f"<p>{escape(report.measures_note)}</p>" if report.measures_note else ""
    return note + "".join(measure_table(m) for m in report.measures if not m.folded) + details


def _sections(report: Report) -> list[tuple[str, str, str]]:
    """Anchor, title and HTML of every part that has something to say."""
    sections: list[tuple[str, str, str]] = []
    if report.samples:
        text = "".join(map(sample_group, report.samples))
        sections.append(("samples", report.samples_title, text))
    if report.measures:
        sections.append(("measures", "Measured values", _measures(report)))
    if report.curves:
        lead = "<p>Thin: as logged. Thick: running mean.</p>"
        text = f'{lead}<div class="curves">{"".join(map(curve_figure, report.curves))}</div>'
        sections.append(("curves", "How training went", text))
    if report.stages:
        sections.append(("stages", "Time and memory", stage_table(report.stages)))
    if report.environment or report.config:
        facts = facts_table(report.environment) if report.environment else ""
        config = f"<details><summary>Configuration</summary><pre>{escape(report.config)}</pre></details>"
        sections.append(("environment", "Environment", facts + (config if report.config else "")))
    if report.attributions:
        sections.append(("attribution", "Whose work was used", attribution_table(report.attributions)))
    return sections
