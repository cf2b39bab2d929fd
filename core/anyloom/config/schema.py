"""The sections of a configuration file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from anyloom.options import Section, WrongOptionsError

__all__ = [
    "DataConfig",
    "FaultConfig",
    "FeatureStoreConfig",
    "FileSource",
    "IsolationConfig",
    "OptimizerConfig",
    "ProjectConfig",
    "SchedulerConfig",
    "StartConfig",
]


_Decay = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Section):
    """AdamW with linear warm-up and a cosine to ``final_lr_share``; see :mod:`anyloom.training.optimizer`.

    Args:
        lr: Peak learning rate.
        betas: AdamW's.
        weight_decay: For matrices; vectors (norms, biases, single rows) get none.
        warmup: Share of the run spent warming up.
        final_lr_share: Learning rate at the end, as a share of the peak.
        gradient_clip: Largest gradient norm; 0 leaves gradients alone.
        hidden_matrices: What steps the matrices between hidden states: ``adamw`` as everything else, or ``muon``
            (:mod:`anyloom.training.muon`), which takes about half the steps where much is learned from nothing.
        class_path: Another optimizer, such as ``torch.optim.SGD``, over all trainable parameters in one group. Then
            ``lr``, ``betas``, ``weight_decay`` and ``hidden_matrices`` have no place here: they go into ``init_args``.
        init_args: What its constructor takes beside the parameters.

    >>> OptimizerConfig(lr=1e-3).warmup
    0.05
    """

    lr: float = Field(3e-4, gt=0)
    betas: tuple[_Decay, _Decay] = (0.9, 0.98)
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    final_lr_share: float = Field(0.05, ge=0, le=1)
    gradient_clip: float = Field(1.0, ge=0)
    hidden_matrices: Literal["adamw", "muon"] = "adamw"
    class_path: str | None = None
    init_args: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way_of_saying_it(self) -> Self:
        of_adamw = {"lr", "betas", "weight_decay", "hidden_matrices"} & self.model_fields_set
        if self.class_path is not None and of_adamw:
            raise ValueError(f"{', '.join(sorted(of_adamw))} beside class_path: put it into init_args")
        if self.class_path is None and self.init_args:
            raise ValueError("init_args without class_path: say which class takes them")
        return self


class SchedulerConfig(Section):
    """A learning rate schedule by its class, in place of the warm-up and cosine.

    Args:
        class_path: Such as ``torch.optim.lr_scheduler.StepLR``.
        init_args: What its constructor takes beside the optimizer.
        interval: Whether it advances every ``step`` of the optimizer, or every ``epoch``.

    >>> SchedulerConfig(class_path="torch.optim.lr_scheduler.StepLR", init_args={"step_size": 10}).interval
    'step'
    """

    class_path: str
    init_args: dict[str, Any] = Field(default_factory=dict)
    interval: Literal["step", "epoch"] = "step"


class StartConfig(Section):
    """What to take over from a saved model.

    Args:
        folder: The saved model, or the name of a recipe that ships with one.
        parts: Only these of its parts, such as ``encoders`` or ``decoders.brush``; all if empty. The others start new.

    >>> StartConfig(folder="mini", parts=["encoders"]).parts
    ('encoders',)
    """

    folder: Path
    parts: tuple[str, ...] = ()


class FeatureStoreConfig(Section):
    """Where features of frozen encoders, and latents of frozen autoencoders, are kept on disk.

    Args:
        folder: The folder; runs, their processes and their data workers may share it.
        max_gb: At most so many gigabytes (10^9 bytes) in it; then no more are kept, and the run goes on.

    >>> FeatureStoreConfig(folder="features", max_gb=10).max_gb
    10.0
    """

    folder: Path
    max_gb: PositiveFloat = 50.0


class IsolationConfig(Section):
    """Limits of the process that decodes media.

    Args:
        seconds: Deadline of one file.
        megabytes: Memory that reading one file may take (where the system can limit it).

    >>> IsolationConfig(seconds=5).megabytes
    4096
    """

    seconds: PositiveFloat = 30.0
    megabytes: PositiveInt = 4096


class DataConfig(Section):
    """What is read and how it is batched.

    Args:
        datasets: Dataset builders by a key of the user's choice, with ``weight``, ``max_samples`` and ``epochs`` beside
            the builder's own options; see :class:`anyloom.data.mixing.MixingOptions`.
        temperature: Above 1 makes the shares of the sets more even: ``share ** (1 / temperature)``.
        epoch_samples: Samples that make an epoch of training; all samples once by default.
        batch_size: Samples per step and process; rows, if they are packed.
        batch_tokens: Cells of a batch, padding included, in place of ``batch_size``.
        pack: Positions of a row that is filled up with whole samples; None gives each sample a row.
        look_ahead: Samples among which packing seeks those that fit.
        bucket: Batches per length bucket: the samples of that many batches are sorted by length, cut into batches and
            those shuffled. 1 switches bucketing off.
        workers: Data worker processes; 0 reads in the main process.
        prefetch: Batches that each worker makes ahead.
        persistent_workers: Keep the workers from epoch to epoch.
        pin_memory: Put batches into page-locked memory, where there is a GPU.
        media_isolation: Decode media in a process of its own that ends at these limits, ``{seconds: 30, megabytes:
            4096}``, for data sets of any kind: a decoder that hangs or crashes costs one sample and not the run.
        max_bad: Largest share of records that may be unusable; a run with more of them stops.
        strict: Stop at the first record that cannot be used.
        seed: Of the order.

    >>> DataConfig(datasets={"mine": {"name": "conversations", "files": "a.jsonl"}}, batch_size=4).workers
    0
    """

    datasets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    epoch_samples: PositiveInt | None = None
    batch_size: PositiveInt = 8
    batch_tokens: PositiveInt | None = None
    pack: PositiveInt | None = None
    look_ahead: PositiveInt = 512
    bucket: PositiveInt = 32
    workers: NonNegativeInt = 0
    prefetch: PositiveInt = 2
    persistent_workers: bool = True
    pin_memory: bool = False
    media_isolation: IsolationConfig | None = None
    max_bad: float = Field(0.005, ge=0, le=1)
    strict: bool = False
    seed: int = 0

    @model_validator(mode="after")
    def _one_way_to_fill(self) -> DataConfig:
        if self.pack is not None and self.batch_tokens is not None:
            raise WrongOptionsError({"pack": "give either pack or batch_tokens"})
        return self


class FaultConfig(Section):
    """What a run does when something goes wrong in the midst of it.

    Args:
        non_finite: Where a loss or gradient is NaN or infinite: ``stop`` before the optimizer uses it, ``skip`` that
            step, or ``roll-back`` to the last checkpoint and leave the step out from there (one process only).
        budget: How many steps may be skipped, or how often rolled back, before the run stops.
        out_of_memory: Where a batch does not fit: ``split`` it once and go on (one process only), or ``stop``.
        disk_full: Where a checkpoint cannot be written: ``stop`` with the one before kept, or ``wait`` for room.
        patience: Seconds to wait for room.
        grace: Seconds that a batch has to end after a signal that ends the run. Then the run ends as it is, with the
            checkpoint before: a scheduler's own limit would end it without a word.
        timeout: Seconds after which the other processes give up on one that does not answer.
        watch: Steps between two looks at the first batch, which name what would make the run end in noise; 0
            never looks. See :mod:`anyloom.training.watching.watch`.

    >>> FaultConfig(non_finite="skip").budget
    10
    """

    non_finite: Literal["stop", "skip", "roll-back"] = "stop"
    budget: NonNegativeInt = 10
    out_of_memory: Literal["split", "stop"] = "split"
    disk_full: Literal["stop", "wait"] = "stop"
    patience: NonNegativeFloat = 600.0
    grace: PositiveFloat = 120.0
    timeout: PositiveFloat = 600.0
    watch: NonNegativeInt = 0


class FileSource(Section):
    """A file or folder that comes from elsewhere.

    Args:
        path: Where the config expects it.
        get: How to get it: a command, or a sentence.
        licence: Of what is in it.

    >>> FileSource(path="/data/w", get="anyloom fit mini --stage encoders").path.name
    'w'
    """

    path: Path
    get: str
    licence: str = ""


class ProjectConfig(Section):
    """One configuration: what to build, what to train it on, how.

    Args:
        model: Section of :class:`anyloom.network.config.ModelConfig`.
        module: The training module component; trains the assembled model by default.
        data: Section of :class:`DataConfig`.
        faults: Section of :class:`FaultConfig`.
        trainer: Options of ``lightning.Trainer``; ``callbacks``, ``logger`` and ``strategy`` as in LightningCLI.
        ckpt_path: Checkpoint to resume from; ``last`` continues where the last run stopped, if a ModelCheckpoint
            with a ``dirpath`` and ``save_last`` was among the callbacks.
        result: Folder where the trained part or model is written when fitting ends. ``validate``, ``test`` and
            ``predict`` read it, unless ``ckpt_path`` says otherwise or it is not there yet.
        seed_everything: Seed of all random number generators, below 2^32.
        stages: Further configs by name, run one after another by ``anyloom fit --stage all``; each overrides the
            sections above.
        files: What the sections above read and the config does not ship, by a key of the user's choice. Named when it
            is missing.
        suite: Section of :class:`anyloom.evaluation.suite.Suite`: the file is an evaluation suite, and trains nothing.
        variables: Values of the user's own for interpolation, ``${variables.x}``.

    >>> ProjectConfig(data={"batch_size": 4}).data.batch_size
    4
    """

    model: dict[str, Any] = Field(default_factory=dict)
    module: dict[str, Any] = Field(default_factory=lambda: {"name": "any-to-any"})
    data: DataConfig = DataConfig()
    faults: FaultConfig = FaultConfig()
    trainer: dict[str, Any] = Field(default_factory=dict)
    ckpt_path: str | None = None
    result: str | None = None
    seed_everything: int = Field(0, ge=0, lt=2**32)
    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)
    files: dict[str, FileSource] = Field(default_factory=dict)
    suite: dict[str, Any] | None = None
    variables: dict[str, Any] = Field(default_factory=dict)
