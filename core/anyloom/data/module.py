"""The LightningDataModule: dataset builders by name, mixed, batched by the training module's collator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning

from anyloom.building import build_named
from anyloom.config.schema import DataConfig
from anyloom.data.ledger import Ledger
from anyloom.data.loader import ResumableLoader
from anyloom.data.mixing import MixingOptions, split_mixing
from anyloom.data.mixture import Mixture, Order, Part, Repeated, weights_of
from anyloom.data.reading import SampleSet
from anyloom.data.sample_order import Batching, SampleOrder
from anyloom.data.streams import StreamSet
from anyloom.errors import ConfigError
from anyloom.interfaces.dataset import DatasetBuilder, Sample, Samples, Stream
from anyloom.interfaces.module import TrainingModule
from anyloom.media.isolated import Isolation
from anyloom.options import validate

__all__ = ["AnyToAnyData", "Concatenated"]

_ENDLESS = 1 << 62
"""Places of a stream, which has no size."""


class Concatenated:
    """Several sample sets, one after another.

    >>> both = Concatenated([["a", "b"], ["c"]])
    >>> len(both), both[2]
    (3, 'c')
    """

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


@dataclass(frozen=True)
class _Build:
    """Builds a set for a pass; picklable."""

    builder: DatasetBuilder
    split: str
    task: str = ""

    def __call__(self, epoch: int = 0) -> Any:
        built = self.builder.build(self.split, epoch)
        return built[self.task] if isinstance(built, Mapping) else built


class AnyToAnyData(lightning.LightningDataModule):
    """Loaders of ``train``, ``val`` and ``test``.

    Its state in a checkpoint is where the training samples are, and their ledger.

    Args:
        data: The ``data:`` section.
        chance: Seed of what training draws about samples.
    """

    def __init__(self, data: DataConfig | Mapping[str, Any], chance: int = 0) -> None:
        super().__init__()
        self.chance = chance
        self.options = data if isinstance(data, DataConfig) else validate(DataConfig, data, where="data")
        if not self.options.datasets:
            raise ConfigError("no dataset is named", where="data.datasets", fix="add one, see 'anyloom plugins'")
        self.builders: dict[str, DatasetBuilder] = {}
        self.mixing: dict[str, MixingOptions] = {}
        for key, options in self.options.datasets.items():
            self.mixing[key], component = split_mixing(options, where=f"data.datasets.{key}")
            self.builders[key] = build_named("dataset", component, where=f"data.datasets.{key}")
        self.loaders: dict[str, ResumableLoader] = {}
        self._state: dict[str, Any] | None = None

    def prepare_data(self) -> None:
        """Index large files in one process of a machine, before the others open them."""
        if self.trainer is not None and self.trainer.world_size > 1 and self.trainer.state.fn == "fit":
            for builder in self.builders.values():
                builder.build("train")

    def samples(self, split: str, epoch: int = 0) -> Concatenated:
        """The samples of a split, all builders' together."""
        parts: list[Samples] = []
        for key, builder in self.builders.items():
            built = builder.build(split, epoch)
            if isinstance(built, Stream):
                raise ConfigError(
                    "samples that come one after another cannot be asked for by number",
                    where=f"data.datasets.{key}",
                    fix="train on it; evaluate on a source with an index",
                )
            parts += built.values() if isinstance(built, Mapping) else [built]
        return Concatenated(parts)

    def order(self, split: str) -> SampleOrder:
        """The samples of a split in their order: mixed for ``train``, else set after set.

        Raises:
            anyloom.errors.ConfigError: A mixing option names a task that is not there; a stream is asked for by several
                workers, without ``epoch_samples``, or for another split than ``train``.
        """
        sets: list[SampleSet] = []
        parts: list[Part] = []
        weights: list[float | None] = []
        for key, builder in self.builders.items():
            built = builder.build(split)
            if isinstance(built, Stream):
                self._check_stream(key, split)
                sets.append(StreamSet(key, _Build(builder, split)))
                parts.append(Part(key, _ENDLESS, 1.0, ordered=True))
                weights.append(self.mixing[key].weight_of("", {"": 1}) or 1.0)
                continue
            tasks = built if isinstance(built, Mapping) else {"": built}
            sizes = {task: len(samples) for task, samples in tasks.items()}
            mixing = self.mixing[key]
            mixing.check_tasks(sizes, f"data.datasets.{key}")
            for task, samples in tasks.items():
                name = f"{key}/{task}" if task else key
                sets.append(SampleSet(name, _Build(builder, split, task), samples))
                shards = getattr(samples, "shards", ())
                limits = (mixing.epochs_of(task), mixing.max_samples_of(task)) if split == "train" else (None, None)
                parts.append(Part(name, sizes[task], 1.0, *limits, shards=shards))
                weights.append(mixing.weight_of(task, sizes))
        shares = weights_of([p.used for p in parts], weights, self.options.temperature)
        weighed = [Part(**{**vars(p), "weight": w}) for p, w in zip(parts, shares)]
        train = split == "train"
        epoch = self.options.epoch_samples if train else None
        mixture = Mixture(weighed, seed=self.options.seed, shuffle=train, epoch=epoch)
        return SampleOrder(sets, mixture, self.options.seed, train)

    def _check_stream(self, key: str, split: str) -> None:
        where = f"data.datasets.{key}"
        if split != "train":
            raise ConfigError("a stream is read for training only", where=where, fix=f"give no {split} split")
        if self.options.epoch_samples is None:
            raise ConfigError("a stream has no size", where=where, fix="set data.epoch_samples")
        if self.options.workers:
            raise ConfigError("a stream is read in the training process", where=where, fix="set data.workers: 0")

    def _loader(self, split: str) -> ResumableLoader:
        assert self.trainer is not None
        module = self.trainer.lightning_module
        assert isinstance(module, TrainingModule)
        options, train = self.options, split == "train"
        data = self.order(split)
        size, world = options.batch_size, self.trainer.world_size
        asked: int | float = getattr(self.trainer, "overfit_batches", 0)
        if train and asked:
            whole = data.order.epoch // (size * world)
            count = min(asked, whole) if isinstance(asked, int) else max(1, int(asked * whole))
            order: Order = Repeated(data.order, count * size * world)
            data = SampleOrder(data.sets, order, data.seed, data.shuffle)
        apart = options.media_isolation
        tokens, pack = (options.batch_tokens, options.pack) if train else (None, None)
        return ResumableLoader(
            data,
            module.collator(),
            Batching(size, options.bucket if train else 1, tokens, pack, options.look_ahead),
            workers=options.workers,
            prefetch=options.prefetch,
            persistent=options.persistent_workers,
            pin_memory=options.pin_memory,
            rank=self.trainer.global_rank,
            world=world,
            ledger=Ledger(max_bad=options.max_bad, strict=options.strict, expected=data.order.epoch),
            limit=self.trainer.limit_train_batches if train else 1.0,
            accumulated=self.trainer.accumulate_grad_batches if train else 1,
            isolation=None if apart is None else Isolation(apart.seconds, apart.megabytes),
            chance=self.chance,
        )

    def train_dataloader(self) -> ResumableLoader:
        """Training batches, in random order. Asked for again, it is the same loader, which goes on where it is.

        Raises:
            anyloom.errors.ConfigError: There are too few samples for a single batch.
        """
        if "train" in self.loaders:
            return self.loaders["train"]
        loader = self._loader("train")
        if not len(loader):
            raise ConfigError(
                f"{loader.data.order.epoch} training samples do not fill one batch of {self.options.batch_size} in "
                f"each of {loader.world} process(es)",
                where="data.batch_size",
                fix="lower it, or give more data",
            )
        if self._state is not None:
            loader.load_state_dict(self._state)
        self.loaders["train"] = loader
        return loader

    def val_dataloader(self) -> ResumableLoader:
        """Validation batches, in order."""
        return self._kept("val")

    def test_dataloader(self) -> ResumableLoader:
        """Test batches, in order."""
        return self._kept("test")

    def predict_dataloader(self) -> ResumableLoader:
        """Test batches, in order."""
        return self._kept("test")

    def _kept(self, split: str) -> ResumableLoader:
        if split in self.loaders:
            self.loaders[split].close()
        self.loaders[split] = self._loader(split)
        return self.loaders[split]

    def state_dict(self) -> dict[str, Any]:
        """Where the training samples are. Every process has to call it."""
        return {"train": self.loaders["train"].state_dict()} if "train" in self.loaders else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on there. It is called before Lightning asks for the loader, which may be long before training starts."""
        self._state = state_dict.get("train")
        if self._state is not None and "train" in self.loaders:
            self.loaders["train"].load_state_dict(self._state)

    def teardown(self, stage: str) -> None:
        """End the workers."""
        for loader in self.loaders.values():
            loader.close()
        self.loaders, self._state = {}, None
