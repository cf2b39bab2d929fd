"""What the rows of the fault matrix share: their mark, a data set that is read, a process that is measured."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from anyloom.data.conversations import ConversationFiles
from anyloom.data.ledger import Ledger
from anyloom.data.loader import ResumableLoader
from anyloom.interfaces import Sample
from anyloom.media import Isolation


def row(number: int, kind: str, *, done: str, promise: str) -> pytest.MarkDecorator:
    """Mark a test as a row.

    Args:
        number: Of the matrix.
        kind: What can fail: ``media``, ``data``, ``run``, ``files``, ``plugin``, ``config``, ``server``, ``rest``.
        done: What the test does.
        promise: What must come of it.
    """
    return pytest.mark.row(number=number, kind=kind, done=done, promise=promise)


def opened(samples: list[Sample]) -> list[Any]:
    """A collator that opens all media."""
    return [[m.tensor() for m in s.conversation.media] for s in samples]


def read(
    folder: Path,
    answers: Sequence[Any],
    *,
    isolation: Isolation | None = None,
    strict: bool = False,
    max_bad: float = 1.0,
    workers: int = 0,
) -> tuple[list[Any], dict[str, int], dict[str, list[str]]]:
    """Read a data set whose lines are media parts, or whole lines of text; return batches, counts and examples."""
    lines = []
    for answer in answers:
        said = [{"role": "user", "content": [answer]}, {"role": "assistant", "content": "yes"}]
        lines.append(answer if isinstance(answer, bytes) else json.dumps({"messages": said}).encode())
    (folder / "train.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    samples = ConversationFiles.from_options({"train": str(folder / "train.jsonl")}).build("train")
    ledger = Ledger(max_bad=max_bad, strict=strict, expected=len(samples))
    loader = ResumableLoader(
        lambda epoch: samples, opened, 1, shuffle=False, ledger=ledger, isolation=isolation, workers=workers
    )
    try:
        batches = [batch[0] for batch in loader]
    finally:
        loader.close()
    total = ledger.total()
    assert total["read"] == total["used"] + sum(total["skipped"].values()) + total["cut"], "the ledger sums exactly"
    return batches, {"used": total["used"], **total["skipped"]}, ledger.examples()


def in_child(function: Callable[[], Any], *, seconds: float = 60) -> tuple[Any, int]:
    """What a function returns or raises, in a process of its own, and by how many megabytes it grew there.

    Raises:
        AssertionError: It did not end in time.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def work() -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            found: Any = function()
        except BaseException as error:
            found = error
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        theirs.send((found, grown))
        theirs.close()
        os._exit(0)

    process = context.Process(target=work)
    process.start()
    if not ours.poll(seconds):
        process.kill()
        raise AssertionError(f"it did not end within {seconds} s")
    answer: tuple[Any, int] = ours.recv()
    process.join(5)
    return answer
