"""SIGKILL at random moments, and on again with other processes, workers and batch sizes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from anyloom.data.loader import Batching
from streams_of_words import joined, loaders, order, steps

WAYS = {"in order": Batching(4), "in windows": Batching(4, bucket=3), "packed": Batching(2, pack=16, look_ahead=20)}
LAYOUTS = [(1, 0, 4), (1, 2, 4), (2, 0, 2), (2, 1, 3)]
STEPS = 60


def train(folder: Path, way: str, layout: tuple[int, int, int], step: int) -> None:
    """Take steps as training does: batches of all processes, then a checkpoint, whole or not at all."""
    world, workers, size = layout
    made = loaders(world, Batching(**{**vars(WAYS[way]), "size": size}), workers=workers)
    checkpoint = folder / "last.json"
    seen: list[Any] = []
    if checkpoint.exists():
        saved = json.loads(checkpoint.read_text())
        seen, step = saved["seen"], saved["step"]
        for loader in made:
            loader.load_state_dict(saved["data"])
    while step < STEPS:
        seen += steps(made, 1)
        step += 1
        (folder / "new.json").write_text(json.dumps({"step": step, "seen": seen, "data": joined(made)}))
        os.replace(folder / "new.json", checkpoint)
        time.sleep(0.002)
    for loader in made:
        loader.close()


def killed(folder: Path, way: str, layout: tuple[int, int, int], after: float) -> bool:
    """Whether training was killed before it was done."""
    process = multiprocessing.get_context("fork").Process(target=train, args=(folder, way, layout, 0))
    process.start()
    process.join(after)
    alive = process.is_alive()
    if alive:
        os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    return alive


def run(folder: Path, way: str, draw: random.Random, kills: int, layouts: list[tuple[int, int, int]]) -> dict[str, Any]:
    done = 0
    while True:
        after = draw.uniform(0.02, 0.25) if done < kills else 120.0
        if not killed(folder, way, draw.choice(layouts), after) and done < kills:
            (folder / "last.json").unlink(missing_ok=True)  # too quick for this kill: begin anew
            continue
        done += 1
        if done > kills:
            return json.loads((folder / "last.json").read_text())


def used(seen: list[Any]) -> Counter[tuple[str, int]]:
    return Counter((key, seed) for step in seen for batch in step for key, seed in batch)


ROUNDS = [pytest.param(n, marks=pytest.mark.slow if n else ()) for n in range(10)]


@pytest.mark.parametrize("round_", ROUNDS)
@pytest.mark.parametrize("way", WAYS)
def test_kills_with_another_layout_each_time(tmp_path: Path, way: str, round_: int) -> None:
    end = run(tmp_path, way, random.Random(f"{way}/{round_}"), 4, LAYOUTS)
    state = end["data"]
    draws = order().order.draws(0, 3000)
    names = [s.name for s in order().sets]
    mine = [draws[p] for p in [*range(state["position"]), *state["beyond"]]]
    good = [(f"{names[d.part]}:{d.index}", d.seed) for d in mine if d.index % 10 != 3 and d.index % 11 != 5]
    assert used(end["seen"]) == Counter(good)
    counts = sum((Counter(c) for c in state["ledger"]["before"].values()), Counter())
    assert counts["read"] == len(mine)
    assert counts["used"] == len(good)


@pytest.mark.parametrize("round_", ROUNDS[:4])
@pytest.mark.parametrize("way", WAYS)
def test_kills_leave_no_trace_when_the_layout_stays(tmp_path: Path, way: str, round_: int) -> None:
    layout = LAYOUTS[round_ % len(LAYOUTS)]
    world, _, size = layout
    end = run(tmp_path, way, random.Random(f"{way}/{round_}/same"), 3, [layout])
    whole = loaders(world, Batching(**{**vars(WAYS[way]), "size": size}))
    assert end["seen"] == json.loads(json.dumps(steps(whole, STEPS)))
    assert end["data"]["ledger"] == json.loads(json.dumps(joined(whole)["ledger"]))
