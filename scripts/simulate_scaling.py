"""Step times of codi2 on 8 to 1,024 GPUs, on paper: ``python scripts/simulate_scaling.py [--strategy ddp|fsdp2]``.

A step of a process takes as long as its FLOPs at a share of the peak, plus what its messages take beyond what is hidden
behind them. What is assumed stands in :class:`Machine` and :class:`Work`; nothing here was measured.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """GPUs of one kind, eight to a node.

    Args:
        peak: FLOPs per second of a GPU in bfloat16, as its maker states them (H100 SXM, dense).
        share: Part of it that a step reaches while it computes.
        per_node: GPUs of a node.
        inside: Bytes per second of a GPU to others of its node (NVLink, one direction, four fifths of 450 GB/s).
        between: Bytes per second of a GPU to other nodes (one 400 Gb/s link each, four fifths of it).
        latency: Seconds of a hop of a ring.
    """

    peak: float = 989e12
    share: float = 0.4
    per_node: int = 8
    inside: float = 360e9
    between: float = 40e9
    latency: float = 5e-6


@dataclass(frozen=True)
class Work:
    """One step of a process, and what it sends.

    Args:
        flops: Language model of 6.74 billion parameters, 4,096 positions: forward, backward to inputs, forward again
            (6 per parameter and position); L_DM and towers as much again.
        trained: Bytes of gradients: LoRA and projectors, 95.5 million numbers of four bytes.
        gathered: Bytes of parameters that are put together in a pass.
        passes: How often: forward, backward.
        hidden: Share of messages that run while the step computes.
    """

    flops: float = 2 * 6 * 6.74e9 * 4096
    trained: float = 382e6
    gathered: float = 27.67e9
    passes: int = 2
    hidden: float = 0.8


def ring(bytes_sent: float, devices: int, machine: Machine) -> float:
    """Seconds in which each of a ring of devices has got, or has given, its share of so many bytes."""
    if devices < 2:
        return 0.0
    speed = machine.inside if devices <= machine.per_node else machine.between
    return bytes_sent * (devices - 1) / devices / speed + (devices - 1) * machine.latency


def step_seconds(devices: int, strategy: str, machine: Machine, work: Work) -> tuple[float, float]:
    """Seconds of computing, and of messages that nothing hides."""
    computing = work.flops / (machine.peak * machine.share)
    messages = 2 * ring(work.trained, devices, machine)  # an all-reduce: scattered sums, then gathered
    if strategy == "fsdp2":
        messages = work.passes * ring(work.gathered, devices, machine) + ring(work.trained, devices, machine)
    return computing, max(messages * (1 - work.hidden), messages - computing)


def lines(strategy: str, machine: Machine, work: Work) -> list[str]:
    """A table."""
    rows = ["| GPUs | computing, s | messages in the open, s | of 8 times as good |", "|---|---|---|---|"]
    base = sum(step_seconds(8, strategy, machine, work))
    for devices in (8, 16, 32, 64, 128, 256, 512, 1024):
        computing, messages = step_seconds(devices, strategy, machine, work)
        rows.append(f"| {devices:,} | {computing:.2f} | {messages:.3f} | {base / (computing + messages):.0%} |")
    return rows


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategy", choices=("ddp", "fsdp2"), default="ddp")
    print("\n".join(lines(parser.parse_args().strategy, Machine(), Work())))


if __name__ == "__main__":
    main()
