"""The interfaces between the framework and its parts: one class per kind of component."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyloom.interfaces.baseline import Baseline, Question
    from anyloom.interfaces.component import Component, ComponentConfig, NeuralComponent
    from anyloom.interfaces.coupler import Coupler
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
    from anyloom.interfaces.decoder import Condition, Decoder
    from anyloom.interfaces.encoder import Encoder
    from anyloom.interfaces.feature_space import FeatureSpace
    from anyloom.interfaces.llm import LLM, KVCache, LLMInputs, LLMOutput, Piece, Tokenizer
    from anyloom.interfaces.loss import Loss, Seen, SeenMedia
    from anyloom.interfaces.metric import Evaluated, Metric, ModelView, Score, ValueInfo
    from anyloom.interfaces.modality import ModalityIO
    from anyloom.interfaces.module import TrainingModule
    from anyloom.interfaces.projector import Projector
    from anyloom.interfaces.representation import Before, Representation

__all__ = [
    "LLM",
    "Baseline",
    "Before",
    "Component",
    "ComponentConfig",
    "Condition",
    "Coupler",
    "DatasetBuilder",
    "Decoder",
    "Encoder",
    "Evaluated",
    "FeatureSpace",
    "KVCache",
    "LLMInputs",
    "LLMOutput",
    "Loss",
    "Metric",
    "ModalityIO",
    "ModelView",
    "NeuralComponent",
    "Piece",
    "Projector",
    "Question",
    "Record",
    "Representation",
    "Sample",
    "Samples",
    "Score",
    "Seen",
    "SeenMedia",
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
    "Baseline": "baseline",
    "Before": "representation",
    "Component": "component",
    "ComponentConfig": "component",
    "Condition": "decoder",
    "Coupler": "coupler",
    "DatasetBuilder": "dataset",
    "Question": "baseline",
    "Record": "dataset",
    "Sample": "dataset",
    "Samples": "dataset",
    "Source": "dataset",
    "Stream": "dataset",
    "Task": "dataset",
    "TaskSamples": "dataset",
    "Decoder": "decoder",
    "Encoder": "encoder",
    "Evaluated": "metric",
    "FeatureSpace": "feature_space",
    "KVCache": "llm",
    "LLM": "llm",
    "LLMInputs": "llm",
    "LLMOutput": "llm",
    "Loss": "loss",
    "Metric": "metric",
    "ModalityIO": "modality",
    "ModelView": "metric",
    "NeuralComponent": "component",
    "Piece": "llm",
    "Projector": "projector",
    "Representation": "representation",
    "Score": "metric",
    "Seen": "loss",
    "SeenMedia": "loss",
    "Tokenizer": "llm",
    "TrainingModule": "module",
    "ValueInfo": "metric",
}

_BY_KIND = {
    "modality": "ModalityIO",
    "encoder": "Encoder",
    "projector": "Projector",
    "representation": "Representation",
    "llm": "LLM",
    "decoder": "Decoder",
    "coupler": "Coupler",
    "loss": "Loss",
    "dataset": "DatasetBuilder",
    "metric": "Metric",
    "baseline": "Baseline",
    "module": "TrainingModule",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def interface(kind: str) -> type[Any]:
    """Return the interface class of a kind of component.

    >>> interface("projector").__name__
    'Projector'
    """
    cls: type[Any] = __getattr__(_BY_KIND[kind])
    return cls
