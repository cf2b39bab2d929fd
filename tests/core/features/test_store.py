"""Features on disk: equal losses, several writers, nothing stale, broken entries, limits and disks that are full."""

from __future__ import annotations

import errno
import json
import multiprocessing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from anyloom.config.schema import FeatureStoreConfig
from anyloom.conversation import Conversation, Media, Message, Text
from anyloom.features.content import content_name
from anyloom.features.room import held
from anyloom.features.store import StoredFeatures, open_store
from anyloom.interfaces import Sample
from anyloom.media import read_media
from anyloom.model.model import AnyToAnyModel
from parts import PatchEncoder, model_options, picture, sound


def samples() -> list[Sample]:
    found = []
    for n in range(4):
        asked = Message("user", [Text("turn it upside down"), picture(n % 3), sound(n)])
        told = Message("assistant", [Text("hello there"), picture(n + 4)])
        found.append(Sample(Conversation([asked, told]), "test", key=str(n)))
    return found


def model(tokenizer: Path, **options: Any) -> AnyToAnyModel:
    torch.manual_seed(0)
    section = model_options(tokenizer)
    section["encoders"]["eye"] |= options
    return AnyToAnyModel.from_config({"model": section}).eval()


def opened(folder: Path, made: AnyToAnyModel, precision: str = "32-true", **more: Any) -> StoredFeatures:
    return open_store(FeatureStoreConfig(folder=folder, **more), made.encoded_tables(), precision)


def losses(made: AnyToAnyModel) -> list[float]:
    found: list[float] = []
    for _ in range(2):
        for start in (0, 2):
            batch = made.collator()(samples()[start : start + 2])
            found.append(made(batch).total().item())
    return found


def test_losses_are_bit_equal_and_a_later_run_encodes_nothing(tokenizer_folder: Path, tmp_path: Path) -> None:
    plain = model(tokenizer_folder)
    expected = losses(plain)
    for read, encoded in ((13, 11), (24, 0)):
        made = model(tokenizer_folder)
        made.cache = opened(tmp_path / "kept", made)
        assert losses(made) == expected
        assert (made.cache.counts["read"], made.cache.counts["encoded"]) == (read, encoded)
    files = list((tmp_path / "kept").glob("*/*/*"))
    assert len(files) == 11
    assert {f.suffix for f in files} == {".safetensors"}


@pytest.mark.parametrize("changed", ["weight", "option", "precision"])
def test_nothing_stale_is_read(tokenizer_folder: Path, tmp_path: Path, changed: str) -> None:
    first = model(tokenizer_folder)
    first.cache = opened(tmp_path, first)
    losses(first)
    other = model(tokenizer_folder, **({"space": "other"} if changed == "option" else {}))
    if changed == "weight":
        eye = other.parts.encoder("eye")
        assert isinstance(eye, PatchEncoder)
        with torch.no_grad():
            eye.linear.weight[3, 5] += 1e-6
    expected = losses(other)
    other.cache = opened(tmp_path, other, "bf16-mixed" if changed == "precision" else "32-true")
    batch = other.collator()(samples())
    assert all(m.given is not None and m.given.stored == 0 for m in batch.media.values())
    assert losses(other) == expected


def test_media_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    data = torch.zeros(1, 800)
    media = [
        Media("audio", data, key="a", meta={"sample_rate": 16000.0}),
        Media("audio", data, key="a", meta={"sample_rate": 8000.0}),
        Media("audio", data + 1, key="a", meta={"sample_rate": 16000.0}),
        Media("audio", data, key="a", meta={"sample_rate": 16000.0}, caption="a bell"),
    ]
    assert len({content_name(m) for m in media}) == 4
    assert content_name(media[0]) == content_name(Media("audio", data.clone(), key="b", meta={"sample_rate": 16000.0}))
    file = tmp_path / "a.png"
    names = []
    for value in (0.0, 1.0, 0.0):
        Media("image", torch.full((3, 4, 4), value)).save(file)
        names.append(content_name(read_media(file, lazy=True)))
    assert names[0] == names[2] != names[1]


