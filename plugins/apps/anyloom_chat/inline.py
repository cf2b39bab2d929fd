"""Pictures inside a terminal, where it can show them: kitty's protocol, iTerm's, or sixel.

Sources: kitty graphics protocol (a=T, f=100, chunks of 4096), iTerm2 inline images (OSC 1337), DEC STD 070 sixel.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final, Literal

__all__ = ["protocol_of", "shown"]

Protocol = Literal["kitty", "iterm", "sixel", "none"]
_CHUNK: Final = 4096
_SIXEL_TERMINALS: Final = ("foot", "mlterm", "contour", "xterm-sixel", "yaft")
_MOST_BYTES: Final = 8 << 20
_WIDEST: Final = 480


def protocol_of(variables: Mapping[str, str] = os.environ, *, stream: IO[str] | None = None) -> Protocol:
    """How the terminal of these environment variables shows pictures.

    Args:
        variables: Of the environment; ``ANYLOOM_INLINE`` (kitty, iterm, sixel, none) decides before all others.
        stream: Where is printed; one that is no terminal shows nothing.

    >>> protocol_of({"TERM": "xterm-kitty"}), protocol_of({"TERM_PROGRAM": "iTerm.app"}), protocol_of({"TERM": "vt100"})
    ('kitty', 'iterm', 'none')
    """
    chosen = variables.get("ANYLOOM_INLINE", "")
    if chosen in ("kitty", "iterm", "sixel", "none"):
        return chosen  # type: ignore[return-value]
    if stream is not None and not stream.isatty():
        return "none"
    term, program = variables.get("TERM", ""), variables.get("TERM_PROGRAM", "")
    if "kitty" in term or "KITTY_WINDOW_ID" in variables or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "vscode"):
        return "iterm"
    return "sixel" if term.startswith(_SIXEL_TERMINALS) else "none"


def shown(file: Path, protocol: Protocol) -> str:
    """The text that makes a terminal show a picture file; empty where it cannot."""
    if protocol == "none" or file.suffix.lower() != ".png" or file.stat().st_size > _MOST_BYTES:
        return ""
    if protocol == "sixel":
        return _sixel(file)
    content = base64.b64encode(file.read_bytes()).decode()
    if protocol == "iterm":
        return f"\x1b]1337;File=inline=1;size={file.stat().st_size}:{content}\a\n"
    pieces = [content[n : n + _CHUNK] for n in range(0, len(content), _CHUNK)]
    heads = [f"{'a=T,f=100,' if n == 0 else ''}m={int(n < len(pieces) - 1)}" for n in range(len(pieces))]
    return "".join(f"\x1b_G{head};{piece}\x1b\\" for head, piece in zip(heads, pieces)) + "\n"


def _sixel(file: Path) -> str:
    """A picture in 256 colours; each row of sixels holds six lines, one pass for each colour in them."""
    from PIL import Image

    with Image.open(file) as picture:
        small = picture.convert("RGB")
        small.thumbnail((_WIDEST, _WIDEST))
        indexed = small.quantize(256)
    palette = indexed.getpalette() or []
    width, height = indexed.size
    pixels = list(indexed.tobytes())
    colours = sorted(set(pixels))
    defined = "".join(
        f"#{c};2;{palette[3 * c] * 100 // 255};{palette[3 * c + 1] * 100 // 255};{palette[3 * c + 2] * 100 // 255}"
        for c in colours
    )
    rows = "-".join("$".join(_passes(pixels, width, height, top)) for top in range(0, height, 6))
    return f'\x1bPq"1;1;{width};{height}{defined}{rows}\x1b\\\n'


def _passes(pixels: list[int], width: int, height: int, top: int) -> Iterator[str]:
    lines = [pixels[y * width : (y + 1) * width] for y in range(top, min(top + 6, height))]
    for colour in sorted({value for line in lines for value in line}):
        sixels = (sum(1 << n for n, line in enumerate(lines) if line[x] == colour) for x in range(width))
        yield f"#{colour}" + "".join(chr(63 + bits) for bits in sixels)
