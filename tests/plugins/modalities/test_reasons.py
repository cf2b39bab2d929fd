"""Why a file cannot be read, in the words that a run's ledger counts by."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from anyloom.conversation import Media
from anyloom.data.ledger import reason_of
from anyloom.errors import MediaError
from anyloom.media import Isolation, read_media, write_media


def written(folder: Path) -> dict[str, Path]:
    """A whole file of each kind."""
    noise = torch.Generator().manual_seed(0)
    media = {
        "a.png": Media("image", torch.rand(3, 64, 64, generator=noise)),
        "a.jpg": Media("image", torch.rand(3, 64, 64, generator=noise)),
        "a.wav": Media("audio", torch.rand(1, 4000, generator=noise) - 0.5, meta={"sample_rate": 16000}),
        "a.ogg": Media("audio", torch.rand(1, 16000, generator=noise) - 0.5, meta={"sample_rate": 16000}),
        "a.mp4": Media("video", torch.rand(4, 3, 32, 32, generator=noise), meta={"fps": 4}),
    }
    return {name: write_media(item, folder / name) for name, item in media.items()}


def reason(path: Path, modality: str, **options: float) -> str | None:
    with pytest.raises(MediaError) as failure:
        read_media(path, modality, options=options).tensor()
    assert reason_of(pickle.loads(pickle.dumps(failure.value))) == reason_of(failure.value)
    return reason_of(failure.value)


MODALITIES = {".png": "image", ".jpg": "image", ".wav": "audio", ".ogg": "audio", ".mp4": "video"}


@pytest.mark.parametrize("suffix", MODALITIES)
def test_files_of_each_kind(tmp_path: Path, suffix: str) -> None:
    modality, path = MODALITIES[suffix], written(tmp_path)[f"a{suffix}"]
    assert reason(tmp_path / f"no{suffix}", modality) == "missing"
    (tmp_path / f"empty{suffix}").touch()
    assert reason(tmp_path / f"empty{suffix}", modality) == "truncated"
    (tmp_path / f"page{suffix}").write_text("<html>404 Not Found</html>" * 100)
    assert reason(tmp_path / f"page{suffix}", modality) == "wrong format"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert reason(path, modality) == "truncated"


def test_limits_and_values(tmp_path: Path) -> None:
    files = written(tmp_path)
    assert reason(files["a.png"], "image", max_pixels=100) == "too large"
    assert reason(files["a.wav"], "audio", max_seconds=0.1) == "too large"
    assert reason(files["a.mp4"], "video", max_pixels=100) == "too large"
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 16000, subtype="FLOAT")
    assert reason(tmp_path / "nan.wav", "audio") == "NaN"


def test_another_process_says_the_same_reason(tmp_path: Path) -> None:
    path = written(tmp_path)["a.png"]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MediaError) as failure:
        read_media(path, "image", isolation=Isolation())
    assert reason_of(failure.value) == "truncated"
