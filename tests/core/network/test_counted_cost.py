"""What a training step costs, in counts that no load of a machine changes: what it waits for, runs and makes twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from anyloom.conversation import Conversation, Message, Text
from anyloom.data.loader import Batching, ResumableLoader
from anyloom.interfaces import Sample
from anyloom.model.model import AnyToAnyModel
from anyloom.sequence.interleave import Interleaver
from parts import image_decoder_options, model_options, picture, sound

MOST_WAITS = 4
"""Values that a step reads from the device, however many samples it has."""


class Waits(TorchDispatchMode):
    """Counts what makes a GPU's host wait: reading a number, and shapes that depend on values."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        if "_local_scalar_dense" in name or "nonzero" in name:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def model(tokenizer: Path) -> AnyToAnyModel:
    torch.manual_seed(0)
    section = model_options(tokenizer)
    section["decoders"] = {"brush": image_decoder_options()}
    section["modalities"]["image"]["decoder"] = "brush"
    return AnyToAnyModel.from_config({"model": section}).train()


def sample(n: int) -> Sample:
    asked = Message("user", [Text("make it blue " * (1 + n % 5)), picture(n), sound(n)])
    return Sample(Conversation([asked, Message("assistant", [Text("hello there"), picture(n + 100)])]), "t", key=str(n))


def step(made: AnyToAnyModel, rows: list[list[Sample]]) -> Counter[str]:
    batch = made.collator().pack(rows)
    with Waits() as waits:
        made(batch).total().backward()
    return waits.found


def test_a_step_waits_for_the_device_as_often_however_many_samples_it_has(tokenizer_folder: Path) -> None:
    made = model(tokenizer_folder)
    step(made, [[sample(0)]])  # schedules are made at first use
    few = step(made, [[sample(0)], [sample(1)]])
    many = step(made, [[sample(n)] for n in range(8)])
    packed = step(made, [[sample(n) for n in range(4)], [sample(n) for n in range(4, 8)]])
    assert few == many
    assert few.total() <= MOST_WAITS
    assert packed.total() <= MOST_WAITS + 2  # which samples share a row, and where they meet


def test_every_part_runs_once_a_step(tokenizer_folder: Path) -> None:
    made = model(tokenizer_folder)
    calls: Counter[str] = Counter()
    parts = {"llm": made.llm, "eye": made.parts.encoder("eye"), "brush": made.parts.decoder("brush")}
    for name, part in parts.items():
        part.register_forward_hook(lambda *_, name=name: calls.update([name]))
    step(made, [[sample(n)] for n in range(4)])
    assert calls == {"llm": 1, "eye": 2, "brush": 1}  # pictures, and sounds


@pytest.mark.parametrize(
    "batching", [Batching(2, bucket=4), Batching(2, tokens=200), Batching(1, pack=200, look_ahead=8)]
)
def test_a_sample_is_interleaved_once(
    tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch, batching: Batching
) -> None:
    calls = Counter[str]()
    interleave = Interleaver.__call__

    def counted(self: Interleaver, conversation: Conversation) -> Any:
        calls["all"] += 1
        return interleave(self, conversation)

    monkeypatch.setattr(Interleaver, "__call__", counted)
    samples = [sample(n) for n in range(64)]
    collator = model(tokenizer_folder).collator(decoding=False)
    loader = ResumableLoader(lambda epoch: samples, collator, batching)
    assert len(loader)  # measures some samples, to know how many batches they fill
    calls.clear()
    used = sum(len(batch.samples) for _ in range(3) for batch in loader)
    assert used > 60
    assert used <= calls["all"] <= used + 48  # what is read ahead
