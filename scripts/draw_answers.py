"""Draws docs/assets/mini-answers.png: the first answers of docs/mini-samples.html, none left out.

python scripts/draw_answers.py
"""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "mini-samples.html"
DRAWN = ROOT / "docs" / "assets" / "mini-answers.png"
HEADS = ("an example:", "this to that", "and this?", "answer", "wanted")
"""Over the five pictures of a sample; on the page the wanted one stands before the answer."""
ROWS, BLOCKS, SIDE, GAP, HEAD = 4, 2, 64, 8, 20
BLOCK = len(HEADS) * (SIDE + GAP) + 64


def samples(page: str) -> list[tuple[list[Image.Image], bool]]:
    """The five pictures of every sample, in the order of HEADS, and whether its answer is right."""
    found = []
    for part in page.split('<div class="sample">')[1:]:
        data = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", part)
        before, after, asked, wanted, answer = (
            Image.open(io.BytesIO(base64.b64decode(d))).convert("RGB") for d in data
        )
        verdict = re.search(r"(Right|Wrong)", part.rpartition("note soft")[2])
        assert verdict is not None
        found.append(([before, after, asked, answer, wanted], verdict[1] == "Right"))
    return found


def drawn(page: str) -> Image.Image:
    """The first samples, row by row."""
    width, height = BLOCKS * BLOCK - 16, HEAD + ROWS * (SIDE + GAP)
    sheet = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (pictures, right) in enumerate(samples(page)[: ROWS * BLOCKS]):
        block, row = divmod(number, ROWS)
        left, top = block * BLOCK, HEAD + row * (SIDE + GAP)
        for column, (picture, head) in enumerate(zip(pictures, HEADS)):
            x = left + column * (SIDE + GAP)
            sheet.paste(picture, (x, top))
            if row == 0:
                pen.text((x, 3), head, "black", font)
        text, colour = ("right", "#1a7f37") if right else ("wrong", "#b42318")
        pen.text((left + len(HEADS) * (SIDE + GAP), top + SIDE // 2 - 6), text, colour, font)
    return sheet


def main() -> int:
    """Write the picture."""
    DRAWN.parent.mkdir(exist_ok=True)
    drawn(PAGE.read_text(encoding="utf-8")).save(DRAWN, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
