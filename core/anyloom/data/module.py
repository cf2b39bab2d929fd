"""The LightningDataModule: dataset builders by name, concatenated, batched by the training module's collator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightning

from anyloom.building import build_named
from anyloom.config.schema import DataConfig
from anyloom.data.loader import ResumableLoader
from anyloom.errors import ConfigError
from anyloom.interfaces.dataset import DatasetBuilder, Sample, Samples, Stream
from anyloom.interfaces.module import TrainingModule
from anyloom.options import validate

__all__ = ["AnyToAnyData", "Concatenated"]


class Concatenated:
    """Several sample sets, one after another."""

    def __init__(self, parts: Sequence[Samples]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(len(p) for p in self.parts)

    def __getitem__(self, index: int) -> Sample:
        for part in self.parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)


class AnyToAnyData(lightning.LightningDataModule):
    """Loaders of ``train``, ``val`` and ``test``.

    Args:
        data: The ``data:`` section.
    """

    def __init__(self, data: DataConfig | Mapping[str, Any]) -> None:
        super().__init__()
        self.options = data if isinstance(data, DataConfig) else validate(DataConfig, data, where="data")
        if not self.options.datasets:
            raise ConfigError("no dataset is named", where="data.datasets", fix="add one, see 'anyloom plugins'")
        self.builders: dict[str, DatasetBuilder] = {
            k: build_named("dataset", v, where=f"data.datasets.{k}") for k, v in self.options.datasets.items()
        }

    def samples(self, split: str, epoch: int = 0) -> Concatenated:
        """The samples of a split, all builders' together."""
        parts: list[Samples] = []
        for key, builder in self.builders.items():
            built = builder.build(split, epoch)
            if isinstance(built, Stream):
                raise ConfigError("samples that come as a stream are not read yet", where=f"data.datasets.{key}")
            parts += built.values() if isinstance(built, Mapping) else [built]
        return Concatenated(parts)

    def _loader(self, split: str) -> ResumableLoader:
        assert self.trainer is not None
        module = self.trainer.lightning_module
        assert isinstance(module, TrainingModule)
        return ResumableLoader(
            lambda epoch: self.samples(split, epoch),
            module.collator(),
            self.options.batch_size,
            shuffle=split == "train",
            seed=self.options.seed,
            bucket=self.options.bucket if split == "train" else 1,
            workers=self.options.workers,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )

    def train_dataloader(self) -> ResumableLoader:
        """Training batches, in random order.

        Raises:
            anyloom.errors.ConfigError: There are too few samples for a single batch.
        """
        loader = self._loader("train")
        if not len(loader):
            raise ConfigError(
                f"{len(loader.samples())} training samples do not fill one batch of {loader.batch_size} in each of "
                f"{loader.world} process(es)",
                where="data.batch_size",
                fix="lower it, or give more data",
            )
        return loader

    def val_dataloader(self) -> ResumableLoader:
        """Validation batches, in order."""
        return self._loader("val")

    def test_dataloader(self) -> ResumableLoader:
        """Test batches, in order."""
        return self._loader("test")

    def predict_dataloader(self) -> ResumableLoader:
        """Test batches, in order."""
        return self._loader("test")
