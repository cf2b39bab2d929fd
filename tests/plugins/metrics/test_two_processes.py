"""Every metric gives over two processes what it gives in one, however the samples are spread."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json, sys, warnings
from pathlib import Path
import torch
from anyloom.discovery import get_registry
from anyloom.testing import tiny_case
from anyloom_metrics.metrics import looking

rank, world, split = map(int, sys.argv[1:4])
folder, wanted = Path(sys.argv[4]), sys.argv[5:]
torch.set_num_threads(1)
registry = get_registry()
ours = [s for s in registry.components("metric") if s.plugin == "anyloom_metrics"]
cases = {}
for spec in ours:
    if spec.name in wanted or not (wanted or registry.status(spec).startswith("needs")):
        torch.manual_seed(0)
        (place := folder / f"{rank}-{spec.name}").mkdir()
        cases[spec.name] = tiny_case(spec, place)
# only now: transformers writes files on the first of several processes alone
if world > 1:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
found = {}
for name, case in cases.items():
    # networks are random: the same in every process only under one seed and when they are built anew
    looking._built.cache_clear()
    metric = case.build()
    mine = case.evaluated if world == 1 else case.evaluated[:split] if rank == 0 else case.evaluated[split:]
    torch.manual_seed(0)
    if mine:
        metric.update(list(mine))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = {k: float(v) for k, v in metric.compute().items()}
        found[name] = [values, metric.standard_errors(), metric.flags(), len(metric.scores())]
(folder / f"{rank}.json").write_text(json.dumps(found))
if world > 1:  # a process that ends first would close the connection that the other still reads from
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""


def run(folder: Path, world: int, split: int = 0, names: tuple[str, ...] = ()) -> list[dict]:
    folder.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CODE, str(rank), str(world), str(split), str(folder), *names],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    said = [process.communicate(timeout=500)[1] for process in processes]
    assert [p.returncode for p in processes] == [0] * world, "\n".join(text[-2000:] for text in said)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world)]


def require_equal(folder: Path, splits: tuple[int, ...], names: tuple[str, ...] = ()) -> int:
    """Compare two processes with one; return how many metrics were compared."""
    (alone,) = run(folder / "one", 1, names=names)
    for split in splits:
        for together in run(folder / f"two-{split}", 2, split, names):
            assert together.keys() == alone.keys()
            for name, (values, errors, flags, count) in alone.items():
                assert together[name][0] == pytest.approx(values, rel=1e-4, abs=1e-5), name
                assert together[name][1] == pytest.approx(errors, rel=1e-3, abs=1e-5), name
                assert together[name][2:] == [flags, count], name
    return len(alone)


@pytest.mark.ddp
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    """One metric of each base class."""
    names = ("frechet-distance", "psnr", "word-error-rate", "torchmetrics")
    assert require_equal(tmp_path, (2,), names) == len(names)


@pytest.mark.ddp
@pytest.mark.slow
def test_all_metrics_give_over_two_processes_what_they_give_in_one(tmp_path: Path) -> None:
    """All of them, also where one process has no sample at all."""
    assert require_equal(tmp_path, (2, 6)) > 20
