"""Writing what was trained, beside the library underneath; and how long a step waits for a checkpoint."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import Row, Rows, in_turns, versions
from safetensors.torch import save_file

from anyloom.storage.tensors import write_tensors
from anyloom.training.background import BackgroundShards
from anyloom.training.shard_files import save_shards


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
    yield _held(tensors, 3 if quick else 7, f"{size} MB; seconds of the clock")


def _held(tensors: dict[str, torch.Tensor], rounds: int, note: str) -> Row:
    """How long a step waits for a checkpoint in shards that is written in the background, beside one that is not."""
    content = {"state_dict": tensors, "pytorch-lightning_version": "2.0"}
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        shards, path = BackgroundShards(), Path(folder) / "last.ckpt"
        for _ in range(rounds + 1):
            held = _clock(lambda: shards.save(content, path))
            shards.wait()
            shares.append(held / _clock(lambda: save_shards(content, path)))
        shards.close()
    share = 100 * statistics.median(shares[1:])  # the first takes new memory
    name = "a step that writes a checkpoint in shards in the background"
    return Row(name, "written at once", share, 10.0, better="lower", unit="%", note=note, versions=versions())


def _clock(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
