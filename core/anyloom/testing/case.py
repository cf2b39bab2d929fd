"""What the kit needs to know about one component: its name, tiny options and inputs to try it with."""

from __future__ import annotations

import unittest
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from anyloom.building import component_class, import_class
from anyloom.conversation.segments import Media
from anyloom.discovery import ComponentSpec, get_registry
from anyloom.discovery.targets import is_class_path
from anyloom.interfaces.dataset import Sample
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.interfaces.metric import Evaluated
from anyloom.options import validate

__all__ = [
    "BaselineCase",
    "Case",
    "CouplerCase",
    "DatasetCase",
    "DecoderCase",
    "EncoderCase",
    "LLMCase",
    "LossCase",
    "MetricCase",
    "ModalityCase",
    "ModuleCase",
    "ProjectorCase",
    "RepresentationCase",
]


@dataclass(frozen=True)
class Case:
    """One component under test. Use the class of its kind.

    Args:
        name: Registered name, or a dotted class path; what a record says is checked for registered names only.
        kind: Kind of component.
        options: Options that make it tiny: a few thousand parameters, built and run in well under a second.
        expected_failures: Checks that this component fails on purpose, by name, with the reason.

    >>> Case("mlp", kind="projector").cls.__name__
    'MLPProjector'
    """

    name: str
    _: KW_ONLY
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    expected_failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def cls(self) -> type[Any]:
        """The component's class. Its author names it here, so a class path is right for every kind."""
        if is_class_path(self.name) and not get_registry().provides(self.kind, self.name):
            module, _, attribute = self.name.rpartition(".")
            return import_class(f"{module}:{attribute}", self.kind, label="class path of the case", where="case")
        return component_class(self.kind, self.name, where="case")

    @property
    def spec(self) -> ComponentSpec:
        """The component's record.

        Raises:
            unittest.SkipTest: The case names a class, which has no record.
        """
        if is_class_path(self.name):
            raise unittest.SkipTest("only for components that a plugin registers")
        return get_registry().find(self.kind, self.name, where="case")

    @property
    def arguments(self) -> dict[str, Any]:
        """Constructor arguments beside the options."""
        return {}

    def build(self, **more: Any) -> Any:
        """Build the component, with more options."""
        cls = self.cls
        return cls(validate(cls.Config, {**self.options, **more}, where="case"), **self.arguments)


@dataclass(frozen=True)
class EncoderCase(Case):
    """An encoder.

    Args:
        media: At least two different media of each modality to try.

    >>> media = [Media("picture", key=key) for key in "ab"]
    >>> EncoderCase("mine", options={"layers": 1}, media=media).kind
    'encoder'
    """

    kind: str = field(default="encoder", init=False)
    media: Sequence[Media]


@dataclass(frozen=True)
class DecoderCase(Case):
    """A decoder.

    Args:
        media: At least two different targets of its modality.
        sampling: Options of its ``Sampling`` under which it makes media quickly.
        uses_chance: Whether two seeds make two media; a decoder that draws nothing makes one.
        learning_rate: AdamW's, for learning one sample by heart.
        learning_steps: Steps of it.

    >>> media = [Media("picture", key=key) for key in "ab"]
    >>> DecoderCase("mine", media=media, sampling={"denoising_steps": 2}, uses_chance=False).learning_steps
    20
    """

    kind: str = field(default="decoder", init=False)
    media: Sequence[Media]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    uses_chance: bool = True
    learning_rate: float = 1e-2
    learning_steps: int = 20


@dataclass(frozen=True)
class CouplerCase(Case):
    """A coupler.

    Args:
        decoders: The two decoders that it is tried with.
    """

    kind: str = field(default="coupler", init=False)
    decoders: tuple[DecoderCase, DecoderCase]

    @property
    def arguments(self) -> dict[str, Any]:
        """The two decoders, built."""
        return {"decoders": [case.build() for case in self.decoders]}


@dataclass(frozen=True)
class BaselineCase(Case):
    """A baseline.

    Args:
        questions: At least one sample that it answers, with the target that it must not see.
        training: What :meth:`anyloom.interfaces.Baseline.prepare` gets.

    >>> from anyloom.conversation import Conversation
    >>> BaselineCase("mine", questions=[Sample(Conversation([]), "chat")]).training
    ()
    """

    kind: str = field(default="baseline", init=False)
    questions: Sequence[Sample]
    training: Sequence[Sample] = ()


