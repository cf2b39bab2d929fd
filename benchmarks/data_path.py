"""Pictures from archives to batches: this loader, those of other libraries, and decoding alone.

Pictures per second of CPU, all processes together, in turns. Decoding alone is as many processes as there are workers,
with the files in memory. Libraries that are not installed are left out.
"""

from __future__ import annotations

import importlib.util
import io
import multiprocessing
import statistics
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from measure import Row, Rows, versions
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from anyloom import Conversation, Message
from anyloom.data.loader import Batching, ResumableLoader, SampleOrder
from anyloom.data.mixture import Mixture, Part
from anyloom.data.reading import SampleSet
from anyloom.data.sources import TarGroups
from anyloom.interfaces import Sample, TaskSamples

SHARDS, BATCH = 4, 16
SIZES = {160: "pictures", 256: "pictures of the size that img2dataset writes"}
CEILING, OURS = "decoding alone", "anyloom"
Pass = Callable[[], tuple[int, int]]
"""Runs over all pictures; says how many there were, and a sum of what is in them."""


def rows(quick: bool) -> Rows:
    """Without workers and with two; the larger pictures with two, beside a DataLoader alone."""
    torch.set_num_threads(1)
    count, turns = (64, 2) if quick else (256, 11)
    for size, what in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            archives = [_archive(Path(folder) / f"{n:05d}.tar", n, count, size) for n in range(SHARDS)]
            for workers in (0, 2) if size == min(SIZES) else (2,):
                ways = _ways(archives, workers, Path(folder), libraries=size == min(SIZES))
                about = f"{count * SHARDS} JPEGs of {size} pixels, shuffled; the same pixels in all"
                yield from _compared(_measured(ways, turns), f"{what} in archives to batches, {workers} workers", about)


def _compared(speeds: dict[str, list[float]], what: str, note: str) -> Rows:
    ours = speeds[OURS]
    for name, theirs in speeds.items():
        found = statistics.median(a / b for a, b in zip(ours, theirs))
        if name == CEILING:
            goal = 90.0 if "2 workers" in what else None
            peer = f"{name}, in as many processes"
            yield Row(what, peer, 100 * found, goal, unit="%", note=note)
        elif name != OURS:
            installed = {} if name == "DataLoader" else versions(name)
            yield Row(f"{what}, beside {name}", name, found, 1.0, note=note, versions=installed)


def _ways(archives: list[Path], workers: int, folder: Path, *, libraries: bool) -> dict[str, Pass]:
    source = TarGroups(archives)
    records = [(source[i]["jpg"].read(), source[i]["txt"].text()) for i in range(len(source))]
    kept: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    ways: dict[str, Pass] = {
        CEILING: _decoding([jpg for jpg, _ in records], workers),
        OURS: _counted(_anyloom(source, workers)),
        "DataLoader": _counted(DataLoader(_Plain(source), BATCH, shuffle=True, **kept)),
    }
    if not libraries:
        return ways
    if importlib.util.find_spec("webdataset"):
        import webdataset

        data = webdataset.WebDataset([str(a) for a in archives], shardshuffle=False, empty_check=False).shuffle(256)
        pairs = data.to_tuple("jpg", "txt").map_tuple(decoded, bytes.decode).batched(BATCH)
        ways["webdataset"] = _counted(webdataset.WebLoader(pairs, batch_size=None, **kept))
    if importlib.util.find_spec("litdata"):
        ways["litdata"] = _counted(_litdata(records, folder / f"litdata{workers}", kept))
    if importlib.util.find_spec("datasets"):
        import datasets

        columns = {"jpg": [jpg for jpg, _ in records], "txt": [txt for _, txt in records]}
        datasets.Dataset.from_dict(columns).save_to_disk(str(folder / f"arrow{workers}"))
        table = datasets.load_from_disk(str(folder / f"arrow{workers}")).with_transform(_of_columns)
        ways["datasets"] = _counted(DataLoader(table, BATCH, shuffle=True, collate_fn=_of_rows, **kept))
    return ways


def decoded(data: bytes) -> Tensor:
    """Pixels ``(3, 64, 64)``."""
    picture = Image.open(io.BytesIO(data)).convert("RGB").resize((64, 64))
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)


class _Picture:
    """The picture and caption of a group."""

    name = "picture"

    def __call__(self, source: TarGroups, index: int, seed: int) -> Sample:
        record = source[index]
        text = record["txt"].text()
        return Sample(
            Conversation([Message("assistant", text)]), self.name, {"jpg": record["jpg"]}, key=record["__key__"]
        )


