"""features -> media by diffusion; also the diffusion loss whose gradient goes back into the LLM."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.interfaces.component import ComponentConfig, NeuralComponent
from anyloom.interfaces.feature_space import FeatureSpace

__all__ = ["Decoder"]


class Decoder(NeuralComponent):
    """Makes media of one modality from features; frozen while the assembled model trains (paper section 3.2)."""

    class Config(ComponentConfig):
        """Options that every decoder has.

        Args:
            freeze: Keep the parameters fixed. Gradient to the features flows all the same.
        """

        freeze: bool = True

    modality: str
    uses_source: bool = False
    """Whether :meth:`loss` and :meth:`generate` want ``source``: the medium of the same modality that came before the
    target in its conversation, the one an edit starts from. Decoders that do not are never given one."""

    @abstractmethod
    def feature_space(self) -> FeatureSpace:
        """Return the space its conditions must live in."""

    @abstractmethod
    def preprocess(self, media: Media) -> Tensor:
        """Return one media item as the tensor that :meth:`loss` takes a stack of; runs in data workers.

        It may read the config, but neither parameters nor buffers: a worker may have a copy without weights.
        """

    @abstractmethod
    def loss(self, features: Tensor, targets: Tensor, source: Sequence[Tensor | None] | None = None) -> Tensor:
        """Diffusion loss of each sample, with gradient to ``features``.

        Where the condition is dropped, the null of :meth:`null_features` stands in, the one sampling uses.

        Args:
            features: Conditions ``(B, L, D)``.
            targets: Stack ``(B, ...)`` from :meth:`preprocess`.
            source: Given if :attr:`uses_source`: for each row the medium before it, from :meth:`preprocess`, or None.

        Returns:
            Losses ``(B,)``.
        """

    @abstractmethod
    def null_features(self) -> Tensor:
        """The trained null condition ``(L, D)`` for classifier-free guidance."""

    @abstractmethod
    def generate(
        self,
        features: Tensor,
        *,
        seeds: Sequence[int],
        steps: int | None = None,
        guidance: float | None = None,
        source: Sequence[Tensor | None] | None = None,
        source_guidance: float | None = None,
    ) -> list[Media]:
        """Sample one media item per row of ``features``.

        Args:
            features: Conditions ``(B, L, D)``.
            seeds: One seed per row: a row's result does not depend on the others in the batch.
            steps: Denoising steps; None takes the config's.
            guidance: Classifier-free guidance scale; 1 turns it off; None takes the config's.
            source: As in :meth:`loss`.
            source_guidance: Scale of the source's own guidance, given with ``source``; None takes the config's.
        """