@dataclass(frozen=True)
class ProjectorCase(Case):
    """A projector.

    Args:
        in_dim: Width to try.
        out_dim: Width to try.

    >>> ProjectorCase("mlp", options={"hidden_dim": 8}).build().out_dim
    6
    """

    kind: str = field(default="projector", init=False)
    in_dim: int = 8
    out_dim: int = 6

    @property
    def arguments(self) -> dict[str, Any]:
        """Both widths."""
        return {"in_dim": self.in_dim, "out_dim": self.out_dim}


@dataclass(frozen=True)
class RepresentationCase(Case):
    """A representation.

    Args:
        given: Space of the features that are read.
        target: Space of the features that are predicted; by default the same.
        hidden_size: Width of the language model to try.

    >>> type(RepresentationCase("parallel").build()).__name__
    'Parallel'
    """

    kind: str = field(default="representation", init=False)
    given: FeatureSpace = field(default_factory=lambda: FeatureSpace(name="toy", dim=4, tokens=3))
    target: FeatureSpace | None = None
    hidden_size: int = 8

    @property
    def predicted(self) -> FeatureSpace:
        """The space of what is predicted."""
        return self.target or self.given

    @property
    def arguments(self) -> dict[str, Any]:
        """Both spaces and the width."""
        return {"given": self.given, "target": self.predicted, "hidden_size": self.hidden_size}


@dataclass(frozen=True)
class LossCase(Case):
    """An extra term of the loss.

    Args:
        spaces: Feature spaces of what is predicted, by modality.
        hidden_size: Width of the language model to try.

    >>> type(LossCase("info-nce").build()).__name__
    'InfoNCE'
    """

    kind: str = field(default="loss", init=False)
    spaces: Mapping[str, FeatureSpace] = field(
        default_factory=lambda: {"toy": FeatureSpace(name="toy", dim=4, tokens=3)}
    )
    hidden_size: int = 8


@dataclass(frozen=True)
class LLMCase(Case):
    """A language model.

    Args:
        words: A plain text whose tokens exist in the tokenizer.

    >>> LLMCase("mine", words="hello").kind
    'llm'
    """

    kind: str = field(default="llm", init=False)
    words: str = "make it blue, then tell me what it is"


@dataclass(frozen=True)
class DatasetCase(Case):
    """A dataset builder.

    Args:
        splits: Splits that it has.
        look_at: So many samples of a split are looked at.

    >>> DatasetCase("conversations", options={"train": "a.jsonl"}, splits=("train",)).look_at
    8
    """

    kind: str = field(default="dataset", init=False)
    splits: Sequence[str] = ("train",)
    look_at: int = 8


@dataclass(frozen=True)
class MetricCase(Case):
    """A metric.

    Args:
        evaluated: At least three evaluated samples that the metric wants.
        model: What :meth:`anyloom.interfaces.Metric.prepare` is given, if the metric asks something of it.

    >>> from anyloom.conversation import Conversation, Message
    >>> answer = Message("assistant", "yes?")
    >>> MetricCase("mine", evaluated=3 * [Evaluated(Sample(Conversation([]), "chat"), answer)]).model is None
    True
    """

    kind: str = field(default="metric", init=False)
    evaluated: Sequence[Evaluated]
    model: Any = None


@dataclass(frozen=True)
class ModalityCase(Case):
    """A modality.

    Args:
        media: Media to write and read again.
        tolerance: Largest difference of a value that was written and read again, 0 for a format without loss.

    >>> ModalityCase("mine", media=[Media("mine", key="a")], tolerance=1 / 255).kind
    'modality'
    """

    kind: str = field(default="modality", init=False)
    media: Sequence[Media]
    tolerance: float = 0.0


@dataclass(frozen=True)
class ModuleCase(Case):
    """A training module.

    Args:
        samples: Enough samples for two batches of two.
        model: The ``model:`` section of a config.
    """

    kind: str = field(default="module", init=False)
    samples: Sequence[Sample]
    model: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """The model section."""
        return {"model": dict(self.model)}
