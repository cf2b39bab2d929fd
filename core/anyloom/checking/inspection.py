"""What a model section would build: assembled on the meta device, so no weight is read and no memory is taken."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from anyloom.checking.likeness import likeness
from anyloom.checking.weights import weight_problems
from anyloom.discovery import get_registry
from anyloom.errors import AnyloomError
from anyloom.interfaces.component import NeuralComponent
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.model.model import AnyToAnyModel
from anyloom.network.assembly import assemble_partly, keyed
from anyloom.network.config import ModelConfig
from anyloom.network.parts import Part
from anyloom.network.spaces import feature_spaces
from anyloom.options import split_name
from anyloom.storage.saved_part import split_part

__all__ = [
    "MemoryEstimate",
    "ModelInspection",
    "NeededFile",
    "PartRecord",
    "files_of",
    "inspect_model",
    "memory_choices",
    "neural_parts",
    "stage_memory",
    "trained_parts",
]

_ADAM_STATES = 2


@dataclass(frozen=True)
class PartRecord:
    """One part of a model.

    Args:
        key: YAML key.
        component: Registered name, or class path.
        package: Distribution that provides it; the top-level module of a class path.
        licence: As its record says; empty for a class path.
        parameters: Number of parameters.
        trainable: Number of those that training changes.
        size: Bytes of all parameters and buffers.
        trainable_size: Bytes of the trainable parameters.
        networks: Parameters of each of its modules that has some, by name.
        kind: Its kind.
        half_size: Bytes with all numbers of four bytes held in two.
        choices: Bytes under options that were not chosen; see ``NeuralComponent.memory_choices``.
        working: Bytes beside the weights that making one medium takes; see ``Decoder.working_bytes``.

    >>> part = PartRecord("model.llm", "mine", "anyloom-mine", "MIT", 10, 10, size=40, trainable_size=40)
    >>> MemoryEstimate.of([part]).training
    160
    """

    key: str
    component: str
    package: str
    licence: str
    parameters: int
    trainable: int
    size: int
    trainable_size: int
    networks: Mapping[str, int] = field(default_factory=dict)
    kind: str = ""
    half_size: int = 0
    choices: Mapping[str, int] = field(default_factory=dict)
    working: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class NeededFile:
    """A file or folder that a component reads.

    Args:
        key: YAML key of the component.
        path: The file.
        present: Whether it is there.
        fetched: Whether the component may fetch it when it is not.

    >>> NeededFile("model.llm", Path("llm.safetensors"), present=False).fetched
    False
    """

    key: str
    path: Path
    present: bool
    fetched: bool = False


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a model takes, without activations.

    Activations come on top: in training they grow with batch size, sequence length and depth, and with the decoder
    targets of a batch; in use with the key/value cache and one denoising step. A short run measures them.

    Args:
        weights: Parameters and buffers of all parts: what inference takes.
        gradients: One number per trainable parameter.
        optimizer: The two states AdamW keeps per trainable parameter.

    >>> MemoryEstimate(weights=40, gradients=40, optimizer=80).training
    160
    """

    weights: int
    gradients: int
    optimizer: int

    @classmethod
    def of(cls, parts: Iterable[PartRecord]) -> MemoryEstimate:
        """Add up the parts, each in its own precision."""
        listed = list(parts)
        trainable = sum(p.trainable_size for p in listed)
        return cls(sum(p.size for p in listed), trainable, _ADAM_STATES * trainable)

    @property
    def training(self) -> int:
        """Bytes that training takes before activations."""
        return self.weights + self.gradients + self.optimizer


def memory_choices(parts: Sequence[PartRecord]) -> dict[str, int]:
    """Bytes of all weights in use, by ways to take fewer: what commands offer, then options of the parts.

    >>> part = PartRecord("model.llm", "mine", "anyloom-mine", "MIT", 10, 10, 40, 40, kind="llm", half_size=20)
    >>> memory_choices([part])
    {'--dtype bfloat16': 20, 'both': 20}
    """

    def used(*, half: bool, offload: bool) -> int:
        sizes = [(p.kind, p.half_size if half else p.size) for p in parts]
        decoders = [size for kind, size in sizes if kind == "decoder"]
        largest = max(decoders, default=0)  # with --offload one at a time is where the rest is
        return sum(size for kind, size in sizes if kind != "decoder") + (largest if offload else sum(decoders))

    plain = used(half=False, offload=False)
    found = {
        "--dtype bfloat16": used(half=True, offload=False),
        "--offload": used(half=False, offload=True),
        "both": used(half=True, offload=True),
    }
    for part in parts:
        found |= {f"{part.key}.{how}": plain - part.size + size for how, size in part.choices.items()}
    return {how: size for how, size in found.items() if size < plain}


def stage_memory(built: Mapping[str, object]) -> MemoryEstimate:
    """Memory of a stage that trains components of its own: all but the encoder that gives a decoder its conditions.

    Args:
        built: The components on the meta device, by YAML key.

    >>> part = NeuralComponent(None)
    >>> part.weight = torch.nn.Parameter(torch.zeros(10))
    >>> stage_memory({"module.encoder": part})
    MemoryEstimate(weights=40, gradients=40, optimizer=80)
    """
    size = sum(p.numel() * p.element_size() for part in trained_parts(built) for p in part.parameters())
    return MemoryEstimate(sum(part.stored_bytes() for part in neural_parts(built)), size, _ADAM_STATES * size)


