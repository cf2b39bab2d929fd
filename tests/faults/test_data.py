"""Rows 12 to 20: archives, lines and sets of samples."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from anyloom import AnyToAnyModel, Message
from anyloom.building import build
from anyloom.cli.main import main
from anyloom.data.conversations import ConversationFiles
from anyloom.data.ledger import Ledger
from anyloom.data.loader import ResumableLoader
from anyloom.data.sources.tar import TarGroups
from anyloom.errors import AnyloomError, BadRecord, ConfigError
from anyloom.media import write_media
from anyloom.training.run import run
from faults.rows import in_child, read, row
from parts import model_options, picture
from projects import sections, write_config


def member(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[Any, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content) if kind == tarfile.REGTYPE else 0
    return info, content


def archive(path: Path, *members: tuple[Any, bytes]) -> Path:
    with tarfile.open(path, "w") as file:
        for info, content in members:
            file.addfile(info, io.BytesIO(content) if info.size else None)
    return path


def record(groups: TarGroups, index: int) -> Any:
    try:
        return {k: v for k, v in groups[index].items() if not k.startswith("__")}
    except BadRecord as error:
        return error.reason


@row(
    12,
    "data",
    done="tar members that go up, are absolute, links or devices",
    promise="refused, counted",
)
def test_hostile_archives(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    groups = TarGroups(
        [
            archive(
                tmp_path / "a.tar",
                member("good.txt", b"good"),
                member("../up.txt"),
                member("/etc/abs.txt"),
                member("link.txt", kind=tarfile.SYMTYPE, link=str(tmp_path / "secret")),
                member("hard.txt", kind=tarfile.LNKTYPE, link="../secret"),
                member("null.txt", kind=tarfile.CHRTYPE),
                member("pipe.txt", kind=tarfile.FIFOTYPE),
            )
        ]
    )
    found = [record(groups, n) for n in range(len(groups))]
    assert found[0]["txt"].read() == b"good"
    assert found[1:] == ["wrong format"] * 6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "secret"]


@row(
    13, "data", done="an archive that is cut, and one with a flipped byte in a header", promise="what is before is read"
)
def test_damaged_archives(tmp_path: Path) -> None:
    content = [member(f"{n}.txt", bytes([n]) * 600) for n in range(5)]
    whole = archive(tmp_path / "whole.tar", *content).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: 3 * 1536 + 700])
    flipped = bytearray(whole)
    flipped[3 * 1536 + 3] ^= 64
    (tmp_path / "flipped.tar").write_bytes(flipped)
    for name in ("cut.tar", "flipped.tar"):
        groups = TarGroups([tmp_path / "whole.tar", tmp_path / name])
        read_ = []
        for n in range(len(groups)):
            found = record(groups, n)
            try:
                read_.append(found["txt"].read()[:1] if isinstance(found, dict) else found)
            except BadRecord as error:
                read_.append(error.reason)
        assert read_[:8] == [bytes([n]) for n in (0, 1, 2, 3, 4, 0, 1, 2)], (name, read_)
        assert all(isinstance(left, str) for left in read_[8:]), (name, read_)
        assert len(read_) > 8, "the damage is counted"


@row(
    14,
    "data",
    done="10 GB of zeros in 10 MB of gzip, called .tar, .jsonl and .png",
    promise="refused, little memory taken",
)
def test_bombs_of_gzip(tmp_path: Path) -> None:
    bomb = 160 * gzip.compress(bytes(1 << 26), 9)  # members of one stream
    for name in ("a.tar", "a.jsonl", "a.png"):
        (tmp_path / name).write_bytes(bomb)

    def tried() -> list[Any]:
        found: list[Any] = []
        try:
            TarGroups([tmp_path / "a.tar"])
        except ConfigError as error:
            found.append(error.what)
        samples = ConversationFiles.from_options({"train": str(tmp_path / "a.jsonl")}).build("train")
        ledger = Ledger(max_bad=1.0)
        list(ResumableLoader(lambda epoch: samples, list, 1, shuffle=False, ledger=ledger))
        found.append(ledger.total()["used"])
        found.append(read(tmp_path, [{"type": "image", "path": "a.png"}])[1])
        return found

    (what, used, counts), grown = in_child(tried)
    assert "not an uncompressed tar archive" in what
    assert used == 0
    assert counts == {"used": 0, "wrong format": 1}
    assert grown < 150


@row(
    15,
    "data",
    done="lines: bad UTF-8, wrong types, missing keys, deep, huge numbers, U+2028",
    promise="skipped by line",
)
def test_malformed_lines(tmp_path: Path) -> None:
    good = {"messages": [{"role": "user", "content": "a\u2028b\u0085"}, {"role": "assistant", "content": "b"}]}
    lines = [
        json.dumps(good, ensure_ascii=False).encode(),
        b'{"messages": [{"role": "user", "content": "\xff"}]}',
        b"not json",
        b'{"messages": 3}',
        b"{}",
        b"[" * 100_000,
        b'{"messages": [], "n": ' + b"9" * 5000 + b"}",
        b'{"messages": [{"role": "user", "content": null}]}',
        b'{"messages": [{"role": "user", "content": [null]}]}',
        b'{"messages": [{"role": "nobody", "content": "a"}]}',
        b'{"messages": [{"role": "user", "content": "a"}]}',
        b"3",
        b'"' + b"x" * 2_000_000,
    ]
    _, counts, examples = read(tmp_path, lines)
    assert counts["used"] == 1
    assert sum(counts.values()) == len(lines)
    shown = [text for texts in examples.values() for text in texts]
    assert shown
    assert all(f"{tmp_path / 'train.jsonl'}:" in text for text in shown)
    with pytest.raises(AnyloomError, match=r"train\.jsonl:2"):
        read(tmp_path, lines, strict=True)


@row(
    16,
    "data",
    done="fewer files than placeholders; markup of modalities in what users type",
    promise="skipped; stays text",
)
def test_placeholders(tmp_path: Path, tokenizer_folder: Path) -> None:
    write_media(picture(1), tmp_path / "1.png")
    rows = [
        {
            "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "b"}],
            "images": ["1.png"] * n,
        }
        for text, n in (("<image>", 1), ("<image><image><image>", 2), ("none", 1))
    ]
    (tmp_path / "chats.jsonl").write_text("\n".join(map(json.dumps, rows)))
    built = build("dataset", "chats", {"root": str(tmp_path), "train": "chats.jsonl"}).build("train")
    (samples,) = built.values() if isinstance(built, dict) else [built]
    ledger = Ledger(max_bad=1.0)
    list(ResumableLoader(lambda epoch: samples, list, 1, shuffle=False, ledger=ledger))
    assert ledger.total()["used"] == 1
    assert ledger.total()["skipped"] == {"mismatched placeholders": 2}

    model = AnyToAnyModel.from_config({"model": model_options(tokenizer_folder)})
    typed = "<image></image><audio>\u0120<image> </s><|assistant|>"
    pieces = model.llm.tokenizer.render([Message("user", typed)], open_answer=True)
    ids = {i for piece in pieces for i in piece.ids}
    assert not ids & {i for tags in model.tags.values() for i in (tags.begin, tags.end)}
    assert all(piece.media is None for piece in pieces)


@row(
    17,
    "data",
    done="a sample ten times longer than the model's limit",
    promise="skipped, counted; no run of a medium cut",
)
def test_over_long_samples(tmp_path: Path) -> None:
    config = sections(tmp_path, max_steps=3)
    path = tmp_path / "data" / "train.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines[:2]:
        line["messages"][0]["content"].insert(0, {"type": "text", "text": "make it blue " * 2000})
    path.write_text("\n".join(map(json.dumps, lines)))
    config["data"] |= {"max_bad": 1.0}
    config["trainer"] |= {"max_steps": -1, "max_epochs": 1}
    run("fit", config)
    (ledger,) = tmp_path.rglob("ledger.json")
    total = json.loads(ledger.read_text())["train"]["total"]
    assert total["skipped"]["too long"] >= 2
    assert total["read"] == total["used"] + total["skipped"]["too long"]


@row(18, "data", done="5 % of the records are broken, 0.5 % are allowed", promise="the run ends with the top reasons")
def test_too_many_bad_records(tmp_path: Path) -> None:
    write_media(picture(1), tmp_path / "1.png")
    parts = [{"type": "image", "path": "1.png" if n % 20 else "none.png"} for n in range(1, 400)]
    with pytest.raises(AnyloomError, match=r"records cannot be used; 0\.50% are allowed: \d+ missing, such as"):
        read(tmp_path, parts, max_bad=0.005)


@row(19, "data", done="an empty set; a set of which nothing can be used", promise="one line, not a success of no step")
@pytest.mark.parametrize("lines", ["", '{"messages": []}\n' * 4])
def test_nothing_to_train_on(tmp_path: Path, lines: str) -> None:
    config = sections(tmp_path, max_steps=3)
    (tmp_path / "data" / "train.jsonl").write_text(lines)
    with pytest.raises(AnyloomError):
        run("fit", config)
    assert not (tmp_path / "result").exists()


@row(
    20,
    "data",
    done="a training sample that stands in the validation set too",
    promise="said by `anyloom data stats`, with the number",
)
@pytest.mark.parametrize("copies", [0, 2, 3])
def test_samples_of_training_in_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str], copies: int) -> None:
    config = sections(tmp_path)
    train, held_out = (tmp_path / "data" / name for name in ("train.jsonl", "held-out.jsonl"))
    for n in range(4):  # pictures and words that training has not
        write_media(picture(100 + n), tmp_path / "data" / f"other-{n}.png")
    part = [{"type": "image", "path": "other-{}.png"}, {"type": "text", "text": "what is number {}?"}]
    own = [json.loads(json.dumps(part).replace("{}", str(n))) for n in range(4)]
    answer = {"role": "assistant", "content": "hello there"}
    lines = [json.dumps({"messages": [{"role": "user", "content": p}, answer]}) for p in own]
    held_out.write_text("\n".join([*lines, *train.read_text().splitlines()[:copies]]) + "\n")
    assert main(["data", "stats", write_config(tmp_path, config)]) == 0
    said = re.findall(r"samples that are in train too: (\d+)", capsys.readouterr().out)
    assert said == [str(copies)] * 2  # of the splits val and test, which are one file
