"""What another program made is found by name, scored like a model's answers, and nothing is dropped in silence."""

from __future__ import annotations

import contextlib
import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from anyloom.cli.main import main
from anyloom.conversation import Message
from anyloom.errors import AnyloomError, ConfigError
from anyloom.evaluation.outputs import Output, read_outputs
from anyloom.evaluation.pairing import pair
from anyloom.evaluation.results import Results
from anyloom.evaluation.scoring import score
from anyloom.evaluation.suite import Suite
from anyloom.media import write_media
from anyloom.options import validate
from parts import picture, sound


def outputs(*names: str) -> list[Output]:
    return [Output(name, name, Message("assistant", ["x"])) for name in names]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (("a", "b"), {"a": ["a"], "b": ["b"]}),
        (("a_1", "a_0", "b-10", "b-2"), {"a": ["a_0", "a_1"], "b": ["b-2", "b-10"]}),
        (("a/samples/0000", "a/samples/0001"), {"a": ["a/samples/0000", "a/samples/0001"]}),
        (("a", "a_1"), {"a": ["a", "a_1"]}),
        (("other name", "b"), {"a": ["other name"], "b": ["b"]}),
    ],
)
def test_outputs_find_their_questions(made: tuple[str, ...], expected: dict[str, list[str]]) -> None:
    pairing = pair({"a": ["other name"], "b": []}, outputs(*made))
    assert {name: [o.name for o in found] for name, found in pairing.answers.items()} == expected
    assert pairing.missing == [name for name in ("a", "b") if name not in expected]
    assert pairing.unknown == []


def test_what_does_not_pair_is_listed() -> None:
    pairing = pair({"a": [], "b": []}, outputs("a", "ab", "c_0", "c/0"))
    assert (list(pairing.answers), pairing.missing, pairing.unknown) == (["a"], ["b"], ["ab", "c_0", "c/0"])


def test_a_name_that_several_questions_are_known_by_is_nobody_s() -> None:
    questions = {"add/a": ["a"], "drop/a": ["a"], "add/b": ["b"], "c": ["add/b", "a"]}
    pairing = pair(questions, outputs("a_0", "b", "c", "add/a"))
    assert {name: [o.name for o in found] for name, found in pairing.answers.items()} == {
        "add/a": ["add/a"],
        "add/b": ["b"],
        "c": ["c"],
    }
    assert (pairing.missing, pairing.ambiguous, pairing.unknown) == (["drop/a"], ["a_0"], [])
    assert pair(questions, outputs("x/a", "x/b"), "x/{key}").ambiguous == ["x/a"]


def test_a_pattern_says_how_outputs_are_called() -> None:
    made = outputs("task_a/7-out", "task_b/3-out", "a", "task_a/x")
    pairing = pair({"a": [], "b": []}, made, "task_{key}/{n}-*")
    assert {name: [o.name for o in found] for name, found in pairing.answers.items()} == {
        "a": ["task_a/7-out"],
        "b": ["task_b/3-out"],
    }
    assert pairing.unknown == ["a", "task_a/x"]
    with pytest.raises(ConfigError, match="key"):
        pair({"a": []}, made, "{n}")


@pytest.mark.parametrize("names", [("a_1", "a-1"), ("a", "a")])
def test_two_outputs_that_are_one_answer_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="several outputs are the same answer"):
        pair({"a": []}, outputs(*names))


def test_a_folder_of_files(tmp_path: Path) -> None:
    write_media(picture(1), tmp_path / "b" / "0.png")
    write_media(sound(1), tmp_path / "a.wav")
    (tmp_path / "said.txt").write_text("a hat\n")
    (tmp_path / "told.json").write_text(json.dumps({"description": "a cup", "time": 3}))
    (tmp_path / "b" / "0.json").write_text(json.dumps({"description": "beside a picture"}))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "notes.md").write_text("x")
    found = read_outputs(tmp_path)
    assert [(o.name, o.answer.text, [m.modality for m in o.answer.media]) for o in found.found] == [
        ("a", "", ["audio"]),
        ("b/0", "", ["image"]),
        ("said", "a hat", []),
        ("told", "a cup", []),
    ]
    assert list(found.unreadable) == [str(tmp_path / "broken.png")]
    assert found.ignored == [str(tmp_path / "notes.md")]


def lines(folder: Path) -> list[dict[str, Any]]:
    write_media(picture(1), folder / "1.png")
    parts = [{"type": "text", "text": "Here: "}, {"type": "image", "path": "1.png"}]
    return [
        {"id": 1, "content": parts},
        {"key": "2", "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": parts}]},
        {"question_id": "3", "question": "?", "answer": "the truth", "prediction": "a guess"},
        {"id": 4, "content": [{"type": "image", "path": "../1.png"}]},
        {"content": "without a name"},
        {"id": 5},
    ]


