"""Files of others have the SHA-256 they had at first, or it is said."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch

from anyloom import AnyToAnyModel
from anyloom.errors import CheckpointError, ConfigError
from anyloom.storage.first_use import POLICY_VARIABLE, check_first_use, known_folder
from anyloom.storage.folder import replacing_folder
from anyloom.storage.tensors import write_tensors
from parts import model_options


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(POLICY_VARIABLE, raising=False)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    write_tensors({"a": torch.zeros(4)}, tmp_path / "weights" / "model.safetensors")
    (tmp_path / "weights" / "config.json").write_text("{}")
    return tmp_path / "weights"


def test_the_first_use_keeps_what_sha256sum_prints(weights: Path) -> None:
    assert check_first_use([weights]) == []
    (kept,) = known_folder().glob("*.json")
    digests = {Path(name).name: entry["sha256"] for name, entry in json.loads(kept.read_text()).items()}
    assert digests == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in weights.iterdir()}


def test_a_changed_file_is_said_once_and_refused_where_that_is_asked_for(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_first_use([weights])
    assert check_first_use([weights]) == []
    (weights / "config.json").write_text('{"other": 1}')
    monkeypatch.setenv(POLICY_VARIABLE, "refuse")
    for _ in range(2):
        with pytest.raises(CheckpointError, match=r"config\.json: it is not the file that was first used here on 2"):
            check_first_use([weights])
    monkeypatch.setenv(POLICY_VARIABLE, "note")
    (note,) = check_first_use([weights])
    assert "its SHA-256 differs" in note
    assert check_first_use([weights]) == []


def test_a_file_of_the_same_size_and_time_is_not_read_again_and_one_that_was_touched_is(weights: Path) -> None:
    check_first_use([weights])
    file = weights / "model.safetensors"
    os.utime(file)
    assert check_first_use([weights]) == []
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    assert len(check_first_use([weights])) == 1


def test_what_is_written_here_is_nobody_elses(weights: Path) -> None:
    check_first_use([weights])
    with replacing_folder(weights) as draft:
        (draft / "config.json").write_text('{"trained": "again"}')
    assert check_first_use([weights]) == []


def test_places_that_keep_nothing(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert check_first_use([weights, tmp_path / "missing"]) == []
    monkeypatch.setenv(POLICY_VARIABLE, "nosuch")
    with pytest.raises(ConfigError, match=f"^{POLICY_VARIABLE}: 'nosuch' is no policy"):
        check_first_use([weights])


def test_a_model_says_which_of_its_files_has_changed(
    tmp_path: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = model_options(tokenizer_folder, modalities=("image",))
    plain = AnyToAnyModel.from_config({"model": made})
    file = tmp_path / "eye.safetensors"
    write_tensors(plain.parts.encoders["eye"].state_dict(), file)
    made["encoders"] = {"eye": {"class_path": "projects.FileEncoder", "weights": str(file)}}
    AnyToAnyModel.from_config({"model": made})
    assert "first used" not in capsys.readouterr().err
    write_tensors({n: t + 1 for n, t in plain.parts.encoders["eye"].state_dict().items()}, file)
    AnyToAnyModel.from_config({"model": made})
    assert f"note: {file}: it is not the file that was first used here" in capsys.readouterr().err
