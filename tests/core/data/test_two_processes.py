"""Two real processes: a checkpoint of both is the same in each, and one process goes on from it."""

from __future__ import annotations

import copy
import json
import multiprocessing
from collections import Counter
from pathlib import Path

import pytest
import torch

from anyloom.data.loader import Batching
from streams_of_words import joined, loaders, order, steps

BATCHING = Batching(2, bucket=3)


def work(folder: Path, rank: int) -> None:
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    made = loaders(2, BATCHING)[rank]
    found = steps([made], 9)
    state, ledger = made.state_dict(), made.whole_ledger().report()
    (folder / f"{rank}.json").write_text(json.dumps([found, state, ledger]))
    made.close()
    torch.distributed.destroy_process_group()


@pytest.mark.ddp
def test_a_checkpoint_holds_what_both_have_been_given(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(tmp_path, rank)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    found, states, ledgers = zip(*(json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)))
    assert states[0] == states[1]
    assert ledgers[0] == ledgers[1]
    simulated = loaders(2, BATCHING)
    steps(simulated, 9)
    assert json.loads(json.dumps(joined(simulated))) == states[0]

    (alone,) = loaders(1, BATCHING)
    alone.load_state_dict(copy.deepcopy(states[0]))
    given = [tuple(pair) for part in (*found, steps([alone], 10)) for step in part for batch in step for pair in batch]
    assert max(Counter(given).values()) == 1
    state = alone.state_dict()
    draws = order().order.draws(0, 500)
    names = [s.name for s in order().sets]
    mine = [draws[p] for p in [*range(state["position"]), *state["beyond"]]]
    good = {(f"{names[d.part]}:{d.index}", d.seed) for d in mine if d.index % 10 != 3 and d.index % 11 != 5}
    assert set(given) == good
