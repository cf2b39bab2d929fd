"""``anyloom check``: what is wrong with a config, what it would build, before any weight loads.

``--json`` prints one object; its keys stay, new ones may join them::

    {"ok": bool,
     "problems": [{"key", "what", "fix"}, ...],
     "missing_files": [{"key", "path"}, ...],
     "made_files": [{"key", "path", "stage"}, ...],
     "notes": [text, ...],
     "stages": [{"stage", "memory": as below}, ...],
     "models": [{"stage",
                 "parts": [{"key", "component", "package", "licence", "parameters", "trainable", "bytes",
                            "networks": {name: parameters}, "working": {what: bytes}}, ...],
                 "feature_spaces": {modality: {"name", "dim", "tokens", "scale"}},
                 "memory": {"inference", "training", "weights", "gradients", "optimizer"},
                 "choices": {how: bytes}}, ...],
     "files": [{"key", "path", "licence", "get", "present"}, ...]}

With ``--strategy`` or ``--devices``, ``ranks`` has for every stage the bytes of one process: ``{"stage", "weights",
"gathered", "gradients", "buckets", "optimizer", "total"}``, see :mod:`anyloom.checking.per_rank`.

``stages`` are those that train components of their own. ``models`` has one entry, with an empty ``stage``, unless
stages change the ``model:`` section. Sizes are in bytes, without activations; ``working`` is what a decoder takes
beside its weights to make one item, and ``choices`` what the model in use takes otherwise than it is configured.
``made_files`` are not there yet, but a stage of the config writes them. ``files`` are those the config's own ``files:``
section says how to get.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anyloom.cli.arguments import Sources, add_config_arguments, split_sources
from anyloom.errors import AnyloomError

if TYPE_CHECKING:
    from anyloom.checking.inspection import MemoryEstimate, ModelInspection, PartRecord
    from anyloom.checking.per_rank import RankMemory, Strategy
    from anyloom.checking.preflight import Findings

__all__ = ["main"]

_USER_ERROR = 2
_LARGE = 1_000_000
_NOTE = "activations come on top; they grow with batch size, sequence length and depth"


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom check`` with the words after it; 0 if the config can be used as it is, else 2."""
    parser = argparse.ArgumentParser(prog="anyloom check", description="Check a config before any weight loads.")
    add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--strategy", choices=("ddp", "fsdp2"), help="tell the memory of each process under it")
    parser.add_argument("--devices", type=_positive, help="processes, each with a device (default 8)")
    options = parser.parse_intermixed_args(list(arguments))
    sources = split_sources(options)

    with contextlib.suppress(AnyloomError):  # told below, like any other problem
        if sources.compose().get("suite") is not None:
            return _check_suite(sources, options.json)
    from anyloom.checking.preflight import look_over

    findings = look_over(sources.configs, sources.overrides, safe=sources.safe, trust=sources.trust)
    command = shlex.join(["anyloom", "fit", *options.sources])
    ranks = _ranks(findings, options.strategy or "ddp", options.devices or 8)
    ranks = ranks if options.strategy or options.devices else {}
    if options.json:
        whole = _as_json(findings)
        print(json.dumps(whole | ({"ranks": [_rank_json(*row) for row in ranks.items()]} if ranks else {}), indent=2))
    else:
        title = f"Memory of each of {options.devices or 8} processes under {options.strategy or 'ddp'}, at most:"
        print("\n".join([*(_rank_lines(title, ranks) if ranks else []), *_as_text(findings, command)]))
    return 0 if findings.ok else _USER_ERROR


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _ranks(findings: Findings, strategy: Strategy, devices: int) -> dict[str, RankMemory]:
    """Memory of a process in every stage; the model's own has no name where the config has one model alone."""
    from anyloom.checking.per_rank import held_by, rank_memory

    held = {stage or "model": held_by(model) for stage, model in findings.models.items() if model.model is not None}
    held |= findings.held
    return {stage: rank_memory(parts, strategy, devices) for stage, parts in held.items()}


def _rank_json(stage: str, memory: RankMemory) -> dict[str, Any]:
    return {"stage": stage, **dataclasses.asdict(memory), "total": memory.total}


def _rank_lines(title: str, ranks: Mapping[str, RankMemory]) -> list[str]:
    rows = [("STAGE", "WEIGHTS", "GATHERED", "GRADIENTS", "BUCKETS", "ADAMW", "TOTAL")]
    for stage, m in ranks.items():
        sizes = (m.weights, m.gathered, m.gradients, m.buckets, m.optimizer, m.total)
        rows.append((stage, *map(_size, sizes)))  # type: ignore[arg-type]
    return [title, *_aligned(rows), f"  {_NOTE}", ""]


def _check_suite(sources: Sources, as_json: bool) -> int:
    """A suite: its options and those of its metrics."""
    from anyloom.evaluation.runner import metrics_of
    from anyloom.evaluation.suite import suite_of

    problems = []
    try:
        metrics_of(suite_of(sources.compose()))
    except AnyloomError as error:
        problems = [{"key": error.where, "what": error.what, "fix": error.fix}]
        if not as_json:
            print(f"problem: {error}")
    if as_json:
        print(json.dumps({"ok": not problems, "problems": problems}, indent=2))
    elif not problems:
        print("ok: an evaluation suite")
    return _USER_ERROR if problems else 0


def _as_json(findings: Findings) -> dict[str, Any]:
    return {
        "ok": findings.ok,
        "problems": [{"key": p.where, "what": p.what, "fix": p.fix} for p in findings.problems],
        "missing_files": [{"key": f.key, "path": str(f.path)} for f in findings.missing],
        "made_files": [{"key": f.key, "path": str(f.path), "stage": stage} for f, stage in findings.made],
        "notes": findings.notes,
        "stages": [{"stage": stage, "memory": _memory_json(memory)} for stage, memory in findings.stages.items()],
        "models": [_model_json(stage, model) for stage, model in findings.models.items()],
        "files": [
            {"key": key, "path": str(f.path), "licence": f.licence, "get": f.get, "present": os.path.exists(f.path)}
            for key, f in findings.sources.items()
        ],
    }


