"""Training curves: read from Lightning's CSV logs, drawn as inline SVG."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from anyloom.report.contents import Curve, Points

__all__ = ["COLOURS", "curve_figure", "read_metrics", "smoothed", "ticks"]

COLOURS: Final = 6
_WIDTH, _HEIGHT = 420, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 10, 38
_LOG_RATIO: Final = 30.0
_DRAWN_POINTS: Final = 300


def read_metrics(paths: Iterable[Path]) -> dict[str, list[tuple[float, float]]]:
    """Read ``metrics.csv`` files of one run, the later ones written after it was resumed.

    Where two files log the same name at the same step, the later one counts. Files that do not exist are left out;
    so is a last line that was cut off by an interrupt.

    Args:
        paths: Files in the order they were written.

    Returns:
        (step, value) pairs in order of steps, by name.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "metrics.csv"
    ...     _ = path.write_text("step,loss" + chr(10) + "0,2.5" + chr(10) + "10,1.5" + chr(10))
    ...     read_metrics([path])
    {'loss': [(0.0, 2.5), (10.0, 1.5)]}
    """
    found: dict[str, dict[float, float]] = {}
    for path in paths:
        if not path.is_file():
            continue
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                step = _number(row.get("step"))
                for name, text in row.items():
                    value = _number(text)
                    if step is not None and value is not None and name not in (None, "step", "epoch"):
                        found.setdefault(name, {})[step] = value
    return {name: sorted(points.items()) for name, points in sorted(found.items())}


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def smoothed(points: Points, share: float = 0.05) -> list[tuple[float, float]]:
    """Average each point with its neighbours, ``share`` of the curve on either side, fewer towards the ends.

    >>> smoothed([(0, 0.0), (1, 3.0), (2, 0.0)], share=0.4)
    [(0, 0.0), (1, 1.0), (2, 0.0)]
    """
    reach, result = max(1, round(share * len(points))), []
    for n, (x, _) in enumerate(points):
        width = min(reach, n, len(points) - 1 - n)
        window = points[n - width : n + width + 1]
        result.append((x, sum(y for _, y in window) / len(window)))
    return result


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two values, about ``count`` of them.

    >>> ticks(0, 10)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(s * power for s in (1, 2, 5, 10) if s * power * count >= span * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


@dataclass(frozen=True)
class _Axes:
    """From values to places in the picture."""

    x: Callable[[float], float]
    y: Callable[[float], float]
    x_ticks: Sequence[float]
    y_ticks: Sequence[float]


def _axes(series: Iterable[Points]) -> _Axes:
    points = [p for s in series for p in s]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low_x, high_x, low, high = min(xs), max(xs), min(ys), max(ys)
    logarithmic = low > 0 and high / low > _LOG_RATIO
    scale: Callable[[float], float] = math.log10 if logarithmic else float
    if logarithmic:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        y_ticks = [10.0**n for n in powers if low <= 10.0**n <= high] or [low, high]
    else:
        margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        low, high = (0.0 if 0 <= low < high / 3 else low - margin), high + margin
        y_ticks = ticks(low, high, 4)
    span_x, span_y = (high_x - low_x) or 1.0, (scale(high) - scale(low)) or 1.0
    return _Axes(
        lambda x: _LEFT + (x - low_x) / span_x * (_WIDTH - _LEFT - _RIGHT),
        lambda y: _HEIGHT - _BOTTOM - (scale(y) - scale(low)) / span_y * (_HEIGHT - _TOP - _BOTTOM),
        ticks(low_x, high_x, 5),
        y_ticks,
    )


def _number_text(value: float) -> str:
    if value and (abs(value) >= 100_000 or abs(value) < 0.001):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:,.4f}".rstrip("0").rstrip(".") if value % 1 else f"{value:,.0f}"


def _path(points: Points, axes: _Axes, kind: str, colour: int) -> str:
    stride = max(1, len(points) // _DRAWN_POINTS)
    kept = [*points[::stride], points[-1]] if stride > 1 else list(points)
    places = [f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in kept]
    if len(places) == 1:
        x, y = places[0].split(",")
        return f'<circle cx="{x}" cy="{y}" r="3" style="fill:var(--c{colour})"/>'
    return f'<path class="{kind}" style="stroke:var(--c{colour})" d="M{" L".join(places)}"/>'


def _frame(axes: _Axes, curve: Curve) -> list[str]:
    base, parts = _HEIGHT - _BOTTOM, []
    for value in axes.y_ticks:
        y = f"{axes.y(value):.1f}"
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y}" dy=".35em" text-anchor="end">{_number_text(value)}</text>')
    for value in axes.x_ticks:
        anchor = "end" if axes.x(value) > _WIDTH - 25 else "middle"
        place = f'x="{axes.x(value):.1f}" y="{base + 14}"'
        parts.append(f'<text {place} text-anchor="{anchor}">{_number_text(value)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(curve.x_label)}</text>')
    turn = f'transform="rotate(-90 11 {(_TOP + base) / 2})"'
    label = f'x="11" y="{(_TOP + base) / 2}" text-anchor="middle" {turn}'
    parts.append(f"<text {label}>{escape(curve.y_label)}</text>")
    return parts


def _legend(names: Mapping[str, Points]) -> str:
    items = [
        f'<span><i style="background:var(--c{n % COLOURS})"></i>{escape(name)}</span>' for n, name in enumerate(names)
    ]
    return f'<figcaption class="legend">{"".join(items)}</figcaption>'


def curve_figure(curve: Curve) -> str:
    """Draw a curve: raw values thin, their running mean thick, one colour per series, without what is not finite.

    >>> curve_figure(Curve("Loss", {})).count("Nothing was logged")
    1
    """
    finite = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in curve.series.items()}
    series = {name: sorted(points) for name, points in finite.items() if points}
    explanation = f'<p class="soft">{escape(curve.explanation)}</p>' if curve.explanation else ""
    heading = f"<h3>{escape(curve.title)}</h3>{explanation}"
    if not series:
        return f'<figure>{heading}<p class="soft">Nothing was logged.</p></figure>'
    axes = _axes(series.values())
    parts = _frame(axes, curve)
    for n, points in enumerate(series.values()):
        if len(points) > 4:
            parts.append(_path(points, axes, "raw", n % COLOURS))
        parts.append(_path(smoothed(points), axes, "smooth", n % COLOURS))
    said = escape(f"{curve.title}: {', '.join(_change(k, v) for k, v in series.items())}", quote=True)
    svg = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{said}">{"".join(parts)}</svg>'
    return f"<figure>{heading}{svg}{_legend(series)}</figure>"


def _change(name: str, points: Points) -> str:
    smooth = smoothed(points)
    return f"{name} goes from {smooth[0][1]:.3g} to {smooth[-1][1]:.3g}"
