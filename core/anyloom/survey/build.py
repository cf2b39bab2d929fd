"""A mixture written out once: shards of conversations with their media, as webdataset or Hugging Face have them.

A shard holds the samples of a stretch of the order (:mod:`anyloom.survey.shards`). The order is a function of the seed,
so shards are made by any number of processes, in any sequence, and a run that was cut off goes on with the shards that
are missing. Beside each shard stands what became of every record of its stretch (read = used + skipped by reason).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from anyloom.data.ledger import Bad, reason_of
from anyloom.data.module import AnyToAnyData
from anyloom.errors import CheckpointError
from anyloom.storage.atomic import replacing, write_text
from anyloom.storage.json_text import read_json
from anyloom.survey.looking import Looked, look, samples_in_order
from anyloom.survey.pools import Pool, made_by
from anyloom.survey.shards import SUFFIX, Format, media_columns, write_shard

__all__ = ["Plan", "build", "shard_name"]

_PLAN: Final = "plan.json"
_LEDGER: Final = "ledger.json"


@dataclass(frozen=True)
class Plan:
    """What is built.

    Args:
        data: The ``data:`` section.
        split: Which split.
        samples: Positions of the order.
        shard: Positions a shard.
        form: Kind of the shards.

    >>> Plan(data={}, split="train", samples=25, shard=10).shards
    3
    """

    data: Mapping[str, Any]
    split: str
    samples: int
    shard: int
    form: Format = "tar"

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.samples // self.shard)


def shard_name(split: str, number: int, form: Format = "tar") -> str:
    """Name of a shard.

    >>> shard_name("train", 3), shard_name("val", 0, "parquet")
    ('train-000003.tar', 'val-000000.parquet')
    """
    return f"{split}-{number:06d}{SUFFIX[form]}"


def build(
    plan: Plan,
    folder: Path,
    *,
    workers: int = 1,
    pool: Pool = "processes",
    advance: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Write the shards that are not there yet, and the ledger of all.

    Args:
        plan: What to write.
        folder: Where to.
        workers: Shards that are made at once.
        pool: Where they are made; the same shards come of it.
        advance: Told which share of the shards is there.

    Returns:
        The ledger.

    Raises:
        anyloom.errors.CheckpointError: The folder holds shards of another plan.
        anyloom.errors.PluginError: What the shards or the pool need is not installed.
        anyloom.errors.AnyloomError: What is wrong is not about one record.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    columns = media_columns() if plan.form == "parquet" else {}
    _claim(plan, folder, columns)
    missing = [n for n in range(plan.shards) if not _done(folder, plan, n)]
    write = partial(_write, plan, folder, columns)
    made = plan.shards - len(missing)
    for done, _ in enumerate(made_by(pool, write, missing, workers), made + 1):
        advance(done / plan.shards)
    whole = _together(folder, plan)
    write_text(folder / _LEDGER, json.dumps(whole, indent=1) + "\n")
    return whole


def _claim(plan: Plan, folder: Path, columns: Mapping[str, str]) -> None:
    """Refuse a folder with shards of another plan: half of each would be worth nothing."""
    facts: dict[str, Any] = {"split": plan.split, "samples": plan.samples, "shard": plan.shard, "data": plan.data}
    if plan.form != "tar":  # what is said of archives is what it was before there was anything else
        facts |= {"form": plan.form, "columns": columns}
    own = json.loads(json.dumps(facts, default=str))
    path = folder / _PLAN
    if path.is_file() and _read_json(path) != own:
        raise CheckpointError("it holds shards of another config", where=str(folder), fix="give another folder")
    write_text(path, json.dumps(own, indent=1) + "\n")


def _read_json(path: Path) -> Any:
    """What a file of ours holds; None if it does not."""
    try:
        return read_json(path, kind=object)
    except CheckpointError:
        return None


def _done(folder: Path, plan: Plan, number: int) -> bool:
    path = folder / shard_name(plan.split, number, plan.form)
    ledger = path.with_suffix(".json")
    return path.is_file() and ledger.is_file() and isinstance(_read_json(ledger), dict)


def _write(plan: Plan, folder: Path, columns: Mapping[str, str], number: int) -> None:
    """Write one shard: its file whole, then its ledger, which shows that it is."""
    order, _ = samples_in_order(AnyToAnyData(plan.data), plan.split)
    start = number * plan.shard
    counts: Counter[str] = Counter()
    path = folder / shard_name(plan.split, number, plan.form)
    found = look(order, start, min(plan.samples, start + plan.shard))
    with replacing(path) as draft:
        write_shard(plan.form, draft, _usable(found, counts), columns)
    write_text(path.with_suffix(".json"), json.dumps(dict(sorted(counts.items()))) + "\n")


def _usable(found: Iterable[Looked | Bad], counts: Counter[str]) -> Iterator[Looked]:
    """The samples that can be used; all are counted."""
    for one in found:
        counts["read"] += 1
        if isinstance(one, Bad):
            counts[f"skipped/{reason_of(one.error) or 'bad row'}"] += 1
            continue
        counts["used"] += 1
        yield one


def _together(folder: Path, plan: Plan) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for number in range(plan.shards):
        total.update(_read_json((folder / shard_name(plan.split, number, plan.form)).with_suffix(".json")))
    skipped = {k.removeprefix("skipped/"): n for k, n in total.items() if k.startswith("skipped/")}
    return {"shards": plan.shards, "read": total["read"], "used": total["used"], "skipped": skipped}
