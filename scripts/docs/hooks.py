"""What mkdocs calls while it builds the site: adds the pages that are made from the code."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

from reference import pages

DECISIONS = Path(__file__).resolve().parents[2] / "docs" / "decisions"


def on_config(config: Any) -> Any:
    """Put the decision records into the navigation, in their order."""
    records = [{_title(p): f"decisions/{p.name}"} for p in sorted(DECISIONS.glob("*.md"))]
    config["nav"].append({"Decisions": records})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Take out the roles of reStructuredText that docstrings have, such as ``:class:``."""
    return re.sub(r":(?:attr|class|data|func|meth|mod):(?=<code)", "", html)


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
