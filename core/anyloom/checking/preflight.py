"""Looks over a whole configuration before any weight loads, and collects everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from anyloom.building import build_named, building_once, component_class, registered_names_only
from anyloom.checking.cache_rules import frozen_problems, store_notes, worker_problems
from anyloom.checking.inspection import (
    MemoryEstimate,
    ModelInspection,
    NeededFile,
    files_of,
    inspect_model,
    neural_parts,
    stage_memory,
    trained_parts,
)
from anyloom.checking.optimizer_classes import try_classes
from anyloom.checking.per_rank import Held
from anyloom.checking.plugin_checks import plugin_problems
from anyloom.checking.trainer_options import trainer_problems
from anyloom.checking.trial import trial_problems
from anyloom.checking.weights import begin_problems, weight_problems
from anyloom.config.compose import compose
from anyloom.config.files import used_files
from anyloom.config.packages import model_folder
from anyloom.config.schema import FeatureStoreConfig, FileSource, OptimizerConfig, ProjectConfig
from anyloom.data.mixing import without_mixing
from anyloom.discovery import get_registry
from anyloom.errors import AnyloomError, ConfigError
from anyloom.interfaces.component import NeuralComponent
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.network.assembly import keyed
from anyloom.network.config import ModelConfig
from anyloom.network.network import Network
from anyloom.network.spaces import space_error
from anyloom.options import split_name, validate

__all__ = ["Findings", "look_over", "section_problems"]

_NEURAL = ("encoder", "decoder", "llm")
_OTHER = ("metric", "dataset")
_DEFAULT_MODULE = "any-to-any"


def section_problems(sections: Mapping[str, Any]) -> list[AnyloomError]:
    """What is wrong with the sections themselves and with ``trainer:``, before any component is asked.

    >>> [problem.where for problem in section_problems({"data": {"batch_size": 0}, "trainer": {"max_step": 3}})]
    ['data.batch_size', 'trainer.max_step']
    """
    trainer = sections.get("trainer")
    problems = _attempt(lambda: validate(ProjectConfig, sections, where=""))
    problems += worker_problems(sections)
    return [*problems, *(trainer_problems(trainer) if isinstance(trainer, Mapping) else [])]


@dataclass
class Findings:
    """What was found.

    Args:
        problems: Everything that is wrong, each once.
        missing: Files that are not there, and that no stage of the config writes.
        made: Files that a stage will write, with its name.
        models: The models, by stage; ``""`` without one. Equal ``model:`` sections are listed once.
        sources: The used entries of ``files:``, by their keys.
        stages: Memory of each stage that trains components of its own, before activations.
        held: Components of these stages.
        notes: What else will happen, a line each.

    >>> Findings(problems=[ConfigError("too small", where="data.batch_size")]).ok
    False
    """

    problems: list[AnyloomError] = field(default_factory=list)
    missing: list[NeededFile] = field(default_factory=list)
    made: list[tuple[NeededFile, str]] = field(default_factory=list)
    models: dict[str, ModelInspection] = field(default_factory=dict)
    sources: dict[str, FileSource] = field(default_factory=dict)
    stages: dict[str, MemoryEstimate] = field(default_factory=dict)
    held: dict[str, list[Held]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the config can be used as it is."""
        return not (self.problems or self.missing)

    def source_of(self, path: Path) -> FileSource | None:
        """What ``files:`` says about a file or folder, if anything."""
        return next((entry for entry in self.sources.values() if path.is_relative_to(entry.path)), None)


def look_over(
    sources: Sequence[str | Path | Mapping[str, Any]],
    overrides: Sequence[str] = (),
    *,
    safe: bool = False,
    trust: bool = False,
) -> Findings:
    """Check every section of a config, and every stage in it; see :func:`anyloom.config.compose.compose`."""
    with registered_names_only(safe), building_once():
        return _look_over(partial(compose, sources, overrides, safe=safe, trust=trust, strict=True))


