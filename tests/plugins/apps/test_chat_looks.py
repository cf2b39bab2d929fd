"""Pictures in the making on the page: what it is told to show, and that the answer stays the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anyloom import AnyToAnyModel
from anyloom.cli.model_argument import NamedModel
from anyloom_chat.rooms import Rooms

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow  # Gradio


def test_looks_are_shown_until_the_picture_is_there(shipped: AnyToAnyModel, tmp_path: Path) -> None:
    from anyloom_chat.page import Page

    looked, made = dict[bool, int](), dict[bool, bytes]()
    for looks in (False, True):
        rooms = Rooms(NamedModel(shipped, "mini", None), tmp_path / str(looks), seed=3, overrides=[], notes=False)
        page = Page(rooms)
        how = ("image", looks, *[""] * len(page.options))
        shown: list[Any] = [row[2] for row in page.ask({"text": "a red apple", "files": []}, rooms.new(), *how)]
        pictures = [m["content"].value for messages in shown for m in messages if hasattr(m["content"], "value")]
        assert all("<img" in picture for picture in pictures)
        looked[looks] = len(set(pictures))
        (file,) = [m["content"]["path"] for m in shown[-1] if isinstance(m["content"], dict)]
        made[looks] = Path(file).read_bytes()
    assert looked == {False: 0, True: 4}, "ten steps, a look every two of them, the last is the picture"
    assert made[False] == made[True]
