"""Writing what was trained, beside the library underneath."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from measure import Row, Rows, in_turns, versions
from safetensors.torch import save_file

from anyloom.storage.tensors import write_tensors


def rows(quick: bool) -> Rows:
    """100 MB of tensors."""
    size = 10 if quick else 100
    tensors = {f"t{n}": torch.randn(512, 512) for n in range(size)}
    with tempfile.TemporaryDirectory() as folder:
        found = in_turns(
            lambda: write_tensors(tensors, Path(folder) / "a.safetensors"),
            lambda: save_file(tensors, f"{folder}/b.safetensors"),
            3 if quick else 7,
        )
    note = f"{size} MB; ours looks for NaN, syncs to the disk and swaps whole files"
    yield Row("writing tensors", "safetensors", found, 0.5, note=note, versions=versions("safetensors"))
