"""Talking in a terminal, what is kept of it, and making it again: the shipped model, real files, real processes."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from PIL import Image

import anyloom
import forked
from anyloom import AnyToAnyModel
from anyloom.cli.main import main
from anyloom.cli.model_argument import NamedModel
from anyloom.config.packages import shipped_weights
from anyloom.generation.events import TextMade
from anyloom.generation.previews import previewed_as
from anyloom.interfaces.progress import report_look
from anyloom.media import note_of
from anyloom.report import Report, write_report
from anyloom_chat.events import Answering, in_thread
from anyloom_chat.inline import protocol_of, shown
from anyloom_chat.talk import Talk
from anyloom_chat.terminal import Terminal
from anyloom_chat.words import segments_of

MODEL = "mini-plain"
Say = Callable[..., str]
ASKED = {"at": 0, "seed": 0, "question": [{"type": "text", "text": "hello"}], "answer": []}


@pytest.fixture
def hat(tmp_path: Path) -> Path:
    return anyloom.sample("hat").save(tmp_path / "a hat.png")


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Say lines to a conversation in a folder and return what was shown."""

    def talk(*lines: str, folder: str = "talk", options: tuple[str, ...] = ()) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        assert main(["chat", MODEL, "--session", str(tmp_path / folder), *options]) == 0
        return capsys.readouterr().out

    return talk


def replayed(*words: str | Path) -> tuple[int, str]:
    """``anyloom replay`` in a process of its own."""
    (status,), told = forked.anyloom("replay", *map(str, words), folder=Path.cwd())
    assert "Traceback" not in told
    return status, told


def files(text: str) -> list[Path]:
    return [Path(line) for line in re.findall(r"^\S.*/media/\w+\.\w+$", text.replace("you> ", ""), re.MULTILINE)]


def test_six_turns_with_branches_replay_bit_equal_in_another_process(tmp_path: Path, hat: Path, say: Say) -> None:
    text = say(
        f"/image '{hat}' Turn it upside down.",
        "Make it grey.",
        "/undo",
        "/retry",
        f"/edit 1 '{hat}' Mirror it left to right.",
        "/set image.denoising_steps=4",
        "Make it grey.",
        "/audio a dog",
        "/turns",
    )
    assert len(files(text)) == 6
    assert "3. a dog -> [audio]" in text
    later = say("/set image.denoising_steps=3", "/image Turn it upside down.", "/image Mirror it.")  # opened again
    status, told = replayed(tmp_path / "talk")
    assert status == 0, told
    assert "all 8 turns are equal to the last bit" in told
    alone = tmp_path / "alone.png"
    shutil.copy(files(later)[-1], alone)
    shutil.rmtree(tmp_path / "talk")
    status, told = replayed(alone)
    assert status == 0, told


def test_a_picture_alone_says_what_made_it_and_is_made_again(tmp_path: Path, hat: Path, say: Say) -> None:
    text = say(f"/image '{hat}' Turn it upside down.", "Make it grey.")
    alone = tmp_path / "elsewhere" / "second.png"
    alone.parent.mkdir()
    shutil.copy(files(text)[1], alone)
    shutil.rmtree(tmp_path / "talk")
    hat.unlink()
    status, told = replayed(alone, "--output", tmp_path / "again")
    assert status == 0, told
    with Image.open(alone) as one, Image.open(tmp_path / "again" / "replayed.png") as other:
        assert one.tobytes() == other.tobytes()


@pytest.mark.slow
def test_what_differs_is_named_with_a_reason(tmp_path: Path, hat: Path, say: Say) -> None:
    say(f"/image '{hat}' Turn it upside down.")
    file = tmp_path / "talk" / "session.json"
    record = json.loads(file.read_text())
    record["turns"][0]["options"] = {"media": {"image": "force"}, "sampling": {"image": {"denoising_steps": 3}}}
    record["made_by"]["environment"]["torch"] = "1.0"
    file.write_text(json.dumps(record))
    status, told = replayed(tmp_path / "talk")
    assert status == 1
    assert "turn 0: segment 0: image differs" in told
    assert "torch: 1.0 then" in told


@pytest.mark.slow
def test_another_model_is_not_taken_for_the_one_that_answered(tmp_path: Path, hat: Path, say: Say) -> None:
    say(f"/image '{hat}' Turn it upside down.")
    status, told = replayed(tmp_path / "talk", "mini")
    assert status == 1
    assert "features of image differ" in told
    assert "weights: " in told


