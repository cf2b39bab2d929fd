"""What comes out of a worker is what went in: values, types, order in memory; whatever becomes of the worker."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anyloom.data.transport import Receiver, Sender

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
    process = multiprocessing.get_context("fork").Process(target=Sender(theirs).send, args=(value,))
    process.start()
    theirs.close()
    found = Receiver(ours).receive()
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
        Sender(theirs).send([torch.ones(3), lambda: 0])
    Sender(theirs).send("next")
    assert Receiver(ours).receive() == "next"


def test_a_sender_that_ends_is_told() -> None:
    theirs, ours = multiprocessing.Pipe()
    theirs.close()
    with pytest.raises(EOFError):
        Receiver(ours).receive()


@pytest.fixture
def ends() -> Iterator[tuple[Sender, Receiver]]:
    """Both ends, in this process."""
    theirs, ours = multiprocessing.Pipe()
    with theirs, ours:
        yield Sender(theirs), Receiver(ours)


def numbered(n: int, size: int = 100_000) -> Tensor:
    return torch.full((size,), n)


def test_memory_is_filled_again_when_no_tensor_lies_in_it_any_more(ends: tuple[Sender, Receiver]) -> None:
    sender, receiver = ends
    sender.send([numbered(0), numbered(1)])
    kept = receiver.receive()[1]
    assert receiver.freed() == []  # one of two tensors is still looked at
    part = kept[10:20]
    place, kept = kept.data_ptr(), None
    assert receiver.freed() == []
    del part
    freed = receiver.freed()
    assert [again for _, again in freed] == [True]
    assert receiver.freed() == []
    sender.take_back(freed)
    sender.send([numbered(2), numbered(3)])
    third = receiver.receive()
    assert third[1].data_ptr() == place
    assert [int(t[0]) for t in third] == [2, 3]


def test_what_is_kept_stays_as_it_came(ends: tuple[Sender, Receiver]) -> None:
    sender, receiver = ends
    kept = []
    for n in range(12):
        sender.take_back(receiver.freed())
        sender.send(numbered(n, 20_000 + 7_000 * (n % 5)))
        found = receiver.receive()
        if n % 3 == 0:
            kept.append(found)
        del found
    assert [sorted(set(t.tolist())) for t in kept] == [[0], [3], [6], [9]]


def look_when_told(connection: Connection, values: Tensor) -> None:
    connection.recv()
    connection.send(int(values.sum()))


def test_memory_that_a_forked_process_may_look_at_is_not_filled_again(ends: tuple[Sender, Receiver]) -> None:
    sender, receiver = ends
    sender.send(numbered(5))
    found = receiver.receive()
    ask, answer = multiprocessing.Pipe()
    forked = multiprocessing.get_context("fork").Process(target=look_when_told, args=(answer, found))
    forked.start()
    del found
    freed = receiver.freed()
    assert [again for _, again in freed] == [False]
    sender.take_back(freed)
    sender.send(numbered(6))
    assert int(receiver.receive()[0]) == 6
    ask.send(None)
    assert ask.recv() == 5 * 100_000
    forked.join()


def test_little_memory_is_kept_for_the_next(ends: tuple[Sender, Receiver]) -> None:
    sender, receiver = ends
    for n in range(6):
        sender.send(numbered(n, 50_000 << n))
    values = [receiver.receive() for _ in range(6)]
    assert [int(v[-1]) for v in values] == [0, 1, 2, 3, 4, 5]
    values.clear()
    sender.take_back(receiver.freed())
    sender.send(numbered(7, 50_000))
    assert int(receiver.receive()[-1]) == 7
    assert receiver.blocks == sender.blocks == 2
