"""Writing media and answers: whole or not at all, over nothing, into folders that can be moved."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

import anyloom
from anyloom.conversation import Conversation, Media, Message
from anyloom.errors import AnyloomError, MediaError
from anyloom.media import conversation_from_json, conversation_to_json, read_media


def picture(seed: int = 0) -> Media:
    return Media("image", torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(seed)))


def test_media_save_themselves(tmp_path: Path) -> None:
    path = picture().save(tmp_path / "made" / "a")
    assert path == tmp_path / "made" / "a.png"
    assert (read_media(path).tensor() - picture().tensor()).abs().max() <= 0.51 / 255
    assert anyloom.write_media(picture(), str(tmp_path / "b.jpg")).stat().st_size > 0


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = picture().save(tmp_path / "a.png")
    before = path.read_bytes()
    with pytest.raises(MediaError, match="NaN"):
        Media("image", torch.full((3, 2, 2), torch.nan)).save(path)
    with pytest.raises(MediaError, match="rate is unknown"):
        Media("audio", torch.zeros(1, 9)).save(tmp_path / "a.wav")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"], "nothing half written"


@pytest.mark.parametrize("place", ["file/a.png", "folder", "none.xyz", "a\0.png", "b" * 300 + ".png"])
def test_places_that_cannot_be_written_to(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(AnyloomError):
        picture().save(tmp_path / place)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MediaError, match="cannot be written"):
        picture().save(tmp_path / "a.png")


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot be written"):
        picture().save("/dev/full/a.png")


def test_written_files_can_be_read_by_colleagues(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        assert picture().save(tmp_path / "a.png").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


def test_an_answer_saves_itself_with_its_media(tmp_path: Path) -> None:
    answer = Message("assistant", ["Here: ", picture(), Media("audio", features=torch.zeros(1, 4)), "!"])
    path = answer.save(tmp_path / "new")
    assert path == tmp_path / "new" / "message.json"
    value = json.loads(path.read_text())
    back = conversation_from_json(value, root=path.parent).messages[0]
    assert (back.role, back.text, len(back.media)) == ("assistant", "Here: !", 1)
    assert (back.media[0].tensor() - picture().tensor()).abs().max() <= 0.51 / 255
    again = Message("assistant", [picture(1)]).save(tmp_path / "new")
    assert again.name == "message-001.json"
    assert json.loads(path.read_text()) == value
    assert len(list((tmp_path / "new").glob("*.png"))) == 2, "nothing is written over"


def test_every_turn_keeps_its_own_picture(tmp_path: Path) -> None:
    """Three turns into one folder; the history names three files with three contents."""
    conversation = Conversation([Message("user", "one")])
    for turn in range(3):
        value = conversation_to_json(
            Conversation([*conversation.messages, Message("assistant", [picture(turn)])]),
            folder=tmp_path,
            prefix="answer",
        )
        messages = conversation_from_json(value, root=tmp_path).messages
        conversation = Conversation([*messages, Message("user", "more")])
    paths = [media.path for media in conversation.media]
    assert [Path(path).name for path in paths] == ["answer-000.png", "answer-001.png", "answer-002.png"]
    for turn, media in enumerate(conversation.media):
        assert (media.tensor() - picture(turn).tensor()).abs().max() <= 0.51 / 255


def test_a_folder_of_answers_can_be_moved(tmp_path: Path) -> None:
    source = picture(7).save(tmp_path / "elsewhere" / "given.png")
    other = picture(8).save(tmp_path / "another" / "given.png")
    asked = Message("user", [read_media(source), read_media(other), read_media(source, lazy=True)])
    value = conversation_to_json(Conversation([asked]), folder=tmp_path / "answers")
    names = [part["path"] for part in value["messages"][0]["content"]]
    assert names == ["given.png", "given-001.png", "given.png"], "copied once each"
    (tmp_path / "answers").rename(tmp_path / "moved")
    (tmp_path / "elsewhere" / "given.png").unlink()
    back = conversation_from_json(value, root=tmp_path / "moved").media
    for media, seed in zip(back, (7, 8, 7)):
        assert (media.tensor() - picture(seed).tensor()).abs().max() <= 0.51 / 255
    assert conversation_to_json(Conversation([asked.__class__("user", back[:2])]), folder=tmp_path / "moved") == {
        "messages": [{"role": "user", "content": [{"type": "image", "path": n} for n in names[:2]]}]
    }, "what is there already is not copied again"


def test_without_a_folder_paths_stay_where_they_are(tmp_path: Path) -> None:
    path = picture().save(tmp_path / "a.png")
    value = conversation_to_json(Conversation([Message("user", [read_media(path)])]))
    assert value["messages"][0]["content"][0]["path"] == path.resolve().as_posix()
    with pytest.raises(AnyloomError, match="give a folder"):
        conversation_to_json(Conversation([Message("user", [picture()])]))
