"""Checks of training modules: stages of a recipe."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from anyloom.testing.case import ModuleCase
from anyloom.testing.checking import check, require
from anyloom.testing.component import ComponentChecks

__all__ = ["ModuleChecks"]

_LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")


class _Data(lightning.LightningDataModule):
    def __init__(self, case: ModuleCase, module: Any) -> None:
        super().__init__()
        self.case, self.module = case, module

    def train_dataloader(self) -> Any:
        return DataLoader(list(self.case.samples), batch_size=2, collate_fn=self.module.collator())  # type: ignore[arg-type]


class ModuleChecks(ComponentChecks):
    """Inherit and supply the fixture ``case``, a :class:`anyloom.testing.ModuleCase`."""

    def trained(self, case: ModuleCase) -> tuple[Any, dict[str, Any]]:
        """A module after two steps, and its state before."""
        torch.manual_seed(0)
        module = case.build()
        module.configure_model()  # again in the trainer: Lightning wants that to do nothing the second time
        before = {k: v.clone() for k, v in module.state_dict().items()}
        with tempfile.TemporaryDirectory() as folder, _quiet():
            trainer = lightning.Trainer(
                accelerator="cpu",
                devices=1,
                max_steps=2,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=folder,
            )
            trainer.fit(module, datamodule=_Data(case, module))
        require(trainer.global_step == 2, f"it made {trainer.global_step} of 2 steps")
        return module, before

    def use(self, case: ModuleCase) -> None:
        """Train two steps."""
        self.trained(case)

    @check("return the loss from training_step, and the trained parameters from configure_optimizers")
    def test_trains_two_steps(self, case: ModuleCase) -> None:
        """Lightning trains it for two steps: parameters move and stay finite."""
        module, before = self.trained(case)
        after = module.state_dict()
        names = {n for n, p in module.named_parameters() if p.requires_grad}
        moved = [k for k in names & after.keys() if not torch.equal(after[k], before[k])]
        require(bool(moved), "no parameter has moved")
        broken = [k for k, v in after.items() if v.is_floating_point() and not bool(v.isfinite().all())]
        require(not broken, f"not finite after two steps: {', '.join(broken[:3])}")

    @check("implement save_result: write into the folder, which may not exist yet")
    def test_result_is_written(self, case: ModuleCase) -> None:
        """`save_result` writes files, without pickle."""
        module, _ = self.trained(case)
        with tempfile.TemporaryDirectory() as folder:
            module.save_result(Path(folder, "result"))
            names = [p.name for p in Path(folder, "result").rglob("*") if p.is_file()]
            require(bool(names), "save_result() writes no file")
            pickles = [n for n in names if n.endswith((".pt", ".pth", ".bin", ".ckpt", ".pkl"))]
            require(not pickles, f"save_result() writes {', '.join(pickles)}, which may hold code")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what a trainer says about itself."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
