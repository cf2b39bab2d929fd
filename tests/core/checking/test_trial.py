"""``check`` runs components once without a value: what would fail in the first step is said before it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom.checking.preflight import look_over
from anyloom.representation.autoregressive import Autoregressive
from anyloom_sd_unclip.decoder import SDUnCLIPDecoder
from parts import PatchEncoder
from projects import brush_sections


def problems(config: dict[str, Any]) -> list[str]:
    return [str(p) for p in look_over([copy.deepcopy(config)], trust=True).problems]


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return brush_sections(tmp_path)


def less(given: torch.Tensor) -> torch.Tensor:
    return given[..., :-1]


def fails(given: torch.Tensor) -> torch.Tensor:
    return given @ torch.zeros(3, 3)


BROKEN = [
    (PatchEncoder, "forward", less, "model.encoders.eye: forward() promises a tensor (1, 1, 8), and returned one of"),
    (PatchEncoder, "forward", fails, "model.encoders.eye: parts.PatchEncoder fails on a blank medium (RuntimeError: "),
    (Autoregressive, "embed", less, "representation: embed() promises a tensor (1, 1, 32), and returned one of (1, 1,"),
    (Autoregressive, "read", less, "representation: read() promises a tensor (1, 1, 8), and returned one of (1, 1, 7"),
    (Autoregressive, "loss", torch.sum, "representation: loss() promises a tensor (1,), and returned one of ()"),
    (SDUnCLIPDecoder, "forward", torch.sum, "model.decoders.brush: forward() promises a tensor (1,), and returned on"),
]


@pytest.mark.parametrize(("owner", "method", "change", "said"), BROKEN)
def test_a_component_that_would_fail_in_the_first_step_is_named(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, owner: type, method: str, change: Any, said: str
) -> None:
    assert problems(config) == []
    before = getattr(owner, method)
    monkeypatch.setattr(owner, method, lambda *args, **more: change(before(*args, **more)))
    found = problems(config)
    assert found
    assert all(said in line for line in found if "modalities.audio" not in line)


def test_a_component_that_looks_at_values_is_passed_over(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = PatchEncoder.forward
    monkeypatch.setattr(PatchEncoder, "forward", lambda s, x, m: before(s, x, m) * float(x.sum().item() + 1))
    assert problems(config) == []


def test_a_modality_that_no_plugin_reads_is_a_problem(config: dict[str, Any]) -> None:
    config["model"]["modalities"]["smell"] = {"encoder": "eye"}
    assert [line for line in problems(config) if "model.modalities.smell: no modality is called 'smell'" in line]


def test_one_space_has_one_width(config: dict[str, Any]) -> None:
    conv = {"name": "conv", "space": "mine", "size": 8, "grid": 2, "widths": [8, 8], "meaning_dim": 0}
    config["model"] |= {"decoders": {}}
    del config["model"]["modalities"]["image"]["decoder"]
    for width, said in ((4, []), (6, ["the space 'mine' has 4 dimensions in the encoder 'eye' and 6 in 'ear'"])):
        config["model"]["encoders"] = {
            "eye": {**conv, "modality": "image", "layout_dim": 4},
            "ear": {**conv, "modality": "audio", "layout_dim": width},
        }
        config["model"]["modalities"]["image"]["encoder"] = "eye"
        config["model"]["modalities"]["audio"]["encoder"] = "ear"
        found = problems(config)
        assert len(found) == len(said)
        assert all(words in line for words, line in zip(said, found))
