"""Packing rows of 1,024 to 4,096 positions: lengths a second, share of padding, beside batches sorted and unsorted."""

from __future__ import annotations

import random
import time

from anyloom.data.packing import BestFit

SHARES = {"text": (0.40, 4.3), "image": (0.30, 4.2), "audio": (0.15, 5.0), "video": (0.15, 5.8)}


def mixed_lengths(count: int) -> list[int]:
    """Text, image, audio and video in shares of 40, 30, 15 and 15 %; log-normal lengths up to 1,024."""
    draw = random.Random(0)
    kinds = draw.choices(list(SHARES), [share for share, _ in SHARES.values()], k=count)
    return [min(1024, max(8, int(draw.lognormvariate(SHARES[kind][1], 0.8)))) for kind in kinds]


def main() -> None:
    """Print a line for each way."""
    lengths = mixed_lengths(100_000)
    for bucket in (1, 8, 32):
        window = bucket * 8
        batches = [
            batch
            for w in range(0, len(lengths), window)
            for group in [sorted(lengths[w : w + window])]
            for batch in (group[i : i + 8] for i in range(0, len(group), 8))
        ]
        padding = 1 - sum(map(sum, batches)) / sum(len(b) * max(b) for b in batches)
        print(f"batches of 8, bucket {bucket}: {padding:.2%} padding")
    for capacity in (1024, 2048, 4096):
        packer, rows, used = BestFit(capacity), 0, 0
        start = time.process_time()
        for number, length in enumerate(lengths):
            packer.add(number, length)
            while packer.full:
                rows, used = rows + 1, used + sum(lengths[n] for n in packer.row())
        speed = len(lengths) / (time.process_time() - start)
        print(f"rows of {capacity}: {1 - used / (rows * capacity):.2%} padding, {speed:,.0f} lengths/s CPU")


if __name__ == "__main__":
    main()
