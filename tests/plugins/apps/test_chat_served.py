"""The file of a conversation holds what lies in its folder, and nothing that something there points to."""

from __future__ import annotations

import zipfile
from pathlib import Path

from anyloom_chat.served import packed


def test_a_link_out_of_the_conversation_is_not_packed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    media = tmp_path / "talk" / "media"
    media.mkdir(parents=True)
    (media.parent / "session.json").write_text("{}")
    (media / "a.png").write_bytes(b"a")
    (media / "b.png").symlink_to(tmp_path / "secret.txt")
    with zipfile.ZipFile(packed(media.parent / "session.json")) as file:
        assert sorted(file.namelist()) == ["media/a.png", "session.json"]
        assert file.read("media/a.png") == b"a"
