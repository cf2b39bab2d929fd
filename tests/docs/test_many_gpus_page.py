"""The tables on paper are those of the script, and the script's messages those of the closed form."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.simulate_scaling import Machine, Work, lines, ring, step_seconds

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "many-gpus.md"


def test_the_page_has_the_tables_of_the_script() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for strategy in ("ddp", "fsdp2"):
        assert "\n".join(lines(strategy, Machine(), Work())) in text


def test_a_ring_takes_its_share_of_the_bytes_and_its_hops() -> None:
    machine = Machine(inside=100.0, between=10.0, latency=0.5)
    assert ring(80.0, 1, machine) == 0.0
    assert ring(80.0, 8, machine) == pytest.approx(0.7 + 3.5)
    assert ring(80.0, 16, machine) == pytest.approx(7.5 + 7.5)


def test_messages_that_outlast_the_step_are_not_hidden() -> None:
    machine = Machine(peak=1.0, share=1.0, inside=1.0, latency=0.0)
    computing, messages = step_seconds(2, "ddp", machine, Work(flops=1.0, trained=10.0, hidden=1.0))
    assert (computing, messages) == (1.0, 9.0)
