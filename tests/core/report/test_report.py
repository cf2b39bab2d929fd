"""The page is well formed, refers to nothing outside itself, and lets nobody's text become markup."""

from __future__ import annotations

import itertools
import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from anyloom.conversation import Conversation, Media, Message
from anyloom.errors import ConversationError
from anyloom.report import (
    Attribution,
    Curve,
    Headline,
    Measure,
    MeasuredRow,
    Report,
    SampleGroup,
    SampleRow,
    StageRow,
    read_made,
    read_metrics,
    render,
    write_report,
)
from anyloom.report.curves import curve_figure, smoothed, ticks
from anyloom.report.tables import duration, measure_table

EVIL = "<script>alert('x')</script>\"><img src=http://evil/ onerror=1>&amp;"
VOID = {"meta", "img", "br", "line", "path", "circle", "link", "input", "hr"}


class Checker(HTMLParser):
    """Follows open tags, collects what could refer to the outside and every text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for key, value in attrs:
            assert not key.startswith("on"), f"{tag} has {key}"
            if key in ("src", "href", "srcset", "data", "action"):
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"nothing is open where {tag} ends"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def full_report(text: str = "plain") -> Report:
    picture = Media("image", torch.zeros(3, 4, 4), key="p")
    sound = Media("audio", torch.zeros(1, 800), meta={"sample_rate": 16000.0})
    feature = Media("image", features=torch.zeros(1, 4))
    prompt = Conversation([Message("system", text), Message("user", [picture, text, sound])])
    row = SampleRow(prompt, Message("assistant", [picture]), Message("assistant", [feature, text]), note=text)
    return Report(
        title=text,
        summary=f"{text}\n\nSecond.",
        warning=text,
        headlines=[Headline(text, text, text)],
        measures_note=text,
        measures=[Measure(text, text, ["trained", text], [MeasuredRow(text, [0.5, None], 12)])],
        samples=[SampleGroup(text, text, [row])],
        curves=[Curve(text, {text: [(0, 1.0), (1, 0.5)]}, x_label=text, y_label=text, explanation=text)],
        stages=[StageRow(text, text, 75, 1000, 12.3, 2**30, 2_500_000), StageRow("bare", "", 5, 1)],
        environment={text: text},
        config=text,
        attributions=[Attribution(text, text, text, text)],
    )


def test_page_is_well_formed_and_self_contained(tmp_path: Path) -> None:
    path = write_report(tmp_path / "new" / "report.html", full_report())
    page = path.read_text(encoding="utf-8")
    checker = checked(page)
    assert page.startswith("<!DOCTYPE html>")
    assert all(a.startswith(("data:", "#")) for a in checker.addresses)
    anchors = {a[1:] for a in checker.addresses if a.startswith("#")}
    assert anchors == set(re.findall(r'<section id="(\w+)"', page))
    assert not re.search(r"url\(|@import|<link|<script|https?://", page)
    assert {"img", "audio", "svg", "table", "details"} <= set(checker.tags)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_text_cannot_become_markup() -> None:
    plain, evil = checked(render(full_report())), checked(render(full_report(EVIL)))
    assert evil.tags == plain.tags
    assert evil.text.count(EVIL) >= 20
    assert "script" not in evil.tags


def test_empty_report_has_no_empty_sections() -> None:
    checker = checked(render(Report(title="Nothing", summary="")))
    assert "section" not in checker.tags


def test_media_that_cannot_be_shown_say_so() -> None:
    broken = Message("user", [Media("image", torch.zeros(2, 2)), Media("no-such-<modality>", torch.zeros(2))])
    row = SampleRow(Conversation([broken]), broken, broken)
    text = checked(render(Report("t", "s", samples=[SampleGroup("g", "", [row])]))).text
    assert "expected a tensor (3, H, W)" in text
    assert "no-such-<modality>" in text


def test_metrics_of_an_interrupted_run_are_joined(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("epoch,step,train/loss,val/loss\n0,0,3.0,\n0,1,,2.5\n0,2,2.0,\n")
    (tmp_path / "b.csv").write_text("epoch,step,train/loss\n0,2,1.9\n0,3,nan\n0,4,1.0\n0,5")
    found = read_metrics([tmp_path / "a.csv", tmp_path / "none.csv", tmp_path / "b.csv"])
    assert found == {"train/loss": [(0, 3.0), (2, 1.9), (4, 1.0)], "val/loss": [(1, 2.5)]}


def places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", path)]


def test_curve_of_known_data() -> None:
    figure = curve_figure(Curve("falling", {"train/loss": [(0, 4.0), (50, 2.0), (100, 0.0)]}))
    (points,) = [places(d) for d in re.findall(r'class="smooth"[^>]* d="M([^"]*)"', figure)]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.11)
    assert y0 < y1 < y2, "a falling curve goes down, which is up in SVG's y"
    labels = re.findall(r"<text[^>]*>([^<]*)</text>", figure)
    assert {"0", "20", "100", "optimizer step", "loss"} <= set(labels)
    assert "falling: train/loss goes from 4 to 0" in figure
    checked(figure)


def test_wide_ranges_are_drawn_on_a_logarithmic_axis() -> None:
    figure = curve_figure(Curve("c", {"a": [(n, 10.0**-n) for n in range(4)]}))
    at = {label: float(y) for y, label in re.findall(r'<text[^>]* y="([\d.]+)" dy[^>]*>([^<]*)</text>', figure)}
    assert set(at) == {"1", "0.1", "0.01", "0.001"}
    assert at["0.1"] - at["1"] == pytest.approx(at["0.001"] - at["0.01"], abs=0.11)


def test_curves_with_one_point_or_none() -> None:
    assert "<circle" in curve_figure(Curve("c", {"a": [(3, 1.0)]}))
    assert "Nothing was logged" in curve_figure(Curve("c", {"a": []}))


def test_smoothing_keeps_a_line_and_the_mean_of_noise() -> None:
    line = [(float(x), 2.0 * x) for x in range(41)]
    assert [y for _, y in smoothed(line)] == pytest.approx([y for _, y in line])
    noise = [(float(x), float(x % 2)) for x in range(101)]
    assert [y for _, y in smoothed(noise)[10:-10]] == pytest.approx([0.5] * 81, abs=0.1)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.001, 0.0042), (3, 17), (0, 12345), (-2, 3)])
def test_ticks_are_inside_and_even(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 7
    assert low - 1e-9 <= found[0] < found[-1] <= high + 1e-9
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert gaps == pytest.approx([gaps[0]] * len(gaps))


def test_best_value_is_marked() -> None:
    rows = [MeasuredRow("a", [0.2, 0.4, None], 10), MeasuredRow("same", [0.1, 0.1], 5)]
    higher = measure_table(Measure("t", "e", ["x", "y", "z"], rows))
    assert re.findall(r"<td class=best>([^<]*)", higher) == ["40.0 %"]
    lower = measure_table(Measure("t", "e", ["x", "y", "z"], rows, better="lower", form="number"))
    assert re.findall(r"<td class=best>([^<]*)", lower) == ["0.200"]
    assert "Lower is better." in lower


def test_folded_measures_come_last_and_closed() -> None:
    tables = [Measure(t, "", ["x"], [MeasuredRow("r", [0.5], 3)], folded=t == "minor") for t in ("minor", "major")]
    page = render(Report("t", "s", measures=tables))
    assert page.index("major") < page.index("<details>") < page.index("minor")
    checked(page)


def test_durations() -> None:
    assert [duration(s) for s in (0, 9.96, 59.6, 3599.7)] == ["0.0 s", "10.0 s", "1 min 0 s", "1 h 0 min"]


def test_a_page_says_what_made_it_to_programs_too(tmp_path: Path) -> None:
    report = Report(title=EVIL, summary="", environment={"Command": f"anyloom evaluate {EVIL}"}, config="a: </script>")
    page = write_report(tmp_path / "report.html", report)
    assert read_made(page) == {"title": EVIL, "environment": dict(report.environment), "config": report.config}


@pytest.mark.parametrize("text", ["", "<html></html>", "[1]", "{}", '{"environment": 1}', "[" * 100_000])
def test_pages_that_say_nothing_are_one_clear_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(f'<meta name="made-by" content="{escape(text)}">', encoding="utf-8")
    with pytest.raises(ConversationError, match="does not say what made it"):
        read_made(tmp_path / "a.html")
    with pytest.raises(ConversationError, match="cannot be read"):
        read_made(tmp_path / "none.html")