def neural_parts(built: Mapping[str, object]) -> list[NeuralComponent]:
    """Those of a stage's components that have parameters.

    >>> len(neural_parts({"encoder": NeuralComponent(None), "metric": object()}))
    1
    """
    return [part for part in built.values() if isinstance(part, NeuralComponent)]


def trained_parts(built: Mapping[str, object]) -> list[NeuralComponent]:
    """Those of a stage's components that it trains: all but the encoder that gives a decoder its conditions."""
    beside = any(key.endswith(".decoder") for key, part in built.items() if isinstance(part, NeuralComponent))
    kept = {key: part for key, part in built.items() if not (beside and key.endswith(".encoder"))}
    return neural_parts(kept)


@dataclass
class ModelInspection:
    """What was found.

    Args:
        config: The model section.
        problems: Everything that is wrong.
        parts: The parts that could be built.
        spaces: Feature space by modality.
        files: What the parts read.
        model: The model on the meta device, if nothing is wrong.
    """

    config: ModelConfig
    problems: list[AnyloomError]
    parts: list[PartRecord] = field(default_factory=list)
    spaces: dict[str, FeatureSpace] = field(default_factory=dict)
    files: list[NeededFile] = field(default_factory=list)
    model: AnyToAnyModel | None = None


def inspect_model(config: ModelConfig) -> ModelInspection:
    """Assemble a model on the meta device and describe it, as far as it can be built."""
    with torch.device("meta"):
        parts, problems = assemble_partly(config, catch=Exception)
    found = ModelInspection(config, problems)
    if not problems:
        try:
            with torch.device("meta"):
                found.model = AnyToAnyModel(config, load=False, parts=parts)
        except Exception as error:  # a component's method that does not work on the meta device, or a bug of it
            problems += keyed(error, "model")
    found.spaces = feature_spaces(config, parts) if not problems else {}
    for part in parts.components():
        found.parts.append(_record(part, _options(config, part.key)))
        found.files += files_of(part.component, part.key)
        found.problems += weight_problems(part.component, part.key)
    return found


def files_of(component: object, key: str) -> list[NeededFile]:
    """The files that a component names: its weights, and its options that are paths.

    >>> files_of(NeuralComponent(None), "model.llm")
    []
    """
    config = getattr(component, "config", None)
    options = {name: getattr(config, name, None) for name in getattr(type(config), "model_fields", {})}
    paths = [(f"{key}.{name}", value) for name, value in options.items() if isinstance(value, Path)]
    if isinstance(component, NeuralComponent):
        paths += [(key, path) for path in component.weight_files()]
    found = [NeededFile(k, path, split_part(path)[0].exists(), bool(options.get("download"))) for k, path in paths]
    nested = component.nested() if isinstance(component, NeuralComponent) else {}
    return found + [file for option, inner in nested.items() for file in files_of(inner, f"{key}.{option}")]


def _options(config: ModelConfig, key: str) -> Mapping[str, Any]:
    found: Any = config
    for part in key.split(".")[1:]:
        found = found[part] if isinstance(found, Mapping) else getattr(found, part)
    options: Mapping[str, Any] = found
    return options


def _record(part: Part, options: Mapping[str, Any]) -> PartRecord:
    component, _ = split_name(options, where=part.key)
    specs = [s for s in get_registry().components(part.kind) if s.name == component]
    parameters = list(part.component.parameters())
    trainable = [] if part.fixed else [p for p in parameters if p.requires_grad]
    return PartRecord(
        part.key,
        component,
        specs[0].package if specs else component.split(".")[0],
        specs[0].licence if specs else "",
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in trainable),
        part.component.stored_bytes(),
        sum(p.numel() * p.element_size() for p in trainable),
        {n: c for n, m in part.component.named_children() if (c := sum(p.numel() for p in m.parameters()))},
        part.kind,
        _half_size(part.component),
        part.component.memory_choices(),
        _working(part.component),
    )


def _half_size(component: NeuralComponent) -> int:
    """What is held in few bits already stays so."""
    saved = sum(t.numel() * (t.element_size() - 2) for t in _tensors(component) if t.dtype == torch.float32)
    plain = sum(t.numel() * t.element_size() for t in _tensors(component))
    return component.stored_bytes() - (saved if component.stored_bytes() == plain else 0)


_WORKING: Final[dict[Hashable, Mapping[str, int]]] = {}
"""What was counted, a few numbers for each kind of decoder: the stages of a config have them in common."""


def _tensors(component: NeuralComponent) -> list[torch.Tensor]:
    return [*component.parameters(), *component.buffers()]


def _working(component: NeuralComponent) -> Mapping[str, int]:
    if not isinstance(component, Decoder):
        return {}
    key = likeness(component)
    if key not in _WORKING:
        _WORKING[key] = _counted(component)
    return _WORKING[key]


def _counted(decoder: Decoder) -> Mapping[str, int]:
    try:
        with torch.device("meta"):
            return decoder.working_bytes()
    except Exception:  # what cannot be run without numbers is not told; a fault of it shows itself where it runs
        return {}