@pytest.mark.slow
def test_examples_are_read_and_not_answered(tmp_path: Path, hat: Path, say: Say) -> None:
    turned = tmp_path / "turned.png"
    with Image.open(hat) as picture:
        picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(turned)
    text = say(f"/examples '{hat}' {turned}", f"'{hat}'", "/turns")
    assert "1. Apply an editing to [image] . -> [image]" in text
    assert "2. Apply the same editing to [image] . -> [image]" in text
    status, told = replayed(tmp_path / "talk")
    assert status == 0, told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/nonsense", "there is no order /nonsense"),
        ("/undo", "there is no turn to take back"),
        ("/edit 4 hello", "there is no turn 4"),
        ("/edit", "which turn, and what instead?"),
        ("/plan smell", "the model does not make 'smell'"),
        ("/set image.nonsense=1", "no option 'nonsense'"),
        ("/set nonsense=1", "nonsense"),
        ("/set temperature=hot", "temperature"),
        ("/seed minus", "is no seed"),
        ("/examples one.png", "no file of a known kind"),
    ],
)
def test_mistakes_are_one_line_and_the_conversation_goes_on(say: Say, line: str, told: str) -> None:
    text = say(line, "/seed")
    assert told in text
    assert "seed 0" in text


def test_a_word_that_is_a_file_is_a_medium(tmp_path: Path, hat: Path) -> None:
    escaped = str(hat).replace(" ", "\\ ")
    for word in (f"'{hat}'", f'"{hat}"', escaped, hat.as_uri(), f"'image:{hat}'"):
        first, medium, last = segments_of(f"Turn {word} upside down")
        assert (first.text, last.text) == ("Turn ", " upside down")  # type: ignore[union-attr]
        assert Path(medium.path) == hat  # type: ignore[union-attr]
    for text in ("it's a hat", "a/b or c:d", f"{tmp_path}", "'missing.png'", "\\"):
        assert [s.text for s in segments_of(text)] == [text]  # type: ignore[union-attr]


def test_notes_can_be_left_out(tmp_path: Path, hat: Path, say: Say) -> None:
    text = say(f"/image '{hat}' Mirror it left to right.", options=("--no-metadata",))
    assert note_of(files(text)[0]) == ""
    assert main(["show", str(files(text)[0])]) == 2
    assert main(["show", str(tmp_path / "talk")]) == 0


def test_show_prints_what_made_a_file(hat: Path, say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    (made,) = files(say(f"/image '{hat}' Mirror it left to right."))
    assert main(["show", str(made)]) == 0
    told = capsys.readouterr().out
    assert f"model: {MODEL}" in told
    assert "user: [image media/" in told
    assert "Mirror it left to right." in told


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../stolen.png": "AAAA"}, "turns": [ASKED]},
        {"files": {"media/a.png": "not base64!"}, "turns": [ASKED]},
        {"turns": "all"},
        {"unknown": 1},
        {"turns": [{"at": 3, "seed": 0, "question": [], "answer": []}]},
        {"turns": [{"at": 0, "seed": 0, "question": [{"type": "os.system", "path": "a.png"}], "answer": []}]},
        {"turns": [{"at": 0, "seed": 0, "question": [{"type": "image", "path": "/etc/passwd"}], "answer": []}]},
        {"turns": [{"at": 0, "seed": 0, "question": [{"type": "text", "text": "a", "tokens": [-1]}], "answer": []}]},
        {"turns": [{"at": 0, "seed": 0, "options": {"run": "rm"}, "question": [], "answer": []}]},
        {"turns": [{"at": 0, "seed": 0, "question": [{"type": "image", "features": {"shape": [9]}}], "answer": []}]},
    ],
)
def test_a_record_of_a_stranger_is_data(tmp_path: Path, change: dict[str, object]) -> None:
    file = tmp_path / "session.json"
    file.write_text(json.dumps({"anyloom_record": 1, "made_by": {"model": MODEL}, "turns": [], **change}))
    assert main(["replay", str(file)]) == 2
    assert not (tmp_path.parent / "stolen.png").exists()


def test_a_record_does_not_choose_which_folder_is_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "session.json"
    file.write_text(json.dumps({"anyloom_record": 1, "made_by": {"model": str(tmp_path)}, "turns": [ASKED]}))
    assert main(["replay", str(file)]) == 2
    assert "name the model" in capsys.readouterr().err


