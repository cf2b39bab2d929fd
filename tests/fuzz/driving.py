"""Drives a target with damaged inputs, in a process of its own: a crash of a library is a finding, not the end."""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from anyloom.errors import AnyloomError
from fuzz.targets import SECONDS, Target, damaged

__all__ = ["Found", "drive", "one"]

_EVERY = 50
_HANGS = 120.0
"""Seconds after which a process that says nothing hangs, however busy the machine is."""


@dataclass
class Found:
    """What came of a target.

    Args:
        inputs: How many were read.
        refused: How many of them were refused, with a declared error.
        slowest: Longest seconds of one, of the processor's time.
        grown: Megabytes by which the process grew.
        findings: Whatever is not declared: the error, with a name of the input that can be asked for again.
    """

    inputs: int = 0
    refused: int = 0
    slowest: float = 0.0
    grown: int = 0
    findings: list[str] = field(default_factory=list)


def one(target: Target, data: bytes, folder: Path) -> str:
    """Read one input; return ``read`` or ``refused``, or what is wrong.

    Raises:
        AssertionError: It raised what is not declared, or took too long.
    """
    begun = time.process_time()  # what hangs is seen by the parent; a busy machine is no finding
    try:
        target.read(data, folder)
        result = "read"
    except AnyloomError as error:
        result = "refused" if str(error).strip() else ""
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise AssertionError(f"{type(error).__name__}: {error!s:.200} at {where.filename}:{where.lineno}") from error
    spent = time.process_time() - begun
    assert result, "an error says something"
    assert spent < SECONDS, f"one input took {spent:.1f} s"
    return result


def drive(target: Target, seconds: float, seed: int = 0, *, keep: Path | None = None) -> Found:
    """Read damaged inputs for some time.

    Args:
        target: What reads them.
        seconds: How long.
        seed: Of the damage.
        keep: Folder for inputs that were findings.
    """
    found = Found()
    target.bases()  # what is made once is made before the processes are
    end = time.monotonic() + seconds
    round_ = 0
    while True:
        ours, theirs = multiprocessing.get_context("fork").Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(
            target=_loop, args=(target, seed * 10**6 + round_, end - time.monotonic(), theirs)
        )
        process.start()
        theirs.close()
        last = b""
        with contextlib.suppress(EOFError):
            while ours.poll(_HANGS):
                kind, value = ours.recv()
                if kind == "input":
                    last = value
                elif kind == "counts":
                    _add(found, value)
                else:
                    _note(found, target, value, last, keep)
            else:
                process.kill()
                _note(found, target, f"an input took more than {_HANGS:g} s", last, keep)
        process.join()
        if process.exitcode and process.exitcode > -30 and process.exitcode != -9:
            _note(found, target, f"the process died ({process.exitcode})", last, keep)
        round_ += 1
        if time.monotonic() >= end or len(found.findings) > 20:
            return found


def _add(found: Found, counts: dict[str, float]) -> None:
    found.inputs += int(counts["inputs"])
    found.refused += int(counts["refused"])
    found.slowest = max(found.slowest, counts["slowest"])
    found.grown = max(found.grown, int(counts["grown"]))


def _note(found: Found, target: Target, what: str, data: bytes, keep: Path | None) -> None:
    name = hashlib.sha256(data).hexdigest()[:12]
    found.findings.append(f"{target}: {what} (input {name})")
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{target}-{name}").write_bytes(data)


def _loop(target: Target, seed: int, seconds: float, out: Connection) -> None:
    faulthandler.disable()
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    sys.stdin = open(os.devnull)  # noqa: SIM115
    draw, bases = random.Random(seed), list(target.bases())
    words = [
        json.dumps(w).encode() for w in ("name", "class_path", "../x", "/etc/passwd", None, True, -1, 1e400, [], {})
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    slowest = 0.0
    folder = Path(tempfile.mkdtemp())
    try:
        while True:
            data = damaged(draw.choice(bases), draw, words)
            out.send(("input", data))
            begun = time.process_time()
            try:
                counts["refused"] += one(target, data, folder) == "refused"
            except AssertionError as error:
                out.send(("finding", str(error)))
            counts["inputs"] += 1
            slowest = max(slowest, time.process_time() - begun)
            if counts["inputs"] % _EVERY == 0 or time.monotonic() >= end:
                grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
                out.send(("counts", {**counts, "slowest": slowest, "grown": grown}))
                counts.clear()
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
            if time.monotonic() >= end:
                break
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        out.close()
        os._exit(0)
