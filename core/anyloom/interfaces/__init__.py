"""The interfaces between the framework and its parts: one class per kind of component."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyloom.interfaces.component import Component, ComponentConfig, NeuralComponent
    from anyloom.interfaces.dataset import (
        DatasetBuilder,
        Record,
        Sample,
        Samples,
        Source,
        Stream,
        Task,
        TaskSamples,
    )
    from anyloom.interfaces.decoder import Decoder
    from anyloom.interfaces.encoder import Encoder
    from anyloom.interfaces.feature_space import FeatureSpace
    from anyloom.interfaces.llm import LLM, LLMOutput, Tokenizer
    from anyloom.interfaces.metric import Evaluated, Metric, Score, ValueInfo
    from anyloom.interfaces.modality import ModalityIO
    from anyloom.interfaces.module import TrainingModule
    from anyloom.interfaces.projector import Projector

__all__ = [
    "LLM",
    "Component",
    "ComponentConfig",
    "DatasetBuilder",
    "Decoder",
    "Encoder",
    "Evaluated",
    "FeatureSpace",
    "LLMOutput",
    "Metric",
    "ModalityIO",
    "NeuralComponent",
    "Projector",
    "Record",
    "Sample",
    "Samples",
    "Score",
    "Source",
    "Stream",
    "Task",
    "TaskSamples",
    "Tokenizer",
    "TrainingModule",
    "ValueInfo",
    "interface",
]

_HOMES = {
    "Component": "component",
    "ComponentConfig": "component",
    "NeuralComponent": "component",
    "DatasetBuilder": "dataset",
    "Sample": "dataset",
    "Samples": "dataset",
    "Record": "dataset",
    "Source": "dataset",
    "Stream": "dataset",
    "Task": "dataset",
    "TaskSamples": "dataset",
    "Decoder": "decoder",
    "Encoder": "encoder",
    "FeatureSpace": "feature_space",
    "LLM": "llm",
    "LLMOutput": "llm",
    "Tokenizer": "llm",
    "Evaluated": "metric",
    "Metric": "metric",
    "Score": "metric",
    "ValueInfo": "metric",
    "ModalityIO": "modality",
    "TrainingModule": "module",
    "Projector": "projector",
}

_BY_KIND = {
    "modality": "ModalityIO",
    "encoder": "Encoder",
    "projector": "Projector",
    "llm": "LLM",
    "decoder": "Decoder",
    "dataset": "DatasetBuilder",
    "metric": "Metric",
    "module": "TrainingModule",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def interface(kind: str) -> type[Any]:
    """Return the interface class of a kind of component."""
    cls: type[Any] = __getattr__(_BY_KIND[kind])
    return cls
