"""What comes out of a worker is what went in: values, types, order in memory; whatever becomes of the worker."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anyloom.data.transport import receive, send

CASES: dict[str, Callable[[], Tensor]] = {
    "vector": lambda: torch.arange(5),
    "one number": lambda: torch.tensor(3.5),
    "empty": lambda: torch.empty(2, 0, 3),
    "bits": lambda: torch.tensor([True, False]),
    "half": lambda: torch.randn(3, 4).bfloat16(),
    "channels last": lambda: torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "transposed": lambda: torch.randn(3, 4).T,
    "every other": lambda: torch.arange(10)[::2],
    "expanded": lambda: torch.arange(3)[:, None].expand(3, 4),
    "complex": lambda: torch.randn(3, dtype=torch.complex64),
    "large": lambda: torch.arange(100_000),
}


@dataclass
class Made:
    first: Tensor
    rest: dict[str, Any]


def through(value: Any) -> Any:
    """A value sent by another process, which has ended before its values are looked at."""
    theirs, ours = multiprocessing.get_context("fork").Pipe()
    process = multiprocessing.get_context("fork").Process(target=send, args=(theirs, value))
    process.start()
    theirs.close()
    found = receive(ours)
    process.join()
    ours.close()
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_tensor_comes_as_it_was(case: str) -> None:
    sent = CASES[case]()
    for value in (sent, [torch.ones(3), sent, sent.clone()]):
        found = through(value)
        came = found if isinstance(found, Tensor) else found[1]
        assert came.dtype == sent.dtype
        assert came.shape == sent.shape
        assert torch.equal(came, sent)
        if 0 not in sent.shape and case != "expanded":
            assert came.stride() == sent.stride()


@pytest.mark.parametrize("size", [10, 100_000])  # through the connection, and in a block of memory
def test_a_batch_may_be_written_to(size: int) -> None:
    found = through(Made(torch.zeros(size), {"numbers": np.arange(3), "text": "a", "more": [torch.ones(7)]}))
    found.first += 1
    found.rest["more"][0] += 1
    found.rest["numbers"] += 1
    assert float(found.first.sum()) == size
    assert found.rest["more"][0].tolist() == [2.0] * 7
    assert found.rest["numbers"].tolist() == [1, 2, 3]
    assert found.rest["text"] == "a"


def test_nothing_is_sent_of_what_cannot_be() -> None:
    theirs, ours = multiprocessing.Pipe()
    with pytest.raises(Exception, match="pickle"):
        send(theirs, [torch.ones(3), lambda: 0])
    send(theirs, "next")
    assert receive(ours) == "next"


def test_a_sender_that_ends_is_told() -> None:
    theirs, ours = multiprocessing.Pipe()
    theirs.close()
    with pytest.raises(EOFError):
        receive(ours)
