"""Parquet shards give what archives give, to this package, ``datasets`` and pyarrow; Ray writes the same bytes."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
import yaml
from PIL import Image

import anyloom
from anyloom.cli.main import main
from anyloom.data.module import AnyToAnyData
from anyloom.data.sources import ParquetRows
from anyloom.errors import AnyloomError
from anyloom.interfaces import Sample
from anyloom.media import read_media
from anyloom.survey import pools
from anyloom.survey.build import Plan, build
from anyloom.survey.shards import media_columns


@pytest.fixture
def section(config: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(config.read_text())["data"]
    return found


def samples(folder: Path) -> list[Sample]:
    built = AnyToAnyData({"datasets": {"b": {"name": "archives", "root": str(folder)}}}).samples("train")
    return [built[n] for n in range(len(built))]


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


def test_parquet_and_archives_give_equal_samples(section: dict[str, Any], tmp_path: Path) -> None:
    ledgers = [build(Plan(section, "train", 8, 3, form), tmp_path / form) for form in ("tar", "parquet")]
    assert ledgers[0] == ledgers[1] == {"shards": 3, "read": 8, "used": 7, "skipped": {"wrong format": 1}}
    pairs = list(zip(samples(tmp_path / "tar"), samples(tmp_path / "parquet"), strict=True))
    assert len(pairs) == 7
    for tar, row in pairs:
        assert (tar.task, tar.key) == (row.task, row.key)
        ours, theirs = (one.conversation.messages for one in (row, tar))
        assert [(m.role, m.text) for m in ours] == [(m.role, m.text) for m in theirs]
        for own, other in zip(row.conversation.media, tar.conversation.media, strict=True):
            assert (own.modality, own.reference, own.caption) == (other.modality, other.reference, other.caption)
            assert torch.equal(own.tensor(), other.tensor())
        where = {"source", "where"}  # the shards themselves
        assert {k: v for k, v in row.provenance.items() if k not in where and "/" not in str(v)} == {
            k: v for k, v in tar.provenance.items() if k not in where and "/" not in str(v)
        }


def test_cells_are_the_files_bit_by_bit(section: dict[str, Any], tmp_path: Path) -> None:
    build(Plan(section, "train", 8, 8, "parquet"), tmp_path / "built")
    rows = ParquetRows([tmp_path / "built" / "train-000000.parquet"])
    assert len(rows) == 7
    own = {path.read_bytes() for path in (tmp_path / "data").iterdir()}
    for n in range(7):
        assert {cell["bytes"] for name in ("images", "audios") for cell in rows[n][name]} <= own
        assert [Path(cell["path"]).suffix for cell in rows[n]["images"]] == [".png", ".png"]
    table = pyarrow.parquet.read_table(tmp_path / "built" / "train-000000.parquet")
    assert table.column_names[:4] == ["id", "task", "messages", "provenance"]
    assert table["videos"].to_pylist() == [[]] * 7


def test_datasets_opens_the_media_itself(section: dict[str, Any], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    build(Plan(section, "train", 8, 4, "parquet"), tmp_path / "built")
    files = [str(path) for path in sorted((tmp_path / "built").glob("*.parquet"))]
    loaded = datasets.Dataset.from_parquet(files, cache_dir=str(tmp_path / "cache"))
    assert loaded.features["images"] == datasets.List(datasets.Image())
    assert loaded.features["audios"] == datasets.List(datasets.Audio())
    loaded = loaded.cast_column("audios", datasets.List(datasets.Audio(decode=False)))  # its decoder is another package
    for row, sample in zip(loaded, samples(tmp_path / "built"), strict=True):
        pictures = [m.tensor() for m in sample.conversation.media if m.modality == "image"]
        for own, wanted in zip(row["images"], pictures, strict=True):
            buffer = io.BytesIO()
            own.save(buffer, "PNG")
            (tmp_path / "again.png").write_bytes(buffer.getvalue())
            assert torch.equal(read_media(tmp_path / "again.png").tensor(), wanted)
        assert [part["type"] for message in row["messages"] for part in message["content"]] == [
            "text", "image", "image", "audio"
        ]  # fmt: skip


def test_the_reader_of_chats_reads_them_too(section: dict[str, Any], tmp_path: Path) -> None:
    build(Plan(section, "train", 8, 8, "parquet"), tmp_path / "built")
    options = {"root": str(tmp_path / "built"), "train": "train-000000.parquet"}
    chats = anyloom.build("dataset", "chats", options).build("train")
    for n, sample in enumerate(samples(tmp_path / "built")):
        pairs = zip(chats[n].conversation.media, sample.conversation.media, strict=True)
        assert all(torch.equal(own.tensor(), other.tensor()) for own, other in pairs)


def test_a_build_that_was_cut_off_goes_on(section: dict[str, Any], tmp_path: Path) -> None:
    plan = Plan(section, "train", 8, 2, "parquet")
    whole = build(plan, tmp_path / "whole")
    build(plan, tmp_path / "cut")
    (tmp_path / "cut" / "train-000001.parquet").unlink()
    (tmp_path / "cut" / "train-000002.json").unlink()
    assert build(plan, tmp_path / "cut") == whole
    assert shards(tmp_path / "cut") == shards(tmp_path / "whole")
    with pytest.raises(AnyloomError, match="another config"):
        build(Plan(section, "train", 8, 2), tmp_path / "cut")


def test_row_groups_end_before_they_are_large(
    section: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anyloom.survey.shards._GROUP_ROWS", 3)
    build(Plan(section, "train", 8, 8, "parquet"), tmp_path / "built")
    file = pyarrow.parquet.ParquetFile(tmp_path / "built" / "train-000000.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)] == [3, 3, 1]
    assert len(samples(tmp_path / "built")) == 7


def test_short_texts_are_media_too(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "What is "}, {"type": "text-feature", "text": "a honey bee"}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": parts[1:]}]
    (tmp_path / "t.jsonl").write_text(json.dumps({"id": "a", "messages": messages}))
    section = {"datasets": {"own": {"name": "conversations", "train": str(tmp_path / "t.jsonl")}}}
    build(Plan(section, "train", 1, 1, "parquet"), tmp_path / "built")
    (sample,) = samples(tmp_path / "built")
    assert [m.modality for m in sample.conversation.media] == ["text-feature"] * 2
    wanted = anyloom.media.io_for("text-feature").from_text("a honey bee").tensor()
    assert all(torch.equal(m.tensor(), wanted) for m in sample.conversation.media)


def _one_row(tmp_path: Path, **changed: Any) -> None:
    row = {
        "id": "a",
        "task": "t",
        "messages": [{"role": "assistant", "content": [{"type": "image", "text": None, "reference": None}]}],
        "provenance": "{}",
        "images": [{"bytes": b"\x89PNG", "path": "a.png"}],
        **changed,
    }
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "train-000000.parquet")


@pytest.mark.parametrize(
    "changed",
    [
        {"images": []},
        {"images": [{"bytes": b"\x89PNG", "path": "a.png"}] * 2},
        {"images": [{"bytes": None, "path": "/etc/hostname"}]},
        {"images": "text"},
        {"messages": []},
        {"messages": "text"},
        {"messages": [{"role": "assistant", "content": [{"type": "no-such-kind"}]}]},
        {"messages": [{"role": "assistant", "content": [{"type": "image", "text": "words"}]}]},
        {"provenance": "{"},
        {},
    ],
)
def test_a_strangers_parquet_gives_bad_records(tmp_path: Path, changed: dict[str, Any]) -> None:
    _one_row(tmp_path, **changed)
    with pytest.raises(AnyloomError):
        [m.tensor() for sample in samples(tmp_path) for m in sample.conversation.media]


def test_both_kinds_in_one_folder_are_refused(tmp_path: Path) -> None:
    _one_row(tmp_path)
    (tmp_path / "train-000000.tar").write_bytes(b"")
    with pytest.raises(AnyloomError, match="tar files and parquet files"):
        samples(tmp_path)


def test_columns_are_those_of_the_modalities() -> None:
    columns = media_columns()
    assert {"image": "Image", "audio": "Audio", "video": "Video", "text-feature": ""}.items() <= columns.items()


def test_command(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["data", "build", str(config), "--output", str(out), "--shard", "5", "--form", "parquet"]) == 0
    assert "read 8 = used 7 + skipped 1 (1 wrong format)" in capsys.readouterr().out
    assert sorted(shards(out)) == ["train-000000.parquet", "train-000001.parquet"]
    cell = ParquetRows([out / "train-000000.parquet"])[0]["images"][0]
    assert Image.open(io.BytesIO(cell["bytes"])).size == (8, 8)


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_extra_is_named(section: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(AnyloomError, match=r"anyloom\[ray\]"):
        build(Plan(section, "train", 8, 4), tmp_path, pool="ray")


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)  # Ray's own
def test_ray_writes_what_this_process_writes(
    section: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)  # paths of the config are relative to it
    section["datasets"]["own"]["train"] = "data/train.jsonl"
    plan = Plan(section, "train", 8, 2, "parquet")
    whole = build(plan, tmp_path / "one")
    told: list[float] = []
    assert build(plan, tmp_path / "ray", workers=2, pool="ray", advance=told.append) == whole
    assert shards(tmp_path / "ray") == shards(tmp_path / "one")
    assert told == [0.25, 0.5, 0.75, 1.0]
    assert not ray.is_initialized()

    (tmp_path / "ray" / "train-000002.parquet").unlink()
    kept = (tmp_path / "ray" / "train-000001.parquet").stat().st_mtime_ns
    assert build(plan, tmp_path / "ray", workers=2, pool="ray") == whole
    assert shards(tmp_path / "ray") == shards(tmp_path / "one")
    assert (tmp_path / "ray" / "train-000001.parquet").stat().st_mtime_ns == kept


def _refuse(number: int) -> None:
    if number == 1:
        raise AnyloomError("made up", where="shard 1", fix="none")


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)  # Ray's own
def test_an_error_of_ours_comes_out_of_ray_as_it_is() -> None:
    pytest.importorskip("ray")
    with pytest.raises(AnyloomError, match="made up") as caught:
        list(pools.made_by("ray", _refuse, [0, 1], 1))
    assert caught.value.where == "shard 1"