def store(folder: Path, limit: int = 10**8) -> StoredFeatures:
    return StoredFeatures(folder, {"eye": {"weights": "1"}}, limit=limit)


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*/*.safetensors"))


@pytest.mark.parametrize("fault", ["truncated", "flipped", "empty", "another's"])
def test_a_broken_entry_is_made_again_and_counted(tmp_path: Path, fault: str) -> None:
    kept = store(tmp_path)
    names = [content_name(picture(n)) for n in range(2)]
    rows = torch.rand(2, 1, 16)
    kept.put("eye", names, rows)
    path = next(p for p in entries(tmp_path) if p.stem == names[0])
    content = path.read_bytes()
    spoilt = {
        "truncated": content[:-8],
        "flipped": content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
        "empty": b"",
        "another's": next(p for p in entries(tmp_path) if p.stem == names[1]).read_bytes(),
    }
    path.write_bytes(spoilt[fault])
    assert kept.read("eye", names[0]) is None
    kept.put("eye", names, rows)
    assert kept.counts["broken"] == 1
    again = kept.read("eye", names[0])
    assert again is not None
    assert torch.equal(again, rows[0])


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no list of mapped files")
def test_a_row_lies_in_its_mapped_file_and_outlives_its_entry(tmp_path: Path) -> None:
    kept, name = store(tmp_path), "ab" * 32
    kept.put("eye", [name], torch.full((1, 2, 8), 3.0))
    row = kept.read("eye", name)
    assert row is not None
    (path,) = entries(tmp_path)
    ranges = [
        line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if str(path) in line
    ]
    assert any(int(begin, 16) <= row.data_ptr() < int(end, 16) for begin, end in ranges)
    row += 1  # in this process only
    again = kept.read("eye", name)
    assert again is not None
    assert again.tolist() == [[3.0] * 8] * 2
    path.unlink()
    assert row.tolist() == [[4.0] * 8] * 2
    assert kept.read("eye", name) is None


def _write(folder: Path, count: int) -> None:
    kept = store(folder)
    for n in range(count):
        kept.put("eye", [f"{n:064x}"], torch.full((1, 2, 8), float(n)))


def test_two_processes_write_the_same_entries_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, 60)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    kept = store(tmp_path)
    for n in range(60):
        row = kept.read("eye", f"{n:064x}")
        assert row is not None
        assert row.tolist() == [[float(n)] * 8] * 2
    assert len(entries(tmp_path)) == 60
    assert not list(tmp_path.rglob(".*"))


def test_at_the_limit_no_more_is_kept_and_one_line_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = store(tmp_path, limit=5 * 4096)
    for n in range(9):
        kept.put("eye", [f"{n:064x}"], torch.zeros(1, 2, 8))
    assert held(tmp_path) == 5 * 4096  # what it is of, and four entries
    assert len(entries(tmp_path)) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "kept no longer" in line
    assert "raise max_gb" in line
    assert kept.read("eye", "0" * 64) is not None


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_or_a_closed_folder_pauses_and_stops_nothing(
    tokenizer_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reason: int,
) -> None:
    expected = losses(model(tokenizer_folder))
    made = model(tokenizer_folder)
    made.cache = opened(tmp_path / "kept", made)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(reason, "refused")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert losses(made) == expected
    (line,) = capsys.readouterr().err.splitlines()
    assert "features are kept no longer, and the run goes on" in line
    assert entries(tmp_path / "kept") == []


def test_a_folder_that_is_a_file_stops_nothing(tokenizer_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    made = model(tokenizer_folder)
    expected = losses(made)
    made.cache = opened(tmp_path / "kept", made)
    assert losses(made) == expected


def test_the_files_are_plain(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.put("eye", ["ab" * 32], torch.ones(1, 1, 4))
    (place,) = [p for p in tmp_path.iterdir() if p.is_dir()]
    about: Mapping[str, Any] = json.loads((place / "about.json").read_text())
    assert about == {"weights": "1"}
    with safe_open(entries(tmp_path)[0], "np") as file:
        assert file.get_tensor("row").tolist() == [[1.0] * 4]