def _model_json(stage: str, model: ModelInspection) -> dict[str, Any]:
    memory = _memory(model)
    keys = ("key", "component", "package", "licence", "parameters", "trainable")
    return {
        "stage": stage,
        "parts": [
            {
                **{k: getattr(p, k) for k in keys},
                "bytes": p.size,
                "networks": dict(p.networks),
                "working": dict(p.working),
            }
            for p in model.parts
        ],
        "feature_spaces": {name: space.model_dump(mode="json") for name, space in model.spaces.items()},
        "memory": _memory_json(memory),
        "choices": _choices(model),
    }


def _memory_json(memory: MemoryEstimate) -> dict[str, int]:
    return {
        "inference": memory.weights,
        "training": memory.training,
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
    }


def _choices(model: ModelInspection) -> dict[str, int]:
    from anyloom.checking.inspection import memory_choices

    return memory_choices(model.parts)


def _memory(model: ModelInspection) -> MemoryEstimate:
    from anyloom.checking.inspection import MemoryEstimate

    return MemoryEstimate.of(model.parts)


def _as_text(findings: Findings, command: str) -> list[str]:
    lines: list[str] = []
    for stages, model in _distinct_models(findings):
        named = [repr(s) for s in stages if s]
        title = f"Model of the stages {', '.join(named)}:" if named and "" not in stages else "Model:"
        lines += [title, *_parts(model.parts), ""] if model.parts else []
        if model.model is not None:
            lines += _spaces(model) + _memory_lines(model)
    lines += [
        f"Memory of the stage {stage!r} in training: at most {_size(memory.training)} before activations"
        for stage, memory in findings.stages.items()
    ]
    lines += findings.notes
    lines += _sources(findings)
    made: dict[str, list[str]] = {}
    for file, stage in findings.made:
        made.setdefault(f"made: {file.path} is written by stage {stage!r}, for", []).append(file.key)
    lines += [f"{line} {', '.join(dict.fromkeys(keys))}" for line, keys in made.items()]
    lines += [f"to train: {command} --stage all (its stages need each other's results)"] if made else []
    lines += [f"missing: {f.key}: there is no {f.path}" for f in findings.missing]
    sources = [findings.source_of(f.path) for f in findings.missing]
    lines += dict.fromkeys(f"to get {s.path}: {s.get}" for s in sources if s is not None)
    lines += [f"problem: {p}" for p in findings.problems]
    count = len(findings.problems) + len(findings.missing)
    return [*lines, "ok" if findings.ok else f"{count} problem{'s' if count > 1 else ''}"]


def _sources(findings: Findings) -> list[str]:
    if not findings.sources:
        return []
    rows = [("FILE", "LICENCE", "")]
    rows += [(str(f.path), f.licence, "" if os.path.exists(f.path) else "missing") for f in findings.sources.values()]
    return ["Files from elsewhere:", *_aligned(rows), ""]


def _distinct_models(findings: Findings) -> list[tuple[list[str], ModelInspection]]:
    """Models with the stages that have them; stages with equal tables are taken together."""
    found: dict[str, tuple[list[str], ModelInspection]] = {}
    for stage, model in findings.models.items():
        table = "\n".join([*_parts(model.parts), *_spaces(model)])
        found.setdefault(table, ([], model))[0].append(stage or "")
    return list(found.values())


def _parts(parts: Sequence[PartRecord]) -> list[str]:
    rows = [("KEY", "COMPONENT", "PARAMETERS", "FROZEN", "TRAINABLE", "MEMORY", "LICENCE")]
    for part in parts:
        rows.append((part.key, part.component, *_numbers([part]), part.licence))
        large = {name: count for name, count in part.networks.items() if count >= _LARGE}
        if len(large) > 1:
            rows += [(f"  {name}", "", _count(count), "", "", "", "") for name, count in large.items()]
    return _aligned([*rows, ("total", "", *_numbers(parts), "")])


def _numbers(parts: Sequence[PartRecord]) -> tuple[str, str, str, str]:
    """Parameters, those that stay fixed, those that are trained, and bytes."""
    every, trained = sum(p.parameters for p in parts), sum(p.trainable for p in parts)
    return _count(every), _count(every - trained), _count(trained), _size(sum(p.size for p in parts))


def _spaces(model: ModelInspection) -> list[str]:
    rows = [("MODALITY", "FEATURE SPACE", "STEPS", "DIM", "SCALE")]
    rows += [(n, s.name, str(s.tokens), str(s.dim), s.scale) for n, s in model.spaces.items()]
    return [*_aligned(rows), ""]


def _memory_lines(model: ModelInspection) -> list[str]:
    memory = _memory(model)
    return [
        f"Memory in use: {_size(memory.weights)}",
        *(f"  {_size(size)} with {how}" for how, size in _choices(model).items()),
        *(line for part in model.parts if part.working for line in _working_lines(part)),
        f"Memory in training: {_size(memory.training)} (weights {_size(memory.weights)}, gradients "
        f"{_size(memory.gradients)}, AdamW {_size(memory.optimizer)})",
        f"  {_NOTE}",
        "",
    ]


def _working_lines(part: PartRecord) -> list[str]:
    return [
        f"  {part.key} takes beside it for one item:",
        *(f"    {_size(size)} {what}" for what, size in part.working.items()),
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]


def _count(number: int) -> str:
    return f"{number:,}"


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.2f} GB"
