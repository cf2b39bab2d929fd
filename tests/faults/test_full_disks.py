"""Row 26 in its kind: every command that writes, and every store, on a disk that has less and less room.

What was there before is as it was, one line says what is wrong, and with room again the same command ends the same.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from anyloom.cli.main import main
from anyloom.data.sources.index import open_index
from anyloom.media import write_media
from anyloom.storage.locking import locked, moving
from anyloom.training.run import run
from faults.rows import row
from parts import picture
from projects import save_brush_model, sections

ROOM = (0, 8, 24, 64)
"""KB that are free: too little for the folder, for the first file, for one in the middle, for a later one."""
PROMISE = "one line with the path, last good kept"
full_disk = row(
    26,
    "files",
    done="a disk fills up: checkpoint, result, log, features, and the output of every command",
    promise=PROMISE,
)


class Disk:
    """A small disk of which some room is left."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def leave(self, kilobytes: int | None) -> None:
        """Leave so much room; None: all of it."""
        (self.place / "filler").unlink(missing_ok=True)
        if kilobytes is None:
            return
        free = os.statvfs(self.place)
        handle = os.open(self.place / "filler", os.O_WRONLY | os.O_CREAT)
        os.posix_fallocate(handle, 0, max(free.f_bavail * free.f_bsize - kilobytes * 1024, 1))
        os.close(handle)


@pytest.fixture
def disk(small_disk: Path) -> Disk:
    return Disk(small_disk)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A saved model with a decoder, questions, a suite that asks them, outputs of another program, a config of data."""
    folder = tmp_path_factory.mktemp("made")
    save_brush_model(folder / "model", tokenizer_folder)
    lines = []
    for number in range(6):
        before, after = (write_media(picture(2 * number + n), folder / f"{number}-{n}.png").name for n in (0, 1))
        asked = [{"type": "text", "text": "blue"}, {"type": "image", "path": before}]
        answer = [{"type": "text", "text": "so"}, {"type": "image", "path": after}]
        said = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        lines.append(json.dumps({"id": f"q{number}", "messages": said}))
        write_media(picture(number), folder / "outputs" / f"q{number}.png")
    questions = folder / "questions.jsonl"
    questions.write_text("\n".join(lines) + "\n")
    (folder / "asked.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}]}\n' * 3)
    data = {"datasets": {"own": {"name": "conversations", "test": str(questions), "train": str(questions)}}}
    for metric in ("psnr", "feature-error"):  # one that looks at answers, one that looks at the model
        suite = {"title": "Tiny", "data": data, "metrics": {"own": {"name": metric}}, "batch_size": 2}
        (folder / f"{metric}.yaml").write_text(yaml.safe_dump({"suite": suite}))
    (folder / "data.yaml").write_text(yaml.safe_dump({"data": {**data, "max_bad": 1.0}}))
    return folder


COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "evaluate": lambda made: ["evaluate", str(made / "model"), "--trust", "--suite", str(made / "feature-error.yaml")],
    "score": lambda made: ["score", str(made / "outputs"), "--suite", str(made / "psnr.yaml")],
    "generate": lambda made: [
        *("generate", str(made / "model"), "--trust", "--text", "a", "--force", "image", "--max-new-tokens", "2")
    ],
    "jsonl": lambda made: [
        *("generate", str(made / "model"), "--trust", "--jsonl", str(made / "asked.jsonl")),
        *("--force", "image", "--max-new-tokens", "2"),
    ],
    "build": lambda made: ["data", "build", str(made / "data.yaml"), "--shard", "2"],
    "baseline": lambda made: ["baseline", "copying", "--suite", str(made / "psnr.yaml")],
    "export": lambda made: ["export", str(made / "model"), "--trust", "--to", "merged"],
}


def names(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@full_disk
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_on_a_full_disk(
    made: Path, disk: Disk, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, refused = COMMANDS[command](made), 0
    assert main([*words, "--output", str(tmp_path / "whole")]) == 0
    (disk.place / "earlier").write_text("kept")
    for number, room in enumerate(ROOM):
        output = disk.place / f"out{number}"
        disk.leave(room)
        capsys.readouterr()
        status = main([*words, "--output", str(output)])
        error = capsys.readouterr().err
        assert "Traceback" not in error
        told = [line for line in error.splitlines() if line.startswith("error: ")]
        assert len(told) == (1 if status == 2 else 0), error
        assert all(str(disk.place) in line and "No space left" in line for line in told)
        assert not [name for name in names(disk.place) if name.endswith((".draft", ".partial"))]
        disk.leave(None)
        if status == 2:
            refused += 1
            assert main([*words, "--output", str(output)]) == 0, "with room again it ends"
        assert names(output) == names(tmp_path / "whole")
    assert (disk.place / "earlier").read_text() == "kept"
    assert refused


@full_disk
def test_a_run_whose_features_find_no_room_goes_on(
    disk: Disk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = sections(tmp_path, max_steps=4)
    config["module"]["cache_features"] = str(disk.place / "kept")
    results = []
    for room in (None, 12):
        disk.leave(room)
        results.append(run("fit", {**config, "result": str(tmp_path / str(room))}).model.state_dict())
        shutil.rmtree(disk.place / "kept")
    assert capsys.readouterr().err.count("features are kept no longer, and the run goes on") == 1
    for name, tensor in results[0].items():  # media are encoded in other company, which costs the last bits
        torch.testing.assert_close(results[1][name], tensor, atol=1e-5, rtol=1e-4)


@full_disk
def test_an_index_that_finds_no_room_is_kept_in_memory(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a")
    disk.leave(0)
    index = open_index(
        [tmp_path / "data"], "t", lambda: {"n": np.arange(9999)}, folder=disk.place / "cache", size=1 << 30
    )
    assert index.path is None
    assert index["n"].tolist() == list(range(9999))
    assert [p.name for p in disk.place.rglob("*") if p.is_file()] == ["filler"]


@row(
    38,
    "files",
    done="a run where another one writes: result, checkpoints, and the output of every command",
    promise="one line that names the other; no mixed files",
)
@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "generate"])  # its files have names of their own
def test_a_command_where_another_one_writes(
    made: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*COMMANDS[command](made), "--output", str(tmp_path / "out")]
    (tmp_path / "out").mkdir()
    other = moving if command == "export" else locked
    with other(tmp_path / "out"):
        assert main(words) == 2
        assert "another run writes here" in capsys.readouterr().err
        assert not names(tmp_path / "out")
    assert main(words) == 0