@pytest.mark.parametrize("form", ["jsonl", "json", "answers.jsonl"])
def test_a_list_of_answers(tmp_path: Path, form: str) -> None:
    records = lines(tmp_path)
    text = json.dumps(records) if form == "json" else "".join(json.dumps(r) + "\n" for r in records)
    path = tmp_path / (form if "." in form else f"out.{form}")
    path.write_text(text)
    found = read_outputs(tmp_path if form == "answers.jsonl" else path)
    assert [(o.name, o.answer.text, len(o.answer.media)) for o in found.found] == [
        ("1", "Here: ", 1),
        ("2", "Here: ", 1),
        ("3", "a guess", 0),
    ]
    assert len(found.unreadable) == 3


def test_a_table_names_files_by_modality(tmp_path: Path) -> None:
    write_media(picture(1), tmp_path / "1.png")
    write_media(sound(1), tmp_path / "1.wav")
    with (tmp_path / "out.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "prompt", "image_path", "audio_path"], ["a, b", "x", "1.png", "1.wav"]])
    (one,) = read_outputs(tmp_path / "out.csv").found
    assert (one.name, [m.modality for m in one.answer.media]) == ("a, b", ["image", "audio"])


def suite_of(folder: Path, **more: Any) -> Suite:
    """Four pictures to be made, whose lines have ids."""
    rows = []
    for n in range(4):
        target = write_media(picture(n), folder / "targets" / f"{n}.png")
        content = [{"type": "image", "path": f"targets/{target.name}"}]
        messages = [{"role": "user", "content": "draw"}, {"role": "assistant", "content": content}]
        rows.append(json.dumps({"id": f"q{n}", "task": "draw", "messages": messages}))
    (folder / "data.jsonl").write_text("\n".join(rows))
    section = {
        "title": "Drawings",
        "data": {"datasets": {"own": {"name": "conversations", "test": str(folder / "data.jsonl")}}},
        "metrics": {"psnr": {"name": "psnr"}, "feature": {"name": "feature-error"}},
        "tables": [
            {
                "title": "Error",
                "rows": {"this run": "draw"},
                "columns": {"PSNR": "psnr/{}/psnr"},
                "quoted": {"they": {"values": {"PSNR": 12.5}, "source": "Table 1", "count": 100}},
            }
        ],
        **more,
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump({"suite": section}))
    return validate(Suite, section, where="suite")


def test_scores_are_those_of_the_pixels(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    for n in range(3):
        write_media(picture(n if n else 9), tmp_path / "out" / f"q{n}.png")
    (tmp_path / "out" / "q3.png").write_bytes(b"no picture")
    results, shown = score(suite, tmp_path / "out")
    pixels = [write_media(picture(n), tmp_path / f"x{n}.png") for n in (0, 9)]
    from anyloom import read_media

    first, other = (read_media(path).tensor().double() for path in pixels)
    expected = -10 * ((first - other) ** 2).mean().log10()
    found = [s.values["psnr"] for s in results.scores["psnr"] if s.values]
    assert len(found) == 3
    assert min(found) == pytest.approx(float(expected), rel=1e-4)
    assert results.flags["psnr/draw/flagged"] == ["1 of 4 samples: no answer"]
    assert results.facts["paired"] == 3
    assert results.facts["questions without an output"] == ["q3"]
    assert list(results.facts["unreadable"]) == [str(tmp_path / "out" / "q3.png")]
    assert results.facts["left out"] == ["feature"]
    assert len(shown) == 3


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    suite_of(tmp_path, answers=2)
    monkeypatch.chdir(tmp_path)
    for name in ("q0_0", "q0_1", "q1_0", "q1_1", "q1_2", "q2", "zebra"):
        write_media(picture(len(name)), tmp_path / "out" / f"{name}.png")
    assert main(["score", "out", "--suite", "suite.yaml"]) == 0
    said = capsys.readouterr().out
    assert "they (quoted: Table 1)" in said
    assert "quoted rows of another number of samples than 5: they has 100" in said
    assert "questions without an output: 1: " in said
    assert "questions with fewer outputs: 1: " in said
    assert "outputs of no question: 1: zebra" in said
    assert "outputs beyond those asked for: 1: q1_2" in said
    results = Results.read(tmp_path / "scores" / "results.json")
    assert results.facts["paired"] == 5
    assert "| they (quoted: Table 1) | 12.500 | – |" in (tmp_path / "scores" / "results.md").read_text()
    assert main(["score", "out", "--suite", "suite.yaml"]) == 0
    assert main(["compare", "scores", "scores-001", "--only", "psnr/draw/psnr"]) == 0
    assert "+0.0000 .. +0.0000" in capsys.readouterr().out


@pytest.mark.parametrize("words", [("gone",), ("empty",), ("out", "--names", "{n}"), ("out", "suite.nothing=1")])
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    suite_of(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_media(picture(1), tmp_path / "out" / "unknown.png")
    assert main(["score", *words, "--suite", "suite.yaml"]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert "\n" not in error


def test_nothing_that_pairs_is_an_error(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    write_media(picture(1), tmp_path / "out" / "unknown.png")
    with pytest.raises(ConfigError, match="no output is called like a question: there is unknown"):
        score(suite, tmp_path / "out")


def test_outputs_that_cannot_be_read_are_named_where_nothing_pairs(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "q0.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"none of 1 outputs can be read, such as .*q0\.png: not a readable image"):
        score(suite, tmp_path / "out")


def test_a_suite_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite_of(tmp_path)
    assert main(["fit", str(tmp_path / "suite.yaml")]) == 2
    assert "evaluation suite" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "suite.yaml")]) == 0
    old = tmp_path / "old.yaml"
    old.write_text(yaml.safe_dump({"variables": yaml.safe_load((tmp_path / "suite.yaml").read_text())}))
    assert main(["evaluate", "--suite", str(old), "--untrained"]) == 2
    assert "section of its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    "record",
    [
        {"id": "1", "messages": [{"role": "user"}, 3, "x", None]},
        {"id": "9" * 5000, "content": "x"},
        {"id": "x" * 1001, "content": "x"},
        {"id": [1], "content": {"a": 1}, "messages": [[]]},
        {"id": 1, "content": [{"type": ["image"], "path": "x"}]},
        {"id": 1, "content": [{"type": "image", "path": "/etc/passwd"}]},
        [1], 3, None, "x",
    ],
)  # fmt: skip
def test_a_strangers_list_ends_in_no_traceback(tmp_path: Path, record: Any) -> None:
    good = {"id": "\ud800\u00b2" + "7" * 40, "content": "half a character: \udfff"}
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(r) for r in (record, good)))
    found = read_outputs(tmp_path / "a.jsonl")
    assert len(found.found) + len(found.unreadable) == 2
    pairing = pair({"7": []}, found.found)
    for name in (*pairing.unknown, *(o.answer.text for o in found.found)):
        name.encode()


