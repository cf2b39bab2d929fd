"""Any metric of torchmetrics, named in a config, over evaluated samples."""

from __future__ import annotations

import copy
import inspect
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torchmetrics import Metric as TorchMetric

from anyloom.conversation import Media
from anyloom.discovery.targets import import_object, is_class_path
from anyloom.errors import ConfigError, MediaError, PluginError
from anyloom.interfaces import Evaluated, Sample, ValueInfo
from anyloom.interfaces.nested_metrics import can_be_joined, has_seen, join
from anyloom_metrics.metrics.asked import (
    answered,
    fault_of,
    identity_of,
    pair_at_one_rate,
    prompt_of,
    target_of,
    wants_target,
)
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.pairs import media_of
from anyloom_metrics.metrics.rows import RowConfig, RowMetric
from anyloom_metrics.metrics.texts import references_of
from anyloom_metrics.preparation.pictures import picture_bytes, unit_picture

__all__ = ["TorchMetrics"]

_GROUP = "all"
_LISTS_OF_TEXTS = re.compile(r"(Sequence|list)\[.*(Sequence|list)\[str")
_REFUSALS = (ValueError, RuntimeError, TypeError, KeyError, IndexError, AttributeError)


class TorchMetrics(RowMetric):
    """A metric of torchmetrics, given one sample at a time, so that batches do not count.

    Samples are spread over blocks by who they are, each with a copy of the metric. The value is that of all blocks
    joined; the standard error is the delete-one-block jackknife. A metric whose states cannot be joined has one block
    and no standard error.

    >>> from anyloom.conversation import Conversation, Message
    >>> grey, darker = (Media("image", torch.full((3, 16, 16), level)) for level in (0.5, 0.4))
    >>> asked = Sample(Conversation([Message("user", "all grey"), Message("assistant", [grey])]), "draw")
    >>> options = {"class_path": "torchmetrics.image.PeakSignalNoiseRatio", "init_args": {"data_range": 1.0}}
    >>> metric = TorchMetrics(TorchMetrics.Config(**options, modality="image"))
    >>> metric.update([Evaluated(asked, Message("assistant", [darker]))])
    >>> round(metric.compute()["all/value"].item(), 3)
    20.0
    """

    class Config(RowConfig):
        """Options.

        Args:
            class_path: The metric's class, such as ``torchmetrics.image.PeakSignalNoiseRatio``. Must be a subclass of
                ``torchmetrics.Metric``; code that a config names is run.
            init_args: Its arguments; a mapping with ``class_path`` in it is a metric again (for wrappers).
            modality: What it looks at; ``text`` for texts.
            inputs: ``pair`` calls ``update(answer, target)``, ``sets`` calls ``update(x, real=...)`` for targets and
                answers, ``answers`` calls ``update(answer)``, ``text`` calls ``update(answer, prompt)``.
            pictures: ``float`` in 0..1 or ``uint8``.
            blocks: Blocks for the standard error.
        """

        class_path: str
        init_args: dict[str, Any] = Field(default_factory=dict)
        modality: str
        inputs: Literal["pair", "sets", "answers", "text"] = "pair"
        pictures: Literal["float", "uint8"] = "float"
        blocks: PositiveInt = 10

    config: Config
    blocks: Any

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.needs_media = config.modality != "text"
        first = _metric({"class_path": config.class_path, "init_args": config.init_args}, where="metric")
        count = config.blocks if can_be_joined(first) else 1
        self.blocks = nn.ModuleList([first, *(copy.deepcopy(first) for _ in range(count - 1))])
        lower = first.higher_is_better is False
        self.measures: Mapping[str, ValueInfo] = {
            "value": ValueInfo(
                type(first).__name__,
                f"{config.class_path} of torchmetrics.",
                better="lower" if lower else "higher",
                form="number",
            )
        }

    def contract(self) -> Contract:
        """What is given to the metric."""
        given = {"pair": ("answer", "target"), "sets": ("answer", "target"), "answers": ("answer",)}
        picture = (0, 1) if self.config.pictures == "float" else (0, 255)
        return Contract(
            given.get(self.config.inputs, ("answer", "prompt")),
            paired=self.config.inputs in ("pair", "text"),
            value_range=picture if self.config.modality == "image" else None,
            preset=self.config.class_path,
        )

    def wants(self, sample: Sample) -> bool:
        """Samples whose target is of the modality, or has text."""
        if self.config.modality == "text":
            return super().wants(sample) and bool(sample.conversation.messages[-1].text.strip())
        return wants_target(sample, self.config.modality, self.config.tasks)

    def members(self) -> dict[str, list[int]]:
        """All samples; the metric has no parts by group."""
        count = len(self.joined("identities"))
        return {_GROUP: list(range(count))} if count else {}

    def update(self, evaluated: list[Evaluated]) -> None:
        """Give samples to the metric, one by one.

        Raises:
            anyloom.errors.MediaError: The metric refuses a sample.
        """
        for one in evaluated:
            reason = self._fault(one)
            self.note(one.sample, reason)
            if reason:
                continue
            block = self.blocks[identity_of(one.sample) % len(self.blocks)]
            try:
                for arguments, options in self._calls(one):
                    block.update(*arguments, **options)
            except _REFUSALS as error:
                first = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise MediaError(
                    f"{type(block).__name__} cannot take this sample ({first})",
                    where=one.sample.key or one.sample.task,
                    fix="check 'inputs', 'pictures' and 'init_args'",
                ) from error

    def compute(self) -> dict[str, Tensor]:
        """``all/value``, with ``all/count`` and ``all/flagged``; several values have names or numbers of their own."""
        counts = self.counts()
        if not counts or not counts[f"{_GROUP}/count"]:
            return counts
        found = {n: v for n, v in self._values(range(len(self.blocks))).items() if bool(v.isfinite())}
        return {f"{_GROUP}/{name}": value for name, value in found.items()} | counts

    def found_errors(self) -> dict[str, float]:
        """Jackknife over blocks that have samples."""
        identities = self.joined("identities")[self.joined("reasons") == 0]
        filled = sorted({int(i) % len(self.blocks) for i in identities})
        if len(filled) < 3:
            return {}
        left_out = [self._values([b for b in range(len(self.blocks)) if b != one]) for one in filled]
        found = {}
        for name in left_out[0]:
            values = torch.stack([v[name].double() for v in left_out])
            if bool(values.isfinite().all()):
                spread = (values - values.mean()).square().sum()
                found[f"{_GROUP}/{name}"] = float((spread * (len(filled) - 1) / len(filled)).sqrt())
        return found

    def _values(self, blocks: Sequence[int]) -> dict[str, Tensor]:
        """Values of some blocks joined, over all processes."""
        filled = [self.blocks[b] for b in blocks if has_seen(self.blocks[b])]
        whole = copy.deepcopy(filled[0] if filled else self.blocks[blocks[0]])
        for block in filled[1:]:
            join(whole, block)
        with warnings.catch_warnings():  # this process may have seen no sample of these blocks
            warnings.filterwarnings("ignore", message=".*was called before the ``update`` method")
            return _named(whole.compute())

    def _fault(self, evaluated: Evaluated) -> str:
        if self.config.modality == "text":
            return "" if references_of(evaluated) else "no reference"
        fault = fault_of(answered(evaluated, self.config.modality))
        if not fault and self.config.inputs in ("pair", "sets"):
            fault = fault_of(target_of(evaluated.sample, self.config.modality), reference=True)
        if not fault and self.config.inputs == "text":
            fault = "" if prompt_of(evaluated.sample) else "no text"
        return fault

    def _calls(self, evaluated: Evaluated) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Arguments of each call of ``update`` that the sample asks for."""
        inputs = self.config.inputs
        if self.config.modality == "text":
            text = [evaluated.answer.text]
            return [((text, self._references(evaluated)) if inputs == "pair" else (text,), {})]
        answer = media_of(answered(evaluated, self.config.modality))
        if inputs == "answers":
            return [((self._tensor(answer),), {})]
        if inputs == "text":
            return [((self._tensor(answer), [prompt_of(evaluated.sample)]), {})]
        target_media = media_of(target_of(evaluated.sample, self.config.modality))
        if "sample_rate" in answer.meta or "sample_rate" in target_media.meta:
            pair_at_one_rate(answer, target_media)
        made, real = self._tensor(answer), self._tensor(target_media)
        return [((made, real), {})] if inputs == "pair" else [((real,), {"real": True}), ((made,), {"real": False})]

    def _references(self, evaluated: Evaluated) -> list[Any]:
        """References of one text in the form that the metric's ``update`` declares.

        Some metrics would take a plain text for a list of letters, and give a number that is wrong.

        Raises:
            anyloom.errors.MediaError: There are several, and the metric takes one.
        """
        references = references_of(evaluated)
        parameters = list(inspect.signature(type(self.blocks[0]).update).parameters.values())
        form = re.sub(r"[a-z_]+\.", "", str(parameters[2].annotation)) if len(parameters) > 2 else ""
        if _LISTS_OF_TEXTS.search(form):
            return [references]
        if len(references) > 1:
            raise MediaError(
                f"{len(references)} references, where {type(self.blocks[0]).__name__} takes one",
                where=evaluated.sample.key or evaluated.sample.task,
            )
        return references

    def _tensor(self, media: Media) -> Tensor:
        """A media item as a batch of one, on the metric's device."""
        data = media.tensor().detach()
        if data.ndim == 3 and data.shape[0] == 3:
            form = unit_picture if self.config.pictures == "float" else picture_bytes
            data = form(data, media.path or media.key)
        return data[None].to(self.device)