class _Collate:
    """Decodes when a batch is made."""

    def __call__(self, samples: list[Sample]) -> tuple[Tensor, list[str]]:
        pictures = torch.stack([decoded(s.provenance["jpg"].read()) for s in samples])
        return pictures, [s.conversation.messages[0].text for s in samples]


class _Plain(Dataset[tuple[Tensor, str]]):
    """The same members, by number."""

    def __init__(self, source: TarGroups) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        record = self.source[index]
        return decoded(record["jpg"].read()), record["txt"].text()


def _anyloom(source: TarGroups, workers: int) -> ResumableLoader:
    samples = TaskSamples(source, _Picture())
    order = Mixture([Part("a", len(samples), 1.0, shards=samples.shards)])
    data = SampleOrder([SampleSet("a", lambda epoch: samples, samples)], order)
    return ResumableLoader(data, _Collate(), Batching(BATCH), workers=workers)


def _litdata(records: list[tuple[bytes, str]], folder: Path, kept: dict[str, Any]) -> Iterable[Any]:
    from litdata import StreamingDataLoader, StreamingDataset
    from litdata.streaming import Cache

    cache = Cache(str(folder), chunk_bytes="8MB")
    for n, (jpg, txt) in enumerate(records):
        cache[n] = {"jpg": jpg, "txt": txt}
    cache.done()
    cache.merge()
    data = StreamingDataset(str(folder), shuffle=True, transform=_of_record)
    return StreamingDataLoader(data, batch_size=BATCH, **kept)


def _of_record(record: dict[str, Any]) -> tuple[Tensor, str]:
    return decoded(record["jpg"]), record["txt"]


def _of_columns(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {"picture": [decoded(jpg) for jpg in columns["jpg"]], "txt": columns["txt"]}


def _of_rows(found: list[dict[str, Any]]) -> tuple[Tensor, list[str]]:
    return torch.stack([row["picture"] for row in found]), [row["txt"] for row in found]


def _counted(loader: Iterable[Any]) -> Pass:
    """A pass over a loader, whose workers go on living."""

    def run() -> tuple[int, int]:
        count = total = 0
        for pictures, texts in loader:
            count, total = count + len(texts), total + int(pictures.sum())
        return count, total

    return run


def _decoding(files: list[bytes], workers: int) -> Pass:
    """Decoding and stacking, here or in as many processes at once as there are workers."""
    if not workers:
        return lambda: _decode(files)
    ends = []
    for n in range(workers):
        mine, theirs = multiprocessing.get_context("fork").Pipe()
        work = multiprocessing.get_context("fork").Process(
            target=_decode_when_asked, args=(theirs, files[n::workers]), daemon=True
        )
        work.start()
        ends.append(mine)

    def run() -> tuple[int, int]:
        for end in ends:
            end.send(None)
        found = [end.recv() for end in ends]
        return sum(count for count, _ in found), sum(total for _, total in found)

    return run


def _decode(files: list[bytes]) -> tuple[int, int]:
    batches = [files[n : n + BATCH] for n in range(0, len(files), BATCH)]
    total = sum(int(torch.stack([decoded(file) for file in batch]).sum()) for batch in batches)
    return len(files), total


def _decode_when_asked(asked: Connection, files: list[bytes]) -> None:
    torch.set_num_threads(1)
    while True:
        asked.recv()
        asked.send(_decode(files))


def _measured(ways: dict[str, Pass], turns: int) -> dict[str, list[float]]:
    """Pictures per CPU second of each turn."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    sums = {run() for run in ways.values()}  # this pass starts the workers
    assert len(sums) == 1, sums
    for _ in range(turns):
        for name, run in ways.items():
            before = _cpu()
            count, _ = run()
            found[name].append(count / (_cpu() - before))
    return found


def _cpu() -> float:
    """CPU seconds of this process and of its workers, which are still running."""
    this = psutil.Process()
    times = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def _archive(path: Path, number: int, count: int, size: int) -> Path:
    draw = np.random.default_rng(number)
    with tarfile.open(path, "w") as archive:
        for n in range(count):
            file = io.BytesIO()
            Image.fromarray(draw.integers(0, 255, (size, size, 3), np.uint8)).save(file, "JPEG")
            for suffix, data in (("jpg", file.getvalue()), ("txt", b"a picture" * (1 + n % 9))):
                member = tarfile.TarInfo(f"{number:03d}{n:06d}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path
