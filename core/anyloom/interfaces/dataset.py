"""Samples: conversations whose assistant part is the target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from anyloom.conversation.segments import Conversation
from anyloom.interfaces.component import Component

__all__ = ["DatasetBuilder", "Sample", "Samples"]


@dataclass(frozen=True)
class Sample:
    """One training or evaluation sample.

    Args:
        conversation: Ends with the assistant message that is the target.
        task: Name of the task, for mixtures and for metrics by task.
        provenance: Where it comes from and what metrics may need (ids, families, candidates); plain values.
    """

    conversation: Conversation
    task: str
    provenance: Mapping[str, Any] = field(default_factory=dict)


class Samples(Protocol):
    """A map-style data set of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class DatasetBuilder(Component):
    """Builds the samples of a split. Must be picklable: data workers build on copies of it."""

    @abstractmethod
    def build(self, split: str, epoch: int = 0) -> Samples:
        """Return the samples of ``train``, ``val`` or ``test``.

        Args:
            split: Name of the split.
            epoch: Lets a builder that draws at random draw anew; the same epoch gives the same samples.

        Raises:
            anyloom.errors.ConfigError: The split does not exist; names those that do.
        """