def _look_over(composing: Callable[..., dict[str, Any]]) -> Findings:
    findings = Findings()
    composed: dict[str, dict[str, Any]] = {}

    def add(stage: str | None) -> None:
        composed[stage or ""] = composing(stage=stage)

    findings.problems += _attempt(partial(add, None))
    stages = composed.get("", {}).get("stages") or {}
    for stage in stages:
        findings.problems += _attempt(partial(add, stage))
    if stages and not composed[""].get("model"):
        del composed[""]
    results = {str(s["result"]): stage for stage, s in composed.items() if s.get("result")}
    tried: set[Hashable] = set()
    for stage, sections in composed.items():
        sections.pop("stages", None)
        _Check(findings, stage, sections, results, tried).run()
    unique = {str(p): p for p in findings.problems}
    findings.problems = list(unique.values())
    return findings


@dataclass
class _Check:
    """Checks the sections of one stage."""

    findings: Findings
    stage: str
    sections: dict[str, Any]
    results: dict[str, str]
    tried: set[Hashable]

    def run(self) -> None:
        problems = self.findings.problems
        problems += section_problems(self.sections)
        problems += _attempt(self._model)
        problems += _attempt(self._module)
        problems += _attempt(self._data)
        problems += _attempt(self._sources)
        checkpoint = self.sections.get("ckpt_path")
        if isinstance(checkpoint, str) and checkpoint not in ("last", "best", "hpc", "registry"):
            self._files([NeededFile("ckpt_path", Path(checkpoint), Path(checkpoint).exists())])

    def _model(self) -> None:
        section = self.sections.get("model") or {}
        name, options = split_name(self.sections.get("module", _DEFAULT_MODULE), where="module")
        if not section and name != _DEFAULT_MODULE:
            return
        config = validate(ModelConfig, section, where="model")
        inspection = next((seen for seen in self.findings.models.values() if seen.config == config), None)
        if inspection is None:
            inspection = self._inspected(config)
        if inspection.model is not None and name == _DEFAULT_MODULE:
            if options.get("cache_features"):
                self.findings.problems += frozen_problems(inspection.model.parts)
            self.findings.problems += _attempt(partial(self._kept_features, options, inspection.model), "module")
            begin = options.get("start_from")
            folder, only = (begin.get("folder"), begin.get("parts")) if isinstance(begin, Mapping) else (begin, None)
            if isinstance(folder, str):
                given = [str(part) for part in only] if isinstance(only, list) else []
                self.findings.problems += begin_problems(
                    inspection.model.parts, model_folder(folder), "module.start_from", given
                )

    def _kept_features(self, options: Mapping[str, Any], model: Network) -> None:
        option = options.get("cache_features")
        if isinstance(option, Mapping):
            option = validate(FeatureStoreConfig, option, where="module.cache_features")
        if isinstance(option, str | Path | FeatureStoreConfig):
            notes = store_notes(Path(option) if isinstance(option, str) else option, model)
            self.findings.notes += [note for note in notes if note not in self.findings.notes]

    def _inspected(self, config: ModelConfig) -> ModelInspection:
        """Build a model section that no stage before had, and ask the plugins about it."""
        inspection = inspect_model(config)
        self.findings.models[self.stage] = inspection
        self.findings.problems += inspection.problems
        self._files(inspection.files)
        for name in config.modalities:
            found = partial(get_registry().find, "modality", name)
            self.findings.problems += _attempt(found, f"model.modalities.{name}")
        if inspection.model is not None:
            self.findings.problems += plugin_problems(inspection.model, self.sections)
            self.findings.problems += trial_problems(inspection.model, self.tried)
        return inspection

    def _module(self) -> None:
        name, options = split_name(self.sections.get("module", _DEFAULT_MODULE), where="module")
        self.findings.problems += _attempt(partial(self._module_options, name, options))
        built = self._components(options, "module")
        encoder, decoder = built.get("module.encoder"), built.get("module.decoder")
        if isinstance(encoder, Encoder) and isinstance(decoder, Decoder):
            error = space_error(encoder, decoder, where="module.decoder")
            self.findings.problems += [] if error is None else [error]
        if isinstance(decoder, Decoder) and isinstance(begin := options.get("start_from"), str):
            self.findings.problems += begin_problems(decoder, Path(begin), "module.start_from")
        if any(isinstance(component, NeuralComponent) for component in built.values()):
            self.findings.stages[self.stage] = stage_memory(built)
            self.findings.held[self.stage] = _held(built)

    def _module_options(self, name: str, options: Mapping[str, Any]) -> None:
        cls = component_class("module", name, where="module")
        config = validate(cls.Config, options, where="module")
        self._files(files_of(_Configured(config), "module"))
        optimizer = getattr(config, "optimizer", None)
        if isinstance(optimizer, OptimizerConfig):
            try_classes(optimizer, getattr(config, "scheduler", None))

    def _components(self, options: Mapping[str, Any], where: str) -> dict[str, object]:
        """Build the components among options: those whose key is a kind, or a kind's plural."""
        built: dict[str, object] = {}
        for kind in (*_NEURAL, *_OTHER):
            single, several = options.get(kind), options.get(f"{kind}s")
            entries = {f"{where}.{kind}": single} if isinstance(single, Mapping) else {}
            if isinstance(several, Mapping):
                entries |= {f"{where}.{kind}s.{key}": value for key, value in several.items()}
            for key, value in entries.items():
                self.findings.problems += _attempt(partial(_build_into, built, kind, value, key), key)
        for key, component in built.items():
            if not key.endswith(".decoder"):  # a stage that trains a decoder does not read its weights
                self._files(files_of(component, key))
                self.findings.problems += weight_problems(component, key)
        return built

    def _data(self) -> None:
        section = self.sections.get("data")
        datasets = section.get("datasets") if isinstance(section, Mapping) else None
        if not datasets:
            raise ConfigError("no dataset is named", where="data.datasets", fix="add one, see 'anyloom plugins'")
        self._components({"datasets": without_mixing(datasets)}, "data")

    def _sources(self) -> None:
        used = used_files(self.sections)
        self.findings.sources |= used
        listed = [file.path for file in self.findings.missing]
        entries = [(k, e.path) for k, e in used.items() if not any(path.is_relative_to(e.path) for path in listed)]
        self._files([NeededFile(f"files.{key}", path, path.exists()) for key, path in entries])

    def _files(self, files: Sequence[NeededFile]) -> None:
        for file in files:
            if file.present or file.fetched:
                continue
            stage = next((s for r, s in self.results.items() if file.path.is_relative_to(r)), None)
            if stage is not None:
                self.findings.made += [(file, stage)] if (file, stage) not in self.findings.made else []
            elif file not in self.findings.missing:
                self.findings.missing.append(file)


@dataclass
class _Configured:
    """Stands for a component that is not built."""

    config: BaseModel


def _build_into(built: dict[str, object], kind: str, options: Mapping[str, Any], where: str) -> None:
    with torch.device("meta") if kind in _NEURAL else nullcontext():
        built[where] = build_named(kind, options, where=where)


def _held(built: Mapping[str, object]) -> list[Held]:
    """What a stage holds, and which of it may be trained."""
    trained = {id(part) for part in trained_parts(built)}
    return [Held(part, id(part) in trained, every=id(part) in trained) for part in neural_parts(built)]


def _attempt(action: Callable[[], object], key: str = "") -> list[AnyloomError]:
    """Run an action and return what it raised as problems."""
    try:
        action()
    except AnyloomError as error:
        return keyed(error, key)
    except Exception as error:  # a plugin's own; shown as a problem of the key
        if not key:
            raise
        return keyed(error, key)
    return []
