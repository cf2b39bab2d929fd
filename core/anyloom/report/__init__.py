"""One self-contained HTML page about a run: what was measured, what came out, how training went."""

from anyloom.report.contents import (
    Attribution,
    Curve,
    Headline,
    Measure,
    MeasuredRow,
    Report,
    SampleGroup,
    SampleRow,
    StageRow,
)
from anyloom.report.curves import read_metrics
from anyloom.report.made import read_made
from anyloom.report.page import render, write_report

__all__ = [
    "Attribution",
    "Curve",
    "Headline",
    "Measure",
    "MeasuredRow",
    "Report",
    "SampleGroup",
    "SampleRow",
    "StageRow",
    "read_made",
    "read_metrics",
    "render",
    "write_report",
]
