"""What the training loop costs beside a loop by hand: the same model, batches and optimizer."""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from measure import Row, Rows, versions

from anyloom.config.compose import compose
from anyloom.data.module import AnyToAnyData


class Timed(lightning.Callback):
    """CPU seconds of the steps after the first few."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last, self.began, self.seconds = first, last, 0.0, 0.0

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, number: int) -> None:
        if trainer.global_step == self.first:
            self.began = time.process_time()
        if trainer.global_step == self.last:
            self.seconds = time.process_time() - self.began


def rows(quick: bool) -> Rows:
    """A run with all callbacks, and with none, against a loop by hand."""
    import projects
    from anyloom.training.run import run

    steps, warm = (12, 4) if quick else (120, 20)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        sections = projects.sections(Path(folder), max_steps=steps)
        sections["data"] |= {"batch_size": 8, "bucket": 1}  # sorted batches would be less work than the peer's
        sections["model"]["llm"]["architecture"].update(hidden_size=128, intermediate_size=344, num_hidden_layers=6)
        sections["trainer"] |= {"limit_val_batches": 0, "log_every_n_steps": 50}
        sections.pop("result")
        lines = Path(sections["data"]["datasets"]["small"]["train"])
        lines.write_text(lines.read_text() * steps)  # an epoch of all steps: none of them pays for the next
        for turn in range(1 if quick else 3):
            timed = Timed(warm, steps)
            sections["trainer"]["default_root_dir"] = f"{folder}/run{turn}"
            _run(run, sections, timed)
            found.append(timed.seconds / (by_hand(sections, warm, steps)))
    yield Row(
        "training with all callbacks",
        "a loop by hand",
        statistics.median(found),
        1.06,
        "lower",
        note="loader, NaN guard, meters, ledger, log, progress; the same batches in both",
        versions=versions("lightning"),
    )


def _run(run: Any, sections: dict[str, Any], timed: Timed) -> None:
    import copy

    import benchmark_timer

    benchmark_timer.CURRENT = timed
    own = copy.deepcopy(sections)
    own["trainer"]["callbacks"] = [{"class_path": "benchmark_timer.Forward"}]
    run("fit", own)


def by_hand(sections: dict[str, Any], warm: int, steps: int) -> float:
    """CPU seconds of the same steps without a trainer."""
    from anyloom import AnyToAnyModel

    model = AnyToAnyModel.from_config({"model": compose([{"model": sections["model"]}])["model"]}).train()
    data = AnyToAnyData(sections["data"]).samples("train")
    collate = model.collator()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, fused=True)
    began = 0.0
    for step in range(steps):
        if step == warm:
            began = time.process_time()
        batch = collate([data[(8 * step + n) % len(data)] for n in range(8)])
        loss = model(batch).total()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return time.process_time() - began
