"""The picture of README and of the site's first page shows answers that the page of samples has."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageChops
from scripts.draw_answers import BLOCK, BLOCKS, DRAWN, GAP, HEAD, PAGE, ROWS, SIDE, samples

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_answers_are_drawn_and_none_is_left_out() -> None:
    shown = samples(PAGE.read_text(encoding="utf-8"))[: ROWS * BLOCKS]
    assert len(shown) == 8
    with Image.open(DRAWN) as opened:
        sheet = opened.convert("RGB")
    for number, (pictures, _) in enumerate(shown):
        for column, picture in enumerate(pictures):
            left, top = number // ROWS * BLOCK + column * (SIDE + GAP), HEAD + number % ROWS * (SIDE + GAP)
            there = sheet.crop((left, top, left + SIDE, top + SIDE))
            assert ImageChops.difference(there, picture).getbbox() is None, (number, column)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_it_is_shown(page: str) -> None:
    place = DRAWN.relative_to((ROOT / page).parent)
    assert f"]({place.as_posix()})" in (ROOT / page).read_text(encoding="utf-8")