def _metric(options: Mapping[str, Any], *, where: str) -> Any:
    """Build a metric of torchmetrics from ``{class_path, init_args}``.

    Raises:
        anyloom.errors.PluginError: The class cannot be imported or is no metric of torchmetrics.
        anyloom.errors.ConfigError: It does not take these arguments.
    """
    path, arguments = str(options["class_path"]), dict(options.get("init_args") or {})
    if unknown := set(options) - {"class_path", "init_args"}:
        raise ConfigError(
            f"unknown keys {', '.join(sorted(unknown))}", where=where, fix="give class_path and init_args"
        )
    if not is_class_path(path):
        raise ConfigError(f"{path!r} is no class path", where=f"{where}.class_path", fix="give package.module.Class")
    module, _, name = path.rpartition(".")
    cls = import_object(f"{module}:{name}", label="class path in the config", where=f"{where}.class_path")
    if not (isinstance(cls, type) and issubclass(cls, TorchMetric)):
        raise PluginError(f"{path} is not a subclass of torchmetrics.Metric", where=f"{where}.class_path")
    for key, value in arguments.items():
        if isinstance(value, Mapping) and "class_path" in value:
            arguments[key] = _metric(value, where=f"{where}.init_args.{key}")
    try:
        return cls(**arguments)
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"{path} cannot be built ({first})", where=f"{where}.init_args") from error


def _named(value: Any) -> dict[str, Tensor]:
    """Values by name: ``value`` for a number, keys of a mapping, numbered ones for the rest."""
    if isinstance(value, Mapping):
        return {f"{key}": torch.as_tensor(v).detach().float().cpu() for key, v in value.items()}
    parts = list(value) if isinstance(value, tuple | list) else [value]
    flat = torch.cat([torch.as_tensor(p).detach().float().cpu().flatten() for p in parts])
    return {"value" if not i else f"value_{i}": v for i, v in enumerate(flat)}
