"""What training would read is shown, counted and written out once, on lines whose counts are known."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.cli.main import main
from anyloom.conversation import Media
from anyloom.data.module import AnyToAnyData
from anyloom.errors import AnyloomError
from anyloom.media import write_media
from anyloom.survey.build import Plan, build, shard_name
from anyloom.survey.looking import look, samples_in_order
from anyloom.survey.preview import reading
from anyloom.survey.stats import hash_of
from parts import model_options, picture


def data_of(config: Path) -> dict[str, Any]:
    section: dict[str, Any] = yaml.safe_load(config.read_text())["data"]
    return section


def test_stats_are_those_of_the_lines(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", str(config), "--samples", "0", "--json", str(tmp_path / "s.json")]) == 0
    train = json.loads((tmp_path / "s.json").read_text())["splits"]["train"]
    assert (train["epoch"], train["samples"]) == (8, 7)
    assert {row["task"]: row["samples"] for row in train["tasks"]} == {"draw": 3, "edit": 4}
    assert {(row["modality"], row["role"]): row["count"] for row in train["media"]} == {
        ("image", "read"): 7, ("image", "made"): 7, ("audio", "made"): 7,
    }  # fmt: skip
    assert [(row["reason"], row["records"]) for row in train["bad"]] == [("wrong format", 1)]
    assert "5.png" in train["bad"][0]["examples"][0] or "train.jsonl:6" in train["bad"][0]["examples"][0]
    assert train["duplicate samples"] == 1
    assert all(row["lengths"]["0%"] > 4 for row in train["tasks"])
    test = json.loads((tmp_path / "s.json").read_text())["splits"]["test"]
    assert test["leaks"]["samples"]["count"] == 1
    assert test["leaks"]["media"]["count"] == 3
    assert "val" in json.loads((tmp_path / "s.json").read_text())["splits"]
    said = capsys.readouterr().out
    assert "duplicate samples: 1" in said
    assert "samples that are in train too: 1" in said


def test_equal_content_has_an_equal_hash(tmp_path: Path) -> None:
    from anyloom import read_media

    one, same = (read_media(write_media(picture(1), tmp_path / name)) for name in ("a.png", "b.bmp"))
    assert hash_of(one) == hash_of(same)
    assert hash_of(read_media(write_media(picture(2), tmp_path / "c.png"))) != hash_of(one)


def test_preview_shows_each_task(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert main(["data", "preview", str(config), "--each", "2", "--samples", "8", "--output", str(page)]) == 0
    text = page.read_text()
    assert "draw of own" in text
    assert "4 of 7 samples (57.1%)" in text
    assert text.count("<audio") == 4
    assert "medium 1 edits medium 0" in text
    assert "cannot be used: " in text
    assert "7 samples read, 1 cannot be used" in capsys.readouterr().out


def test_a_config_whose_model_is_not_here_is_looked_at_without_lengths(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = yaml.safe_load(config.read_text())
    sections["model"]["llm"]["tokenizer"] = str(tmp_path / "not-here")
    config.write_text(yaml.safe_dump(sections))
    page = tmp_path / "page.html"
    assert main(["data", "preview", str(config), "--samples", "8", "--output", str(page)]) == 0
    assert "Lengths are not known: " in page.read_text()
    assert "not-here" in page.read_text()
    assert "draw of own" in page.read_text()
    assert main(["data", "stats", str(config), "--samples", "8"]) == 0
    assert "lengths are not known: " in capsys.readouterr().out


def test_a_sequence_is_shown_as_it_is_read(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder)
    options["encoders"]["eye"]["tokens"] = 3
    interleaver = AnyToAnyModel.from_config({"model": options}).interleaver()
    messages = [Message("user", ["what is this?", picture(1)]), Message("assistant", ["a red heart", picture(2)])]
    shown = reading(interleaver(Conversation(messages)), interleaver.tokenizer)
    assert shown.index("what is this?") < shown.index("<image x3>") < shown.index("a red heart")
    assert "⟦<image x3>⟧" in shown
    assert shown.count("<image x3>") == 2
    assert "⟦what" not in shown
    assert "⟦a red heart" in shown


def test_a_config_without_a_model_is_looked_at_too(config: Path, tmp_path: Path) -> None:
    sections = yaml.safe_load(config.read_text())
    del sections["model"]
    config.write_text(yaml.safe_dump(sections))
    assert main(["data", "preview", str(config), "--output", str(tmp_path / "p.html")]) == 0
    assert "Lengths are not known: the config has no model" in (tmp_path / "p.html").read_text()


def archives(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


def test_archives_hold_the_order_and_count_what_is_left_out(config: Path, tmp_path: Path) -> None:
    plan = Plan(data_of(config), "train", 8, 3)
    ledger = build(plan, tmp_path / "built")
    assert ledger == {"shards": 3, "read": 8, "used": 7, "skipped": {"wrong format": 1}}
    order, _ = samples_in_order(AnyToAnyData(plan.data), "train")
    wanted = [one.sample for one in look(order, 0, 8) if not hasattr(one, "error")]  # type: ignore[union-attr]
    built = AnyToAnyData({"datasets": {"b": {"name": "archives", "root": str(tmp_path / "built")}}}).samples("train")
    assert len(built) == 7
    for own, sample in zip(map(built.__getitem__, range(7)), wanted):
        assert own.task == sample.task
        assert [m.role for m in own.conversation.messages] == [m.role for m in sample.conversation.messages]
        assert own.conversation.messages[0].text == sample.conversation.messages[0].text
        pairs = list(zip(own.conversation.media, sample.conversation.media))
        assert len(pairs) == 3
        for mine, theirs in pairs:
            assert torch.equal(mine.tensor(), theirs.tensor())
            assert (mine.reference, mine.modality) == (theirs.reference, theirs.modality)


def test_a_build_that_was_cut_off_goes_on(config: Path, tmp_path: Path) -> None:
    plan = Plan(data_of(config), "train", 8, 2)
    whole = build(plan, tmp_path / "whole")
    build(plan, tmp_path / "cut")
    first, second = (tmp_path / "cut" / shard_name("train", n) for n in (1, 2))
    first.unlink()
    second.with_suffix(".json").unlink()  # its archive was written, and nobody knows whether whole
    kept = (tmp_path / "cut" / shard_name("train", 0)).stat().st_mtime_ns
    assert build(plan, tmp_path / "cut") == whole
    assert archives(tmp_path / "cut") == archives(tmp_path / "whole")
    assert (tmp_path / "cut" / shard_name("train", 0)).stat().st_mtime_ns == kept
    with pytest.raises(AnyloomError, match="another config"):
        build(Plan(plan.data, "train", 8, 4), tmp_path / "cut")


def test_a_damaged_ledger_is_made_again_and_a_damaged_plan_refused(config: Path, tmp_path: Path) -> None:
    plan = Plan(data_of(config), "train", 8, 4)
    whole = build(plan, tmp_path / "b")
    (tmp_path / "b" / "train-000001.json").write_text("{")
    assert build(plan, tmp_path / "b") == whole
    (tmp_path / "b" / "plan.json").write_text("[")
    with pytest.raises(AnyloomError, match="another config"):
        build(plan, tmp_path / "b")


@pytest.mark.slow
def test_several_processes_write_what_one_writes(config: Path, tmp_path: Path) -> None:
    plan = Plan(data_of(config), "train", 8, 2)
    assert build(plan, tmp_path / "two", workers=2) == build(plan, tmp_path / "one")
    assert archives(tmp_path / "two") == archives(tmp_path / "one")


def test_build_command(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["data", "build", str(config), "--output", str(out), "--shard", "5"]) == 0
    assert "read 8 = used 7 + skipped 1 (1 wrong format)" in capsys.readouterr().out
    with tarfile.open(out / "train-000000.tar") as archive:
        names = archive.getnames()
        assert archive.getmembers()[0].mtime == 0
    assert {name.partition(".")[2] for name in names} == {"json", "000.png", "001.png", "002.wav"}
    assert main(["data", "index", str(config)]) == 0
    assert "own train: 8 samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    "record",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": [{"type": "image", "path": "../0.png"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "path": "other.000.png"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "no-such-kind", "path": "0.000.png"}]}]},
        {"messages": [{"role": "bogus", "content": [{"type": "text", "text": "x"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]},
        {"messages": [{"role": "user", "content": "text in place of parts"}]},
        {"messages": [{"role": "user", "content": [{"type": [], "path": "0.x.png"}]}]},
        {"messages": 3}, [], "x",
    ],
)  # fmt: skip
def test_a_strangers_archive_gives_bad_records(tmp_path: Path, record: Any) -> None:
    content = json.dumps(record).encode()
    (tmp_path / "0.json").write_bytes(content)
    with tarfile.open(tmp_path / "train-000000.tar", "w") as archive:
        archive.add(tmp_path / "0.json", "0.json")
    samples = AnyToAnyData({"datasets": {"b": {"name": "archives", "root": str(tmp_path)}}}).samples("train")
    with pytest.raises(AnyloomError):
        [m.tensor() for m in samples[0].conversation.media]


def test_provenance_of_a_stranger_says_nothing_of_where_it_comes_from(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
    messages.append({"role": "assistant", "content": [{"type": "text", "text": "b"}]})
    facts = {"conversation": 1, "self": 2, "source": "/etc/passwd", "family": "kept"}
    (tmp_path / "0.json").write_text(json.dumps({"messages": messages, "provenance": facts}))
    with tarfile.open(tmp_path / "train-000000.tar", "w") as archive:
        archive.add(tmp_path / "0.json", "0.json")
    sample = AnyToAnyData({"datasets": {"b": {"name": "archives", "root": str(tmp_path)}}}).samples("train")[0]
    assert sample.provenance["family"] == "kept"
    assert sample.provenance["source"].startswith(str(tmp_path))


def test_media_of_no_file_are_written(tmp_path: Path) -> None:
    from anyloom.survey.shards import _content

    changed = Media("image", picture(1).tensor() * 0, path=str(write_media(picture(1), tmp_path / "a.png")))
    suffix, content = _content(changed)
    (tmp_path / f"b{suffix}").write_bytes(content)
    from anyloom import read_media

    assert float(read_media(tmp_path / f"b{suffix}").tensor().float().abs().max()) == 0
