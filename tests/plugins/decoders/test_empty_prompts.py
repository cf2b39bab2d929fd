"""A decoder that reads an empty prompt says so before weights load: ``anyloom check`` names a missing file."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyloom.checking.inspection import files_of
from anyloom.discovery import get_registry
from anyloom.testing.running import tiny_case


@pytest.mark.parametrize("name", ["sd", "sd-unclip", "zeroscope", "audioldm2"])
def test_a_missing_file_is_found_before_weights_load(name: str, tmp_path: Path) -> None:
    case = tiny_case(get_registry().find("decoder", name), tmp_path)
    nowhere = tmp_path / "no" / "such"
    needed = files_of(case.build(empty_prompt=str(nowhere)), "model.decoders.brush")
    assert [(file.key, file.present) for file in needed if file.path == nowhere] == [
        ("model.decoders.brush.empty_prompt", False)
    ]
