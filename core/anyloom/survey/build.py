"""A mixture written out once: tar archives of conversations with their media, as webdataset has them.

A shard holds the samples of a stretch of the order: ``000000123.json`` with ``messages``, ``task`` and ``provenance``,
and the media that it names, ``000000123.000.png``. The order is a function of the seed, so shards are made by any
number of processes, in any sequence, and a run that was cut off goes on with the shards that are missing. Beside each
shard stands what became of every record of its stretch (read = used + skipped by reason).
"""

from __future__ import annotations

import io
import json
import multiprocessing
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from anyloom.conversation.segments import Media, Segment, Text
from anyloom.data.ledger import Bad, reason_of
from anyloom.data.module import AnyToAnyData
from anyloom.errors import CheckpointError
from anyloom.media.files import io_for, read_media, write_media
from anyloom.storage.atomic import replacing, write_text
from anyloom.survey.looking import Looked, look, samples_in_order

__all__ = ["Plan", "build", "shard_name"]

_PLAN: Final = "plan.json"
_LEDGER: Final = "ledger.json"
_PLAIN: Final = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Plan:
    """What is built.

    Args:
        data: The ``data:`` section.
        split: Which split.
        samples: Positions of the order.
        shard: Positions a shard.
    """

    data: Mapping[str, Any]
    split: str
    samples: int
    shard: int

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.samples // self.shard)


def shard_name(split: str, number: int) -> str:
    """Name of a shard.

    >>> shard_name("train", 3)
    'train-000003.tar'
    """
    return f"{split}-{number:06d}.tar"


def build(
    plan: Plan, folder: Path, *, workers: int = 1, advance: Callable[[float], None] = lambda share: None
) -> dict[str, Any]:
    """Write the shards that are not there yet, and the ledger of all.

    Args:
        plan: What to write.
        folder: Where to.
        workers: Processes.
        advance: Told which share of the shards is there.

    Returns:
        The ledger.

    Raises:
        anyloom.errors.CheckpointError: The folder holds shards of another plan.
        anyloom.errors.AnyloomError: What is wrong is not about one record.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(plan, folder)
    missing = [n for n in range(plan.shards) if not _done(folder, plan.split, n)]
    write = partial(_write_shard, plan, folder)
    made = plan.shards - len(missing)
    if workers > 1 and len(missing) > 1:
        # started anew, not forked: the parent may hold threads and locks of torch
        with multiprocessing.get_context("spawn").Pool(min(workers, len(missing))) as pool:
            for done, _ in enumerate(pool.imap_unordered(write, missing), made + 1):
                advance(done / plan.shards)
    else:
        for done, number in enumerate(missing, made + 1):
            write(number)
            advance(done / plan.shards)
    whole = _together(folder, plan)
    write_text(folder / _LEDGER, json.dumps(whole, indent=1) + "\n")
    return whole


def _claim(plan: Plan, folder: Path) -> None:
    """Refuse a folder with shards of another plan: half of each would be worth nothing."""
    facts = {"split": plan.split, "samples": plan.samples, "shard": plan.shard, "data": plan.data}
    own = json.loads(json.dumps(facts, default=str))
    path = folder / _PLAN
    if path.is_file() and _read_json(path) != own:
        raise CheckpointError("it holds shards of another config", where=str(folder), fix="give another folder")
    write_text(path, json.dumps(own, indent=1) + "\n")


def _read_json(path: Path) -> Any:
    """What a file of ours holds; None if it does not."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None


def _done(folder: Path, split: str, number: int) -> bool:
    path = folder / shard_name(split, number)
    ledger = path.with_suffix(".json")
    return path.is_file() and ledger.is_file() and isinstance(_read_json(ledger), dict)


def _write_shard(plan: Plan, folder: Path, number: int) -> None:
    """Write one shard: its archive whole, then its ledger, which shows that it is."""
    order, _ = samples_in_order(AnyToAnyData(plan.data), plan.split)
    start = number * plan.shard
    counts: Counter[str] = Counter()
    path = folder / shard_name(plan.split, number)
    with replacing(path) as draft, tarfile.open(draft, "w") as archive:
        for one in look(order, start, min(plan.samples, start + plan.shard)):
            counts["read"] += 1
            if isinstance(one, Bad):
                counts[f"skipped/{reason_of(one.error) or 'bad row'}"] += 1
                continue
            counts["used"] += 1
            for name, content in _members(one):
                header = tarfile.TarInfo(name)  # no owner and no time: the same shard every time
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
    write_text(path.with_suffix(".json"), json.dumps(dict(sorted(counts.items()))) + "\n")


def _members(one: Looked) -> Iterator[tuple[str, bytes]]:
    """The files of one sample: its media, and first the record that names them."""
    name = f"{one.position:09d}"
    files: list[tuple[str, bytes]] = []
    messages = []
    for message in one.sample.conversation.messages:
        parts = [_part(segment, name, files) for segment in message.segments]
        messages.append({"role": message.role, "content": parts})
    provenance = {k: v for k, v in one.sample.provenance.items() if _is_plain(v)}
    record = {"messages": messages, "task": one.sample.task, "id": one.sample.key, "provenance": provenance}
    yield f"{name}.json", json.dumps(record, ensure_ascii=False).encode()
    yield from files


def _part(segment: Segment, name: str, files: list[tuple[str, bytes]]) -> dict[str, Any]:
    if isinstance(segment, Text):
        return {"type": "text", "text": segment.text}
    inline = io_for(segment.modality).to_text(segment)
    part: dict[str, Any] = {"type": segment.modality}
    if inline is None:
        suffix, content = _content(segment)
        # one dot before the number: webdataset takes what stands behind a name's first dot as its kind
        part["path"] = f"{name}.{len(files):03d}{suffix}"
        files.append((part["path"], content))
    else:
        part["text"] = inline
    part |= {"caption": segment.caption} if segment.caption else {}
    return part if segment.reference is None else {**part, "reference": segment.reference}


def _content(media: Media) -> tuple[str, bytes]:
    """A medium's own file, if it still shows what the medium does; else a new one."""
    path = Path(media.path) if media.path else None
    if path is not None and path.is_file() and torch.equal(read_media(path, media.modality).tensor(), media.tensor()):
        return path.suffix.lower(), path.read_bytes()
    with tempfile.TemporaryDirectory() as made:
        written = write_media(replace(media, path=""), Path(made) / "medium")
        return written.suffix, written.read_bytes()


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, list | tuple) and all(isinstance(v, _PLAIN) for v in value))


def _together(folder: Path, plan: Plan) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for number in range(plan.shards):
        total.update(_read_json((folder / shard_name(plan.split, number)).with_suffix(".json")))
    skipped = {k.removeprefix("skipped/"): n for k, n in total.items() if k.startswith("skipped/")}
    return {"shards": plan.shards, "read": total["read"], "used": total["used"], "skipped": skipped}
