"""The core stays a size that can be read: lines of code are counted, without blank lines, comments and docstrings."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

from tests.packaging.conftest import ROOT

CORE = ROOT / "core" / "anyloom"
OWN = {"testing", "scaffold", "diffusion"}
"""Rooms that a stranger need not read: the conformance kit, what new plugins start from, the diffusion toolkit."""
WAY = {
    "conversation", "features", "generation", "interfaces", "model", "network", "representation", "sequence",
}  # fmt: skip
"""Rooms that one conversation goes through, from its words and media to those of its answer."""
QUIET = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
}  # fmt: skip


def code_lines(source: str) -> int:
    """Lines that hold code.

    >>> code_lines('"A module."\\n\\nx = 1  # one\\n# a comment\\ndef f():\\n    "Says."\\n    return (\\n  x\\n  )\\n')
    5
    """
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in QUIET:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                lines -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def sizes() -> dict[str, int]:
    """Lines of code of each room; a module beside the rooms is one."""
    found: dict[str, int] = {}
    for path in CORE.rglob("*.py"):
        room = path.relative_to(CORE).parts[0]
        if "templates" not in path.parts:
            found[room] = found.get(room, 0) + code_lines(path.read_text(encoding="utf-8"))
    return found


def test_the_core_does_not_grow() -> None:
    """Decision 60. What only some users need is a plugin: see what can leave before this is raised."""
    found = sizes()
    assert found.keys() >= OWN | WAY
    assert sum(n for room, n in found.items() if room not in OWN) <= 21_000
    assert sum(found[room] for room in WAY) <= 4_900


def test_files_can_be_read_alone() -> None:
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in CORE.rglob("*.py")}
    assert max(lengths.values()) <= 500, max(lengths, key=lambda p: lengths[p])
    assert sorted(lengths.values())[len(lengths) // 2] <= 150


def test_the_page_of_the_decision_says_the_bounds() -> None:
    (page,) = (ROOT / "docs" / "decisions").glob("0060-*.md")
    text = page.read_text(encoding="utf-8")
    assert "21,000" in text
    assert "4,900" in text


def test_lines_are_counted_once() -> None:
    assert code_lines('x = """\na\nb\n"""\n') == 4
    assert code_lines("x = 1; y = 2\n\n\n# z\n") == 1
    assert code_lines(Path(__file__).read_text(encoding="utf-8")) < len(Path(__file__).read_text().splitlines())