def test_a_strangers_folder_reads_nothing_outside_and_nothing_huge(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    out = tmp_path / "out"
    out.mkdir()
    (out / "link.txt").symlink_to(tmp_path / "secret.txt")
    (out / "link.json").symlink_to("/etc/hostname")
    with (out / "huge.txt").open("wb") as file:
        file.truncate(1 << 30)
    with (out / "huge.json").open("wb") as file:
        file.truncate(1 << 30)
    (out / "²_٣.txt").write_text("odd digits")
    (out / b"half\xff.txt".decode(errors="surrogateescape")).write_text("a name in no encoding")
    found = read_outputs(out)
    assert sorted(o.answer.text for o in found.found) == ["a name in no encoding", "odd digits"]
    assert sorted(Path(where).name for where in found.unreadable) == ["huge.json", "huge.txt", "link.json", "link.txt"]
    assert "secret" not in str(found.unreadable.values())


def test_a_byte_order_mark_is_no_character_of_an_answer(tmp_path: Path) -> None:
    lists = {"a.CSV": "id,text\n1,äh\n2,\n", "a.jsonl": '{"id": 1, "text": "äh"}\n{"id": 2, "text": ""}\n'}
    for name, text in lists.items():
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        found = read_outputs(tmp_path / name)
        assert {o.name: o.answer.text for o in found.found} == {"1": "äh", "2": ""}
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/1.TXT").write_text("äh", encoding="utf-8-sig")
    (only,) = read_outputs(tmp_path / "texts").found
    assert (only.name, only.answer.text, only.answer.media) == ("1", "äh", [])


def test_results_that_are_not_there_and_other_json(tmp_path: Path) -> None:
    with pytest.raises(AnyloomError, match=r"results\.json: there is no such file.*anyloom score"):
        Results.read(tmp_path / "results.json")
    for text in ("{}", "[]", "null", '{"format": 0}'):
        (tmp_path / "results.json").write_text(text, encoding="utf-8")
        with pytest.raises(AnyloomError, match="another format"):
            Results.read(tmp_path / "results.json")
    (tmp_path / "results.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(AnyloomError, match="these are no results of an evaluation"):
        Results.read(tmp_path / "results.json")


def test_texts_in_another_encoding_are_told_and_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("a dog".encode("utf-16"))
    (tmp_path / "b.txt").write_bytes("Äpfel".encode("latin-1"))
    (tmp_path / "c.txt").write_text("Äpfel", encoding="utf-8")
    found = read_outputs(tmp_path)
    assert [o.name for o in found.found] == ["c"]
    assert all("not UTF-8" in what for what in found.unreadable.values())
    assert sorted(Path(where).name for where in found.unreadable) == ["a.txt", "b.txt"]
    (tmp_path / "l.jsonl").write_bytes(b'{"id": 1, "text": "x"}\n{"id": 2, "text": "\xe9"}\n{"id"\n')
    found = read_outputs(tmp_path / "l.jsonl")
    assert [o.name for o in found.found] == ["1"]
    assert set(found.unreadable.values()) == {"this is no object of JSON in UTF-8"}


@pytest.mark.parametrize("content", [b'id,text\n"', b"id,text\n1,a,b,c\n", b"\xff\xfe\x00", b"id\n" + b"x" * 200_000])
def test_a_broken_table_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with contextlib.suppress(AnyloomError):  # one line is right too; anything else is a traceback, and fails
        found = read_outputs(tmp_path / "a.csv")
        assert found.found or found.unreadable
