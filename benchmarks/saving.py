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

from anyloom import Conversation, Message
from anyloom.data.loader import Batching, ResumableLoader, SampleOrder
from anyloom.data.mixture import Mixture, Part
from anyloom.data.reading import SampleSet
from anyloom.interfaces import Sample
from anyloom.storage.tensors import write_tensors
from anyloom.training.background import BackgroundShards
from anyloom.training.checkpoint_files import CheckpointFiles
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
    yield _whole(tensors, 3 if quick else 7, size)
    yield _held(tensors, 3 if quick else 7, f"{size} MB; seconds of the clock")
    yield _gone_on(100_000 if quick else 10_000_000, 3 if quick else 7)


def _whole(tensors: dict[str, torch.Tensor], rounds: int, size: int) -> Row:
    """A checkpoint in one file, as a run writes it."""
    content = {"state_dict": tensors, "pytorch-lightning_version": "2.0"}
    with tempfile.TemporaryDirectory() as folder:
        files, path = CheckpointFiles(), Path(folder) / "last.ckpt"
        found = in_turns(
            lambda: files.save_checkpoint(content, path), lambda: torch.save(content, f"{folder}/other.ckpt"), rounds
        )
    note = f"{size} MB; ours looks for NaN, hashes, syncs to the disk and swaps whole files"
    return Row("writing a checkpoint", "torch.save", found, None, note=note, versions=versions())


class _Numbers:
    """Samples that are made when they are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        return Sample(
            Conversation([Message("user", f"{index}?"), Message("assistant", "yes")]), task="count", key=str(index)
        )


class _Texts:
    """A batch is what the samples say; length in letters."""

    def length(self, sample: Sample) -> int:
        return len(sample.conversation.messages[0].text)

    def __call__(self, samples: list[Sample]) -> list[str]:
        return [s.conversation.messages[0].text for s in samples]


def _gone_on(count: int, rounds: int) -> Row:
    """From the state of a checkpoint, near the end of a shuffled epoch, to the next batch."""

    def loader() -> ResumableLoader:
        samples = _Numbers(count)
        order = SampleOrder([SampleSet("a", lambda epoch: samples, samples)], Mixture([Part("a", count, 1.0)]))
        return ResumableLoader(order, _Texts(), Batching(8, bucket=32))

    begun = loader()
    first = next(iter(begun))
    state = begun.state_dict()
    state["position"] = count - 10_000
    state["beyond"] = []
    expected: list[str] = []
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        resumed = loader()
        resumed.load_state_dict(state)
        batch = next(iter(resumed))
        seconds.append(time.process_time() - began)
        expected = expected or batch
        if batch != expected or batch == first:
            raise RuntimeError("runs from one checkpoint must get one batch, and not that of the beginning")
    note = f"position {count - 10_000:,} of {count:,} samples in a shuffled order; no media"
    return Row("from a checkpoint's place in a stream to the next batch", "", statistics.median(seconds), 2.0,
               better="lower", unit="CPU s", note=note)  # fmt: skip


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