def test_show_prints_what_made_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = write_report(
        tmp_path / "report.html", Report(title="Numbers", summary="", environment={"Command": "evaluate \x1b[2J"})
    )
    assert main(["show", str(page)]) == 0
    assert capsys.readouterr().out == "report: Numbers\nCommand: evaluate ?[2J\n"
    assert main(["show", "--json", str(page)]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Numbers"
    assert main(["replay", str(page)]) == 2
    assert "run the command" in capsys.readouterr().err


def test_terminals_that_show_pictures_get_the_whole_file(hat: Path) -> None:
    content = hat.read_bytes()
    kitty = "".join(re.findall(r"\x1b_G[^;]*;([^\x1b]*)\x1b\\", shown(hat, "kitty")))
    assert base64.b64decode(kitty) == content
    assert base64.b64decode(shown(hat, "iterm").partition(":")[2].rstrip("\a\n")) == content
    assert shown(hat, "none") == ""
    assert protocol_of({"TERM": "xterm-kitty"}, stream=io.StringIO()) == "none"


def test_sixels_are_the_picture(tmp_path: Path) -> None:
    """Decoded by the rules of DEC STD 070: each character sets six pixels of the current colour."""
    picture = Image.new("RGB", (5, 8), (255, 0, 0))
    picture.putpixel((2, 7), (0, 0, 255))
    picture.save(tmp_path / "dot.png")
    text = shown(tmp_path / "dot.png", "sixel")
    colours = {n: rgb for n, *rgb in re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", text)}
    body = re.sub(r"#\d+;2;\d+;\d+;\d+", "", text[text.index('8"') + 2 if '8"' in text else text.index("5;8") + 3 :])
    pixels: dict[tuple[int, int], list[str]] = {}
    for row, band in enumerate(body.partition("\x1b")[0].split("-")):
        for run in band.split("$"):
            number, data = re.fullmatch(r"#(\d+)(.*)", run, re.DOTALL).groups()  # type: ignore[union-attr]
            for x, char in enumerate(data):
                for y in range(6):
                    if (ord(char) - 63) >> y & 1:
                        pixels[x, row * 6 + y] = colours[number]
    assert len(pixels) == 40
    assert pixels[2, 7] == ["0", "0", "100"]
    assert pixels[0, 0] == ["100", "0", "0"]


def test_ctrl_c_stops_the_answer_and_not_the_program(tmp_path: Path, hat: Path) -> None:
    """In a real terminal, with a bar while it denoises."""
    process, terminal = pty.fork()
    if process == 0:
        words = ["chat", MODEL, "--session", str(tmp_path / "talk")]
        os.execv(sys.executable, [sys.executable, "-m", "anyloom.cli.main", *words])
    try:
        until(terminal, "you> ")
        os.write(terminal, b"/set image.denoising_steps=900\n")
        until(terminal, "you> ")
        os.write(terminal, f"/image '{hat}' Turn it upside down.\n".encode())
        until(terminal, "/900")
        os.kill(process, signal.SIGINT)
        assert "stopped; this turn was taken back" in until(terminal, "you> ")
        os.write(terminal, b"/set image.denoising_steps=3\n")
        until(terminal, "you> ")
        os.write(terminal, f"/image '{hat}' Turn it upside down.\n".encode())
        assert "/media/" in until(terminal, "you> ")
        os.write(terminal, b"/quit\n")
        _, status = os.waitpid(process, 0)
        assert status == 0
    finally:
        os.close(terminal)
    assert replayed(tmp_path / "talk")[0] == 0


def until(terminal: int, text: str, seconds: float = 90) -> str:
    """Read a terminal until it shows something."""
    shown, end = "", time.monotonic() + seconds
    while text not in shown:
        assert time.monotonic() < end, shown
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return shown


def test_an_answer_that_is_stopped_between_words_takes_its_turn_back_at_once(tmp_path: Path) -> None:
    """Also while somebody still holds the stream: nothing is left to the garbage collector."""
    from anyloom.conversation import Text
    from anyloom_chat.events import Stopped, in_thread

    named = NamedModel(AnyToAnyModel.from_pretrained(MODEL), MODEL, shipped_weights(MODEL))
    talk = Talk(named, tmp_path / "talk")
    held: list[Any] = []

    def answer() -> Any:
        held.append(talk.ask([Text("Hello!")], plan=("text",), max_new_tokens=16))
        return held[0]

    stop = threading.Event()
    events = in_thread(answer, stop)
    next(events)
    stop.set()
    with pytest.raises(Stopped):
        list(events)
    assert talk.session.messages == []
    assert talk.turns == []
    assert held[0].gi_frame is None


def test_looks_at_pictures_are_shown_where_the_terminal_can(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer() -> Answering:
        with previewed_as([0]):
            report_look(2, 4, lambda: [anyloom.sample("hat")])
            yield TextMade(0, "there")

    shown_by = dict[tuple[str, int], bool]()
    for protocol in ("kitty", "none"):
        monkeypatch.setenv("ANYLOOM_INLINE", protocol)
        for previews in (0, 2):
            out = io.StringIO()
            Terminal(Mock(makes=[]), out=out, previews=previews).answer(answer())
            assert out.getvalue().endswith("there")
            shown_by[protocol, previews] = "\x1b_Ga=T" in out.getvalue()
    assert shown_by == {("kitty", 0): False, ("kitty", 2): True, ("none", 0): False, ("none", 2): False}


def test_looks_come_among_the_events_of_a_page() -> None:
    def answer() -> Answering:
        with previewed_as([0]):
            report_look(2, 4, lambda: [anyloom.sample("hat")])
        yield TextMade(0, "there")

    seen = [type(e).__name__ for e in in_thread(answer, threading.Event(), previews=True)]
    assert seen == ["MediumPreviewed", "TextMade"]
    assert [type(e).__name__ for e in in_thread(answer, threading.Event())] == ["TextMade"]
