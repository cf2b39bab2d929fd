"""Pictures from tar archives to batches: this loader, a plain DataLoader, webdataset, and decoding alone.

Samples per second of CPU, all processes together, in turns. ``python benchmarks/data_path.py [workers]``.
"""

from __future__ import annotations

import io
import statistics
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import webdataset
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from anyloom import Conversation, Message
from anyloom.data.loader import Batching, ResumableLoader, SampleOrder
from anyloom.data.mixture import Mixture, Part
from anyloom.data.reading import SampleSet
from anyloom.data.sources import TarGroups
from anyloom.interfaces import Sample, TaskSamples

COUNT, SHARDS, SIZE, BATCH = 2048, 4, 160, 16


def decoded(data: bytes) -> Tensor:
    picture = Image.open(io.BytesIO(data)).convert("RGB").resize((64, 64))
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)


class Picture:
    """The picture and caption of a group."""

    name = "picture"

    def __call__(self, source: TarGroups, index: int, seed: int) -> Sample:
        record = source[index]
        text = record["txt"].text()
        return Sample(
            Conversation([Message("assistant", text)]), self.name, {"jpg": record["jpg"]}, key=record["__key__"]
        )


class Collate:
    """Decodes when a batch is made."""

    def length(self, sample: Sample) -> int:
        return len(sample.conversation.messages[0].text)

    def __call__(self, samples: list[Sample]) -> tuple[Tensor, list[str]]:
        pictures = torch.stack([decoded(s.provenance["jpg"].read()) for s in samples])
        return pictures, [s.conversation.messages[0].text for s in samples]


class Plain(Dataset[tuple[Tensor, str]]):
    """The same members, by number."""

    def __init__(self, source: TarGroups) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        record = self.source[index]
        return decoded(record["jpg"].read()), record["txt"].text()


def main() -> None:
    """Run every way in turns and print medians."""
    torch.set_num_threads(1)
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with tempfile.TemporaryDirectory() as folder:
        archives = [shard(Path(folder) / f"{n:05d}.tar", n) for n in range(SHARDS)]
        source = TarGroups(archives)
        blobs = [source[i]["jpg"].read() for i in range(len(source))]
        ways: dict[str, Callable[[], int]] = {
            "decoding alone": lambda: sum(len(decoded(b)) > 0 for b in blobs),
            "anyloom": anyloom(source, workers, 1),
            "anyloom, bucket 32": anyloom(source, workers, 32),
            "DataLoader": plain(source, workers),
            "webdataset": web(archives, workers),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(6):
            for name, way in ways.items():
                before = cpu()
                count = way()
                if turn:  # the first pass starts the workers
                    found[name].append(count / (cpu() - before))
        best = statistics.median(found["decoding alone"])
        for name, speeds in found.items():
            median = statistics.median(speeds)
            print(f"{name}, {workers} workers: {median:.0f} samples/CPU-s, {median / best:.0%} of decoding alone")


def shard(path: Path, number: int) -> Path:
    draw = np.random.default_rng(number)
    with tarfile.open(path, "w") as archive:
        for n in range(COUNT // SHARDS):
            file = io.BytesIO()
            Image.fromarray(draw.integers(0, 255, (SIZE, SIZE, 3), np.uint8)).save(file, "JPEG")
            for suffix, data in (("jpg", file.getvalue()), ("txt", b"a picture" * (1 + n % 9))):
                member = tarfile.TarInfo(f"{number:03d}{n:06d}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


def anyloom(source: TarGroups, workers: int, bucket: int) -> Callable[[], int]:
    samples = TaskSamples(source, Picture())
    order = Mixture([Part("a", len(samples), 1.0, shards=samples.shards)])
    data = SampleOrder([SampleSet("a", lambda epoch: samples, samples)], order)
    return counted(ResumableLoader(data, Collate(), Batching(BATCH, bucket), workers=workers))


def plain(source: TarGroups, workers: int) -> Callable[[], int]:
    kept = workers > 0
    return counted(DataLoader(Plain(source), BATCH, shuffle=True, num_workers=workers, persistent_workers=kept))


def web(archives: list[Path], workers: int) -> Callable[[], int]:
    data = webdataset.WebDataset([str(a) for a in archives], shardshuffle=False, empty_check=False).shuffle(256)
    pairs = data.to_tuple("jpg", "txt").map_tuple(decoded, bytes.decode).batched(BATCH)
    return counted(webdataset.WebLoader(pairs, batch_size=None, num_workers=workers, persistent_workers=workers > 0))


def counted(loader: Iterable[Any]) -> Callable[[], int]:
    """Samples of a pass over a loader, whose workers go on living."""
    return lambda: sum(len(batch[1]) for batch in loader)


def cpu() -> float:
    """CPU seconds of this process and of its workers, which are still running."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return sum(t.user + t.system for t in times)


if __name__ == "__main__":
    main()
