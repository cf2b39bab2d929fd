"""media -> features."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.interfaces.component import ComponentConfig, NeuralComponent
from anyloom.interfaces.feature_space import FeatureSpace

__all__ = ["Encoder"]


class Encoder(NeuralComponent):
    """Turns media of one or several modalities into features; the paper's C_x, kept frozen there.

    >>> class Mean(Encoder):
    ...     def feature_space(self, modality):
    ...         return FeatureSpace(name="mean", tokens=1, dim=3)
    ...     def preprocess(self, media):
    ...         return media.tensor()
    ...     def forward(self, inputs, modality):
    ...         return inputs.flatten(2).mean(-1)[:, None]
    >>> Mean.from_options()(Tensor([[[1, 3], [2, 4], [0, 0]]]), "picture")
    tensor([[[2., 3., 0.]]])
    """

    class Config(ComponentConfig):
        """Options that every encoder has.

        Args:
            freeze: Keep the parameters fixed (the paper's choice) and run without gradient.
        """

        freeze: bool = True

    @abstractmethod
    def feature_space(self, modality: str) -> FeatureSpace:
        """Return the space of this encoder's features for a modality."""

    @abstractmethod
    def preprocess(self, media: Media) -> Tensor:
        """Return one media item as the tensor that :meth:`forward` stacks; runs in data workers, on the CPU.

        It may read the config, but neither parameters nor buffers: a worker may have a copy without weights.

        Raises:
            anyloom.errors.MediaError: The media item cannot be brought into the expected form.
        """

    @abstractmethod
    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Encode a stack ``(B, ...)`` of preprocessed media into features ``(B, L, D)``."""

    def example(self, modality: str) -> Tensor:
        """A stack ``(1, ...)`` of one blank medium as :meth:`preprocess` gives it.

        A process whose batch has no medium of this modality runs the encoder on this, times zero, so that processes
        which share its parameters do not wait for each other.
        """
        raise NotImplementedError(f"{type(self).__name__} has no example(), which training on several processes needs")
