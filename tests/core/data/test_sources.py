"""Sources against what other readers find in the same files: csv, tarfile, GNU tar, pyarrow."""

from __future__ import annotations

import csv
import io
import json
import pickle
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anyloom.data.sources import Blob, FolderGroups, JsonLines, Lines, ParquetRows, TarGroups
from anyloom.data.sources import index as index_module
from anyloom.data.sources import lines as lines_module
from anyloom.errors import BadRecord, ConfigError


@pytest.mark.parametrize("block", [1, 3, 7, 1 << 20])
@given(text=st.text(alphabet="ab \r\n\t\u2028\u0085é", max_size=60))
@settings(max_examples=60, deadline=None)
def test_lines_are_those_that_end_in_a_newline(tmp_path_factory: Any, block: int, text: str) -> None:
    path = tmp_path_factory.mktemp("l") / "a.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "_BLOCK", block)
        found = Lines(path)
    # blank is what has no byte above the space
    expected = [(n, line.encode()) for n, line in enumerate(text.split("\n"), 1) if line.strip(" \r\t")]
    assert [(found.number(i), found.line(i).removesuffix(b"\n")) for i in range(len(found))] == expected


@pytest.mark.parametrize("block", [1, 5, 1 << 20])
@given(rows=st.lists(st.lists(st.text(alphabet='a",\nb', min_size=1, max_size=6), min_size=1, max_size=3), max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_quoted_field_keeps_its_line_ends(tmp_path_factory: Any, block: int, rows: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("c") / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "_BLOCK", block)
        found = Lines(path, quoted=True)
    parsed = [next(csv.reader(io.StringIO(found.line(i).decode(), newline=""))) for i in range(len(found))]
    assert parsed == rows


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_json_lines_hold_separators_that_are_no_line_ends(tmp_path: Path) -> None:
    values = [{"text": "one\u2028two\u0085three\u000bfour"}, {"text": "é"}]
    source = JsonLines(write_lines(tmp_path / "a.jsonl", [json.dumps(v, ensure_ascii=False) for v in values]))
    assert [source[i] for i in range(2)] == values


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5_000 + "}", "not JSON"),
        ('{"a": 1', "not JSON"),
        ('{"a": "\\ud800"}', "not JSON"),
        ("12", "expected a JSON object"),
        ("null", "expected a JSON object"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_the_others_stay(tmp_path: Path, line: str, said: str) -> None:
    source = JsonLines(write_lines(tmp_path / "a.jsonl", ['{"a": 1}', "", line, '{"a": 2}']))
    assert (source[0], source[2]) == ({"a": 1}, {"a": 2})
    with pytest.raises(BadRecord, match=said) as caught:
        source[1]
    assert caught.value.reason == "bad row"
    assert caught.value.where == f"{tmp_path}/a.jsonl:3"


def test_bytes_that_are_not_utf8_are_a_bad_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\n{"a": "\xff\xfe"}\n')
    source = JsonLines(tmp_path / "a.jsonl")
    assert source[0] == {"a": 1}
    with pytest.raises(BadRecord):
        source[1]


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_WORTH_STORING", 0)


@pytest.mark.usefixtures("stored")
def test_an_index_is_stored_once_and_void_when_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lines(tmp_path / "a.jsonl", ['{"a": 1}', '{"a": 2}'])
    assert JsonLines(path)[1] == {"a": 2}
    (file,) = (tmp_path / ".anyloom").iterdir()
    made = file.stat().st_mtime_ns
    again = JsonLines(path)
    assert file.stat().st_mtime_ns == made
    copied = pickle.loads(pickle.dumps(again))
    assert copied[1] == {"a": 2}
    assert len(pickle.dumps(again)) < 600

    write_lines(path, ['{"a": 1}', '{"a": 2}', '{"a": 3}'])
    assert JsonLines(path)[2] == {"a": 3}
    file.write_bytes(b"\x08\0\0\0\0\0\0\0garbage!")
    assert JsonLines(path)[2] == {"a": 3}


@pytest.mark.usefixtures("stored")
def test_data_in_a_folder_that_cannot_be_written_are_indexed_in_the_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lines(tmp_path / "a.jsonl", ['{"a": 1}'])
    (tmp_path / ".anyloom").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert JsonLines(path)[0] == {"a": 1}
    assert len(list((tmp_path / "cache" / "anyloom" / "index").iterdir())) == 1


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (5, 4), (255, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write_shard(path: Path, numbers: range) -> None:
    with tarfile.open(path, "w") as archive:
        for n in numbers:
            for name, data in ((f"d/{n:04d}.PNG", picture()), (f"d/{n:04d}.txt", f"caption {n}".encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def test_members_of_archives_are_grouped_and_opened_where_they_are(tmp_path: Path) -> None:
    for shard in range(3):
        write_shard(tmp_path / f"{shard}.tar", range(shard * 4, shard * 4 + 4))
    source = pickle.loads(pickle.dumps(TarGroups(sorted(tmp_path.glob("*.tar")))))
    assert len(source) == 12
    assert source.shards == [range(0, 4), range(4, 8), range(8, 12)]
    record = source[5]
    assert (record["__key__"], record["txt"].text()) == ("d/0005", "caption 5")
    medium = record["png"].media("image")
    assert medium.data is None
    assert torch.equal(medium.tensor(), torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 4, 5))
    assert pickle.loads(pickle.dumps(medium)).tensor().shape == (3, 4, 5)
    assert medium.key != source[6]["png"].media("image").key


def test_an_archive_of_gnu_tar_with_long_names_links_and_ways_out(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    long = "n" * 150
    (inside / f"{long}.txt").write_text("long")
    (inside / "link.txt").symlink_to("/etc/hostname")
    (tmp_path / "out.txt").write_text("out")
    command = ["tar", "-cPf", str(tmp_path / "a.tar"), "-C", str(inside), f"{long}.txt", "link.txt", "../out.txt"]
    subprocess.run(command, check=True)
    source = TarGroups([tmp_path / "a.tar"])
    found = {}
    for i in range(len(source)):
        try:
            found[source.where(i).rsplit(":", 1)[1]] = source[i]["txt"].text()
        except BadRecord as error:
            found[source.where(i).rsplit(":", 1)[1]] = error.reason
    assert found == {long: "long", "link": "wrong format", "../out": "wrong format"}


@pytest.mark.parametrize("keep", [700, 1024, 1536, 5 * 512, 6 * 512 + 3])
def test_a_cut_archive_gives_what_is_whole_and_says_that_it_is_cut(tmp_path: Path, keep: int) -> None:
    write_shard(tmp_path / "a.tar", range(4))
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:keep])
    source = TarGroups([tmp_path / "a.tar"])
    good, bad = [], 0
    for i in range(len(source)):
        try:
            blobs = [blob for blob in source[i].values() if isinstance(blob, Blob)]
        except BadRecord:
            bad += 1
            continue
        for blob in blobs:
            try:
                assert blob.read()
                good.append(blob.name)
            except BadRecord:
                bad += 1
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        members = archive.getmembers()
    assert good == [m.name.replace("PNG", "png") for m in members if m.offset_data + m.size <= keep]
    assert bad >= 1


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", range(4))
    whole = bytearray((tmp_path / "a.tar").read_bytes())
    whole[4 * 1024 + 10 : 4 * 1024 + 40] = b"x" * 30
    (tmp_path / "a.tar").write_bytes(whole)
    source = TarGroups([tmp_path / "a.tar"])
    with pytest.raises(BadRecord, match="damaged"):
        [source[i] for i in range(len(source))]


def test_compressed_archives_are_refused_and_one_broken_one_of_two_is_a_bad_record(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w:gz"):
        pass
    with pytest.raises(ConfigError, match="not an uncompressed tar archive"):
        TarGroups([tmp_path / "a.tar"])
    write_shard(tmp_path / "b.tar", range(2))
    source = TarGroups([tmp_path / "a.tar", tmp_path / "b.tar"])
    assert (len(source), source.shards) == (3, [range(0, 1), range(1, 3)])


def test_parquet_rows_are_those_that_pyarrow_reads(tmp_path: Path) -> None:
    tables = []
    for part, rows in enumerate((7, 0, 5)):
        table = pyarrow.table(
            {"id": [f"{part}-{i}" for i in range(rows)], "image": [{"bytes": b"x" * i} for i in range(rows)]}
        )
        pyarrow.parquet.write_table(table, tmp_path / f"{part}.parquet", row_group_size=3)
        tables += table.to_pylist()
    source = pickle.loads(pickle.dumps(ParquetRows(sorted(tmp_path.glob("*.parquet")))))
    assert [source[i] for i in range(len(source))] == tables
    assert [len(s) for s in source.shards] == [3, 3, 1, 3, 2]
    assert source.where(8) == f"{tmp_path}/2.parquet:1"
    assert ParquetRows([tmp_path / "0.parquet"], columns=["id"])[2] == {"id": "0-2"}
    with pytest.raises(ConfigError, match="columns: id, image"):
        ParquetRows([tmp_path / "0.parquet"], columns=["url"])
    (tmp_path / "9.parquet").write_bytes((tmp_path / "0.parquet").read_bytes()[:-10])
    with pytest.raises(ConfigError, match="not a parquet file"):
        ParquetRows([tmp_path / "9.parquet"])


def test_a_damaged_row_group_is_a_bad_record_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": ["".join(chr(97 + (i * j) % 26) for j in range(500)) for i in range(40)]})
    pyarrow.parquet.write_table(table, path, row_group_size=20, use_dictionary=False)
    column = pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(0)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    source = ParquetRows([path])
    with pytest.raises(BadRecord) as caught:
        source[3]
    assert caught.value.where == f"{path}:3"
    assert source[25] == table.to_pylist()[25]


def test_files_of_a_folder_are_grouped_by_name(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/2.json", "a/1.txt", ".hidden/3.txt", "b/.4.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    source = pickle.loads(pickle.dumps(FolderGroups(tmp_path)))
    assert [(r["__key__"], r["txt"].text()) for r in (source[0], source[1])] == [("a/1", "a/1.txt"), ("b/2", "b/2.txt")]
    assert sorted(source[1]) == ["__key__", "json", "txt"]
    assert len(source) == 2


def test_sizes_have_limits(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0123456789\n01\n")
    with pytest.raises(BadRecord, match="at most 5") as caught:
        Lines(tmp_path / "a.txt", limit=5).line(0)
    assert caught.value.reason == "too large"
    with pytest.raises(BadRecord, match="more than 5 bytes"):
        Blob(str(tmp_path / "a.txt")).read(limit=5)
    with pytest.raises(BadRecord, match="at most 5 are read"):
        Blob(str(tmp_path / "a.txt"), 0, 10).read(limit=5)
