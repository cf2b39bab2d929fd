"""What became of the data: a line each epoch, ``ledger.json`` beside the logs, and the end of data that end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback

from anyloom.data.module import AnyToAnyData
from anyloom.errors import AnyloomError
from anyloom.evaluation.measure import gathered
from anyloom.features.counts import counts_line
from anyloom.interfaces.module import TrainingModule
from anyloom.storage.atomic import write_text
from anyloom.training.console import tell

__all__ = ["DataLedger"]


class DataLedger(Callback):
    """Prints and writes the ledger, and keeps Lightning's epochs those of the data."""

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Give an epoch its own length, where a run went on with another batch size in the middle of the last one."""
        data = _data(trainer)
        if data is None or "train" not in data.loaders or not isinstance(trainer.fit_loop.max_batches, int):
            return
        length, limit = len(data.loaders["train"]), trainer.limit_train_batches
        asked = min(limit or 0, length) if isinstance(limit, int) else int(length * (1.0 if limit is None else limit))
        combined = trainer.fit_loop._combined_loader
        assert combined is not None
        trainer.fit_loop.max_batches, combined.limits = asked, [asked]

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print a line, and one of features that are kept; write the file; stop if a finite mixture is over."""
        data = _data(trainer)
        if data is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        ledgers = {split: loader.whole_ledger() for split, loader in data.loaders.items()}
        if trainer.is_global_zero and "train" in ledgers:
            tell(f"epoch {trainer.current_epoch}, data: {ledgers['train']}")
        features = gathered(_kept_features(pl_module))
        if trainer.is_global_zero and any(features):
            tell(f"epoch {trainer.current_epoch}, features: {counts_line(features)}")
        _write(trainer, {split: ledger.report() for split, ledger in ledgers.items()}, sum(features, Counter()))
        if data.loaders["train"].finished:
            trainer.should_stop = True

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Write what this process has counted; the others may be gone."""
        data = _data(trainer)
        if data is not None and isinstance(exception, AnyloomError) and trainer.state.fn == "fit":
            report = {split: loader.ledger.report() for split, loader in data.loaders.items()}
            _write(trainer, report, _kept_features(pl_module))


def _data(trainer: lightning.Trainer) -> AnyToAnyData | None:
    data = trainer.datamodule  # type: ignore[attr-defined]
    return data if isinstance(data, AnyToAnyData) else None


def _kept_features(module: lightning.LightningModule) -> Counter[str]:
    return module.kept_features() if isinstance(module, TrainingModule) else Counter()


def _write(trainer: lightning.Trainer, report: Mapping[str, object], features: Counter[str]) -> None:
    """Write the counts of each split, and of features kept on disk since the run began, if there are any."""
    if features:
        report = {**report, "features": {kind: features[kind] for kind in ("read", "encoded", "broken")}}
    if trainer.is_global_zero:
        logger = trainer.loggers[0] if trainer.loggers else None
        folder = getattr(logger, "log_dir", None) or trainer.default_root_dir
        if logger is None and Path(folder).resolve() == Path.cwd():
            return  # a run without a logger and a folder of its own writes nothing where it was called
        write_text(Path(folder) / "ledger.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
