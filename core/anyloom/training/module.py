"""The LightningModule of the assembled model."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from pydantic import NonNegativeInt
from torch import Tensor, nn

from anyloom.building import build_named
from anyloom.checking.cache_rules import frozen_problems
from anyloom.config.schema import FeatureStoreConfig, OptimizerConfig, SchedulerConfig, StartConfig
from anyloom.errors import combine
from anyloom.evaluation.measure import Means, answer_samples, gathered, update, values
from anyloom.features.cache import FeatureCache
from anyloom.features.store import open_store
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.metric import Metric
from anyloom.interfaces.module import TrainingModule
from anyloom.model.model import AnyToAnyModel
from anyloom.model.saving import start_from
from anyloom.network.config import ModelConfig
from anyloom.network.losses import Losses
from anyloom.options import validate
from anyloom.sequence.batch import Batch
from anyloom.sequence.collate import Collator
from anyloom.training.console import tell
from anyloom.training.counts import summed_counts
from anyloom.training.frozen_state import refilled_keys
from anyloom.training.optimizer import clip_gradients, make_optimizer
from anyloom.training.parallel import gathered_parameters, is_sharded, shard, whole, whole_state
from anyloom.training.splitting import BatchSplitter
from anyloom.training.suite_runs import SuiteInFit, SuiteRuns

__all__ = ["AnyToAnyModule"]


class AnyToAnyModule(TrainingModule):
    """Trains the assembled model on L = alpha * MSE + L_DM + L_t; validates and tests it free-running.

    Logs every loss term (``train/text``, ``train/feature/<modality>``, ``train/diffusion/<modality>``), and what the
    metrics measure on generated answers.

    >>> from anyloom.config.compose import compose
    >>> module = AnyToAnyModule(AnyToAnyModule.Config(optimizer={"lr": 1e-3}), model=compose(["mini"])["model"])
    >>> module.config.optimizer.lr, len(module.model_config.modalities)
    (0.001, 2)
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            optimizer: Learning rate and its schedule.
            scheduler: A schedule by its class, in place of warm-up and cosine.
            cache_features: Keep features of frozen encoders instead of encoding media again: ``true`` in memory by
                content key, which needs ``data.workers: 0``; a folder, or ``{folder, max_gb}``, on disk.
            start_from: Folder of a saved model whose tensors to start from, or ``{folder, parts}`` to take only some of
                its parts. Parts and modalities that it does not have start new.
            gradient_norms: Log the norm of each term's gradient at the LLM every so many steps; 0 never does.
            metrics: Metric components by a key of the user's choice.
            suites: Suites that run every so many steps, by a key of the user's choice; see
                :mod:`anyloom.training.suite_runs`.
            save_frozen: Write frozen parts that came from files of their own into the result too; otherwise it refers
                to those files and their SHA-256.
        """

        optimizer: OptimizerConfig = OptimizerConfig()
        scheduler: SchedulerConfig | None = None
        cache_features: bool | Path | FeatureStoreConfig = False
        start_from: Path | StartConfig | None = None
        gradient_norms: NonNegativeInt = 0
        metrics: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - pydantic copies defaults
        suites: dict[str, SuiteInFit] = {}  # noqa: RUF012 - pydantic copies defaults
        save_frozen: bool = True

    def __init__(self, config: Config, model: dict[str, Any]) -> None:
        super().__init__(config, model)
        self.model_config = validate(ModelConfig, model, where="model")
        self._step_counts: dict[str, float] | None = None
        self._gathered = ExitStack()
        self._whole: dict[str, Tensor] | None = None
        self.splitter = BatchSplitter(self)
        self.metrics = nn.ModuleDict(
            {k: build_named("metric", v, where=f"module.metrics.{k}") for k, v in config.metrics.items()}
        )

    def configure_model(self) -> None:
        """Build the model and load its weights, once, on whatever devices the strategy puts it."""
        if hasattr(self, "model"):
            return
        sharded = isinstance(getattr(self._trainer, "strategy", None), ModelParallelStrategy)
        model = AnyToAnyModel(self.model_config)
        if self.config.start_from is not None:
            begin = self.config.start_from
            given = begin if isinstance(begin, StartConfig) else StartConfig(folder=begin)
            if new := start_from(model.parts, given.folder, given.parts):
                tell(f"note: these parts start new: {', '.join(new)}")
        if sharded:
            assert self.device_mesh is not None
            shard(model, self.device_mesh["data_parallel"])
        self.model = model
        if self.config.cache_features:
            if problems := frozen_problems(self.model.parts):
                raise combine(problems)
            if self.config.cache_features is True:
                self.model.cache = FeatureCache()

    def configure_callbacks(self) -> list[Any]:
        """The suites that run in between."""
        return [SuiteRuns(key, config) for key, config in self.config.suites.items()]

    def collator(self) -> Collator:
        """Makes batches for this model."""
        self.configure_model()
        option = self.config.cache_features
        if self.model.cache is None and not isinstance(option, bool):
            # not before: a checkpoint may have brought other weights
            self._open_store(option)
        return self.model.collator()

    def _open_store(self, option: Path | FeatureStoreConfig) -> None:
        tables, latents = self.model.encoded_tables(), self.model.latent_tables()
        if latents and is_sharded(self.model):
            # an autoencoder whose parameters are split runs in all processes at once, or in none
            tell("note: latents of decoders are made anew in every epoch where parameters are split over processes")
            latents = {}
        self.model.keeps_latents = bool(latents)
        self.model.cache = open_store(option, {**tables, **latents}, str(self.trainer.precision))

    def configure_optimizers(self) -> Any:
        """AdamW over everything trainable."""
        return make_optimizer(self.model.named_parameters(), self.config.optimizer, self.trainer, self.config.scheduler)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step: the weighted sum ``()`` of all terms."""
        divisors = self._divisors(batch, batch_idx)
        return self.splitter.loss(batch, lambda part: self._step_loss(part, divisors))

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of the last loss ``()``, in halves where the batch did not fit into memory."""
        self.splitter.backward(loss)

    def _step_loss(self, batch: Batch, divisors: dict[str, float]) -> Tensor:
        losses: Losses = self.model(batch)
        if self._logs_this_step():
            size = len(batch.ids)
            self.log("train/loss", losses.total().detach(), prog_bar=True, batch_size=size)
            for name, term in losses.terms.items():
                self.log(f"train/{name}", term.mean.detach(), batch_size=size)
        if self.config.gradient_norms and self.trainer.global_step % self.config.gradient_norms == 0:
            self._log_gradient_norms(losses, len(batch.ids))
        return losses.total(divisors)

    def _logs_this_step(self) -> bool:
        """Whether a logger writes after this batch; logging costs as much as a small model's forward pass."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return not every or (self.trainer.fit_loop.epoch_loop._batches_that_stepped + 1) % every == 0

    def _divisors(self, batch: Batch, batch_idx: int) -> dict[str, float]:
        """What the summed terms are divided by, so that a step is the mean over all its batches and processes.

        Lightning divides by the number of batches of a step, and averages gradients over processes; that is undone.
        """
        size, world = self.trainer.accumulate_grad_batches, self.trainer.world_size
        if batch_idx % size == 0 or self._step_counts is None:
            names = ["text", *(f"{t}/{m}" for m in sorted(self.model.tags) for t in ("feature", "diffusion"))]
            self._step_counts = summed_counts(batch.step_counts or [batch.counts()], names, self.device)
        return {name: count / (size * world) for name, count in self._step_counts.items()}

    def on_fit_start(self) -> None:
        """Where processes wait for each other, each runs what the others may run."""
        self.model.idle = self.trainer.world_size > 1

    def _log_gradient_norms(self, losses: Losses, size: int) -> None:
        parameters = [p for p in self.model.llm.parameters() if p.requires_grad]
        for name, term in losses.terms.items():
            if term.total.requires_grad:
                grads = torch.autograd.grad(term.mean, parameters, retain_graph=True, allow_unused=True)
                norm = torch.stack([g.norm() for g in grads if g is not None]).norm()
                self.log(f"gradient/{name}", norm, batch_size=size)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip the gradient norm to the trainer's value, or to the optimizer section's."""
        limit = gradient_clip_val or self.config.optimizer.gradient_clip
        clip_gradients(self, optimizer, limit, gradient_clip_algorithm or "norm")

    def kept_features(self) -> Counter[str]:
        """Those of the store on disk; what is kept in memory is not counted, nor is there any before the model is."""
        cache = getattr(getattr(self, "model", None), "cache", None)
        return Counter() if cache is None or isinstance(self.config.cache_features, bool) else cache.counts

    def _typed_metrics(self) -> dict[str, Metric]:
        return {k: m for k, m in self.metrics.items() if isinstance(m, Metric)}

    def _start_measuring(self) -> None:
        # Processes may have more batches than others, and answers take another number of passes in each: none may
        # wait for the others in between.
        self._gathered.enter_context(gathered_parameters(self.model))
        self._means = Means()
        self._weights: dict[str, float] = {}
        for metric in self._typed_metrics().values():
            metric.reset()
            metric.prepare(self.model)

    def _evaluate(self, batch: Batch, batch_idx: int, stage: str) -> None:
        losses: Losses = self.model(batch)
        for name, term in losses.terms.items():
            self._means.add(name, float(term.total), term.count)
            self._weights[name] = term.weight
        if self.metrics:
            update(self.model, list(batch.samples), self._typed_metrics(), seed=0)

    def _finish_measuring(self, stage: str) -> None:
        self._gathered.close()
        means = self._means.compute()
        weights = {name: weight for own in gathered(self._weights) for name, weight in own.items()}
        # A mean of each term over everything, then their weighted sum: batches of any size give the same.
        means["loss"] = sum(weights[name] * mean for name, mean in means.items())
        for name, value in (means | values(self._typed_metrics())).items():
            self.log(f"{stage}/{name}", value)

    def on_validation_epoch_start(self) -> None:
        """Reset the metrics."""
        self._start_measuring()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Losses, and metrics on generated answers."""
        self._evaluate(batch, batch_idx, "val")

    def on_validation_epoch_end(self) -> None:
        """Log the metrics."""
        self._finish_measuring("val")

    def on_test_epoch_start(self) -> None:
        """Reset the metrics."""
        self._start_measuring()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Losses, and metrics on generated answers."""
        self._evaluate(batch, batch_idx, "test")

    def on_test_epoch_end(self) -> None:
        """Log the metrics."""
        self._finish_measuring("test")

    def on_predict_start(self) -> None:
        """Each process answers its own samples, without waiting for the others."""
        self._gathered.enter_context(gathered_parameters(self.model))

    def on_predict_end(self) -> None:
        """Let go of what is not this process's."""
        self._gathered.close()

    def predict_step(self, batch: Batch, batch_idx: int) -> list[Any]:
        """Answers to the samples of a batch, media decoded."""
        samples = list(batch.samples)
        return list(answer_samples(self.model, samples, decode=True))

    def gather_result(self) -> None:
        """Put sharded parameters together; every process calls it."""
        if is_sharded(self.model):
            self._whole = whole_state(self.model)

    def save_result(self, folder: Path) -> None:
        """Write the model as a folder that ``AnyToAnyModel.from_pretrained`` loads."""
        model = self.model
        if self._whole is not None:
            model = AnyToAnyModel(self.model_config)  # some parts get modules from their files, such as a vocoder
            model.load_state_dict(self._whole)
            self._whole = None
        model.save_pretrained(folder, include_frozen=self.config.save_frozen)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out what the config's files fill again."""
        left_out = {f"model.{key}" for key in refilled_keys(self.model)}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k not in left_out}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put back what was left out, as it is now; everything else must be in the checkpoint."""
        own = self.model.state_dict()
        filled = {f"model.{key}": whole(own[key]) for key in refilled_keys(self.model) & own.keys()}
        checkpoint["state_dict"] = {**filled, **checkpoint["state_dict"]}
