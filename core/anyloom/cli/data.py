"""``anyloom data``: looks at the data of a config, without training on it.

``preview`` writes a page of samples as the model reads them, ``stats`` counts (tasks, media, lengths, what cannot be
used, duplicates, what training shares with the other splits), ``build`` writes the mixture out as tar archives or
parquet, and ``index`` makes the indexes of large files ahead of a run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyloom.cli.arguments import add_config_arguments, split_sources
from anyloom.cli.console import Progress
from anyloom.cli.outputs import free_file, own_folder, ready_folder
from anyloom.errors import ConfigError

if TYPE_CHECKING:
    from anyloom.data.module import AnyToAnyData
    from anyloom.survey.stats import Counted

__all__ = ["main"]

_SPLITS: Final = ("train", "val", "test")
_LISTED: Final = 5


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom data`` with the words after it."""
    parser = argparse.ArgumentParser(prog="anyloom data", description="Look at the data of a config.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (function, summary) in _COMMANDS.items():
        own = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        add_config_arguments(own)
        own.add_argument("--stage", help="a stage of the config")
        _OPTIONS[name](own)
        own.set_defaults(function=function)
    options = parser.parse_args(list(arguments))
    return int(options.function(options))


@dataclass(frozen=True)
class _Chosen:
    """A config and its data."""

    sections: dict[str, Any]
    data: AnyToAnyData


def _chosen(options: argparse.Namespace) -> _Chosen:
    from anyloom.data.module import AnyToAnyData

    sections = split_sources(options).compose(options.stage)
    return _Chosen(sections, AnyToAnyData(sections.get("data", {})))


def _preview(options: argparse.Namespace) -> int:
    from anyloom.report import write_report
    from anyloom.survey.looking import interleaver_of, look, samples_in_order
    from anyloom.survey.preview import gather, page

    chosen = _chosen(options)
    interleaver, remark = interleaver_of(chosen.sections)
    order, epoch = samples_in_order(chosen.data, options.split)
    stop = min(options.samples, epoch) if options.split != "train" else options.samples
    found = gather(_told(look(order, 0, stop, interleaver), stop), options.each)
    if not found.seen and not found.bad:
        raise ConfigError(f"there are no samples in {options.split!r}", where="data.datasets", fix="see --split")
    path = options.output or free_file(ready_folder(Path()), "preview", ".html")
    title = f"{', '.join(options.sources)}: {options.split}"
    write_report(path, page(found, title=title, interleaver=interleaver, remark=remark))
    print(f"{sum(found.seen.values())} samples read, {len(found.bad)} cannot be used")
    print(f"page: {path}")
    return 0


def _stats(options: argparse.Namespace) -> int:
    from anyloom.storage.atomic import write_text
    from anyloom.survey.looking import interleaver_of, look, samples_in_order
    from anyloom.survey.stats import count, leaks

    chosen = _chosen(options)
    interleaver, remark = interleaver_of(chosen.sections)
    counted: dict[str, Counted] = {}
    whole: dict[str, Any] = {"lengths": "known" if interleaver else remark, "splits": {}}
    for split in _SPLITS:
        try:
            order, epoch = samples_in_order(chosen.data, split)
        except ConfigError as error:
            whole["splits"][split] = {"problem": str(error)}
            continue
        stop = epoch if options.samples == 0 else min(options.samples, epoch)
        counted[split] = count(_told(look(order, 0, stop, interleaver, media=True), stop))
        whole["splits"][split] = {"epoch": epoch, "read": stop, **counted[split].as_json()}
    for split in [s for s in _SPLITS[1:] if s in counted and "train" in counted]:
        shared = leaks(counted["train"], counted[split])
        whole["splits"][split]["leaks"] = {k: {"count": len(v), "examples": v[:_LISTED]} for k, v in shared.items()}
    print("\n\n".join(_as_text(split, facts) for split, facts in whole["splits"].items()))
    if not interleaver:
        print(f"\nlengths are not known: {remark}")
    if options.json is not None:
        write_text(options.json, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
        print(f"\nwritten: {options.json}")
    return 0


def _as_text(split: str, facts: dict[str, Any]) -> str:
    if "problem" in facts:
        return f"{split}: {facts['problem']}"
    lines = [f"{split}: {facts['samples']} of {facts['epoch']} samples of an epoch were read"]
    for row in facts["tasks"]:
        lengths = ", ".join(f"{name} {value:.0f}" for name, value in row["lengths"].items())
        lines.append(f"  {row['set']} {row['task']}: {row['samples']}" + (f"; positions: {lengths}" if lengths else ""))
    lines += [f"  {row['modality']} {row['role']}: {row['count']}" for row in facts["media"]]
    for row in facts["bad"]:
        lines.append(f"  cannot be used, {row['reason']}: {row['records']}, such as {row['examples'][0]}")
    lines.append(f"  duplicate samples: {facts['duplicate samples']}")
    lines += [f"    {' = '.join(keys)}" for keys in facts["duplicates"][:_LISTED]]
    for kind, found in facts.get("leaks", {}).items():
        lines.append(f"  {kind} that are in train too: {found['count']}")
        lines += [f"    {own} is in train as {other}" for other, own in found["examples"]]
    return "\n".join(lines)


def _build(options: argparse.Namespace) -> int:
    from anyloom.survey.build import Plan, build
    from anyloom.survey.looking import samples_in_order

    chosen = _chosen(options)
    _, epoch = samples_in_order(chosen.data, options.split)
    section = chosen.sections.get("data", {})
    plan = Plan(section, options.split, options.samples or epoch, options.shard, options.form)
    progress = Progress()
    with own_folder(options.output) as folder:
        ledger = build(
            plan,
            folder,
            workers=options.workers,
            pool=options.pool,
            advance=lambda share: progress("writing", share),
        )
    skipped = ", ".join(f"{n} {reason}" for reason, n in ledger["skipped"].items())
    print(
        f"read {ledger['read']} = used {ledger['used']} + skipped {sum(ledger['skipped'].values())}"
        + f" ({skipped})" * bool(skipped)
    )
    print(f"{ledger['shards']} shards in {folder}; read them with data.datasets.KEY={{name: archives, root: {folder}}}")
    return 0


def _index(options: argparse.Namespace) -> int:
    chosen = _chosen(options)
    for key, builder in chosen.data.builders.items():
        for split in _SPLITS:
            started = time.monotonic()
            try:
                built = builder.build(split)
            except ConfigError as error:
                print(f"{key} {split}: {error}")
                continue
            sets: list[Any] = list(built.values()) if isinstance(built, dict) else [built]
            sized = [len(one) for one in sets if hasattr(one, "__len__")]
            size = f"{sum(sized):,} samples" if sized else "a stream"
            print(f"{key} {split}: {size}, {time.monotonic() - started:.1f} s")
    return 0


def _told(samples: Any, total: int) -> Any:
    """The samples, with their progress on the terminal."""
    progress = Progress()
    for number, one in enumerate(samples, 1):
        yield one
        progress("reading", number / max(total, 1))


def _preview_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", choices=_SPLITS, default="train")
    parser.add_argument("--each", type=_positive, default=3, metavar="N", help="samples shown of each task; default: 3")
    parser.add_argument("--samples", type=_positive, default=200, metavar="N", help="samples read; default: 200")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the page; default: preview.html, or the next free name"
    )


def _stats_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--samples", type=_count, default=1000, metavar="N", help="of each split; 0 for all; default: 1000"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there, too")


def _build_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--split", choices=_SPLITS, default="train")
    parser.add_argument("--samples", type=_count, default=0, metavar="N", help="default: an epoch")
    parser.add_argument("--shard", type=_positive, default=1000, metavar="N", help="samples of a shard; default: 1000")
    parser.add_argument("--workers", type=_positive, default=1, metavar="N", help="shards made at once; default: 1")
    parser.add_argument("--form", choices=("tar", "parquet"), default="tar", help="kind of the shards; default: tar")
    parser.add_argument(
        "--pool", choices=("processes", "ray"), default="processes", help="where they are made; default: processes"
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("give 0 or more")
    return value


_COMMANDS: Final[dict[str, tuple[Callable[[argparse.Namespace], int], str]]] = {
    "preview": (_preview, "write a page of samples as the model will read them"),
    "stats": (_stats, "count tasks, media, lengths, bad records, duplicates and leaks"),
    "build": (_build, "write the mixture out as tar archives or parquet"),
    "index": (_index, "make the indexes of large files"),
}
_OPTIONS: Final[dict[str, Callable[[argparse.ArgumentParser], None]]] = {
    "preview": _preview_options,
    "stats": _stats_options,
    "build": _build_options,
    "index": lambda parser: None,
}
