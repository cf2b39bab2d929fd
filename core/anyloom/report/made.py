"""What made a page, for programs: the facts and the configuration that it shows, as JSON inside it."""

from __future__ import annotations

import json
import re
from html import escape, unescape
from pathlib import Path
from typing import Any, Final

from anyloom.errors import ConversationError
from anyloom.report.contents import Report
from anyloom.storage.json_text import json_value

__all__ = ["made_element", "read_made"]

_FOUND: Final = re.compile(r'<meta name="made-by" content="([^"]*)">')
_MOST_BYTES: Final = 512 << 20


def made_element(report: Report) -> str:
    """The element that :func:`read_made` reads; browsers show nothing of it."""
    made = {"title": report.title, "environment": dict(report.environment), "config": report.config}
    return f'<meta name="made-by" content="{escape(json.dumps(made))}">'


def read_made(page: Path) -> dict[str, Any]:
    """What a page says made it: ``title``, ``environment`` by name, ``config``. Anybody may have written it.

    Raises:
        anyloom.errors.ConversationError: It cannot be read, or says nothing.
    """
    try:
        if page.stat().st_size > _MOST_BYTES:
            raise ConversationError(f"more than {_MOST_BYTES:,} bytes", where=str(page), fix="is it a report?")
        found = _FOUND.search(page.read_text(encoding="utf-8", errors="replace"))
        made = json_value(unescape(found[1])) if found else None
        if not isinstance(made, dict) or not isinstance(made.get("environment"), dict):
            raise ValueError
    except OSError as error:
        raise ConversationError(f"cannot be read ({error.strerror})", where=str(page)) from error
    except ValueError as error:
        fix = "give a page that 'anyloom evaluate', 'demo' or 'data preview' wrote"
        raise ConversationError("the page does not say what made it", where=str(page), fix=fix) from error
    return made
