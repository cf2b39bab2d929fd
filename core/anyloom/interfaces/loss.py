"""Extra terms of the training loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import NonNegativeFloat
from torch import Tensor

from anyloom.interfaces.component import ComponentConfig, NeuralComponent

__all__ = ["Loss", "Seen", "SeenMedia"]


@dataclass(frozen=True)
class SeenMedia:
    """The media of one modality that one forward pass was to produce, N of them.

    Args:
        features: True features ``(N, L, D)`` of the predicted space, without gradient.
        predicted: Predicted features ``(N, L, D)``, with gradient.
        hidden: Hidden states ``(N, n + 1, H)`` from the begin tag on.
        sample: Sample of each ``(N,)``.

    >>> import torch
    >>> features = torch.zeros(2, 4, 8)
    >>> SeenMedia(features, features, hidden=torch.zeros(2, 5, 16), sample=torch.arange(2)).features.shape
    torch.Size([2, 4, 8])
    """

    features: Tensor
    predicted: Tensor
    hidden: Tensor
    sample: Tensor


@dataclass(frozen=True)
class Seen:
    """What one forward pass of the network saw.

    Args:
        hidden: Hidden states ``(B, S, H)``.
        media: By modality.

    >>> import torch
    >>> Seen(torch.zeros(1, 9, 16)).media
    {}
    """

    hidden: Tensor
    media: Mapping[str, SeenMedia] = field(default_factory=dict)


class Loss(NeuralComponent):
    """One extra term, ``model.losses.<key>: {name: ..., weight: ...}``. Its parameters, if any, are trained.

    >>> import torch
    >>> class Small(Loss):
    ...     def forward(self, seen):
    ...         return seen.hidden.square().sum(), seen.hidden.new_tensor(seen.hidden.numel())
    >>> total, count = Small.from_options()(Seen(2 * torch.ones(1, 3, 4)))
    >>> total / count
    tensor(4.)
    """

    class Config(ComponentConfig):
        """Options that every loss has.

        Args:
            weight: Weight of the term in the whole.
        """

        weight: NonNegativeFloat = 1.0

    @abstractmethod
    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Return the summed loss ``()`` and the number ``()`` of things it was summed over.

        The framework divides the sum by the count. What a term of this kind counts is known only after the pass, so
        with several batches a step it is a mean of their means.
        """
