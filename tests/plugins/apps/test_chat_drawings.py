"""What is drawn below players, without a browser."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

import anyloom
from anyloom import Media, write_media
from anyloom_chat.drawings import drawn_below


def test_a_sound_is_drawn_and_a_picture_is_not(tmp_path: Path) -> None:
    time = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * 4000 * time)[None] * 0.5
    file = write_media(Media("audio", tone, meta={"sample_rate": 16000}), tmp_path / "tone.wav")
    drawing = drawn_below(file)
    assert drawing is not None
    found = re.search(r'src="data:image/png;base64,([^"]+)"', drawing.html)
    assert found
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as picture:
        rows = torch.from_numpy(numpy.array(picture.convert("L"))).float()
    # 4 kHz of at most 8 kHz stands at 0.756 of the mel scale, counted from below
    loudest = 1 - (int(rows.mean(1).argmax()) + 0.5) / len(rows)
    assert loudest == pytest.approx(0.756, abs=0.03)
    assert drawn_below(anyloom.sample("hat").save(tmp_path / "hat.png")) is None
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    assert drawn_below(tmp_path / "broken.wav") is None
