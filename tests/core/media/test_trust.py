"""A conversation is data: it names registered modalities and files below its root, and reaches nothing else."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyloom.conversation import Media
from anyloom.errors import AnyloomError, ConversationError, MediaError, UnknownNameError
from anyloom.media import conversation_from_json, io_for, read_media, write_media


def asking(**part: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [part]}]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return write_media(Media("image", torch.rand(3, 4, 4)), tmp_path / "outside.png")


def test_class_path_in_data_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "evilpkg").mkdir()
    (tmp_path / "evilpkg" / "__init__.py").write_text("open('canary', 'w').close()\nclass Thing: pass\n")
    (tmp_path / "x").touch()
    code = """
import anyloom
from anyloom.errors import UnknownNameError
from anyloom.media import conversation_from_json, io_for
for kind in ("evilpkg.Thing", "evilpkg:Thing", "evilpkg"):
    for act in (
        lambda: conversation_from_json([{"role": "user", "content": [{"type": kind, "path": "x"}]}]),
        lambda: anyloom.read_media("x", kind),
        lambda: anyloom.Media(kind, loader=list).save("y"),
        lambda: io_for(kind),
    ):
        try:
            act()
        except UnknownNameError as error:
            print("refused")
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["refused"] * 12
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("how", ["absolute", "dots", "link", "folder-link", "dots-inside"])
def test_paths_stay_below_the_root(outside: Path, how: str) -> None:
    root = outside.parent / "root"
    (root / "link.png").symlink_to(outside)
    (root / "up").symlink_to(outside.parent)
    (root / "deep").mkdir()
    path = {
        "absolute": str(outside),
        "dots": "../outside.png",
        "link": "link.png",
        "folder-link": "up/outside.png",
        "dots-inside": "deep/../../outside.png",
    }[how]
    with pytest.raises(ConversationError, match=r"leaves the folder.*anywhere=True") as caught:
        conversation_from_json(asking(type="image", path=path), root=root, where="a.jsonl:3")
    assert caught.value.where == "a.jsonl:3.messages[0].content[0]"
    trusted = conversation_from_json(asking(type="image", path=path), root=root, anywhere=True)
    assert trusted.media[0].tensor().shape == (3, 4, 4)


def test_paths_that_come_back_are_inside(outside: Path) -> None:
    root = outside.parent / "root"
    write_media(Media("image", torch.rand(3, 2, 2)), root / "a.png")
    (root / "deep").mkdir()
    for path in ("a.png", "./a.png", "deep/../a.png", str(root / "a.png")):
        assert conversation_from_json(asking(type="image", path=path), root=root).media[0].tensor().shape == (3, 2, 2)


def test_the_working_folder_is_the_root_where_none_is_given(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(outside.parent / "root")
    with pytest.raises(ConversationError, match="leaves the folder"):
        conversation_from_json(asking(type="image", path="../outside.png"))


@pytest.mark.parametrize("path", ["a" * 300, "a\0b", "\ud800.png", "", "/dev/zero", "/dev/stdin", "."])
def test_paths_that_name_no_file(tmp_path: Path, path: str) -> None:
    for anywhere in (False, True):
        with pytest.raises(AnyloomError):
            conversation_from_json(asking(type="image", path=path), root=tmp_path, anywhere=anywhere)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        "hello",
        [3],
        [{"role": "user"}],
        [{"role": "robot", "content": "x"}],
        [{"role": ["user"], "content": "x"}],
        [{"role": "user", "content": 3}],
        [{"role": "user", "content": [None]}],
        asking(type="text"),
        asking(type="text", text=3),
        asking(type="text", text="\udfff"),
        asking(type="text", path="a.png"),
        asking(type="image"),
        asking(type="image", path=3),
        asking(type="image", path=["a.png"]),
        asking(type=["image"], path="a.png"),
        asking(type="image_url", image_url={"url": "http://127.0.0.1/a.png"}),
        [{"role": "user", "content": "\ud800"}],
    ],
)
def test_data_of_another_form_is_one_error(tmp_path: Path, value: Any) -> None:
    with pytest.raises(AnyloomError) as caught:
        conversation_from_json(value, root=tmp_path, where="a.jsonl:3")
    assert caught.value.where.startswith("a.jsonl:3")
    assert len(str(caught.value)) < 600


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "path", "x"]), inner),
    max_leaves=6,
)
_PART = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "image", "audio", "evil.Thing", ""]) | _JSON,
        "text": st.text(max_size=8) | _JSON,
        "path": st.sampled_from(["a.png", "../a.png", "/etc/passwd", "\0", "a" * 400, "."]) | _JSON,
    },
)
_MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "robot"]) | _JSON,
        "content": st.lists(_PART | _JSON, max_size=3) | _JSON,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_MESSAGE | _JSON, max_size=3) | st.fixed_dictionaries({"messages": st.lists(_MESSAGE)}) | _JSON)
def test_any_json_is_a_conversation_or_one_error(value: Any) -> None:
    with contextlib.suppress(AnyloomError):
        assert conversation_from_json(value, root=Path("/nonexistent")).messages


def test_limits_reach_the_readers(tmp_path: Path) -> None:
    write_media(Media("image", torch.rand(3, 10, 10)), tmp_path / "a.png")
    limits = {"image": {"max_pixels": 99}}
    media = conversation_from_json(asking(type="image", path="a.png"), root=tmp_path, options=limits).media[0]
    with pytest.raises(MediaError, match="max_pixels"):
        media.tensor()


def test_unknown_modality_says_where(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no modality is called 'imge'") as caught:
        conversation_from_json(asking(type="imge", path="a.png"), root=tmp_path, where="a.jsonl:3")
    assert caught.value.where == "a.jsonl:3.messages[0].content[0].type"
    with pytest.raises(UnknownNameError):
        io_for("imge")
    with pytest.raises(AnyloomError, match="expected the path of a file"):
        read_media(3)  # type: ignore[arg-type]
