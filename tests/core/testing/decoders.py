"""Decoders that each get one thing wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from anyloom.conversation import Media
from anyloom_sd_unclip.decoder import SDUnCLIPDecoder

__all__ = ["BROKEN"]


class ReadsWeights(SDUnCLIPDecoder):
    """Prepares targets with numbers that data workers do not have."""

    def preprocess(self, media: Media) -> Tensor:
        """A picture ``(3, size, size)``."""
        null = self.null.detach()
        return super().preprocess(media).to(null.device) + 0 * null.mean()


class MeanLoss(SDUnCLIPDecoder):
    """Averages over the batch."""

    def loss(self, *args: Any, **more: Any) -> Tensor:
        """One number."""
        return super().loss(*args, **more).mean()


class FlatNull(SDUnCLIPDecoder):
    """Gives a null of another shape."""

    def null_features(self) -> Tensor:
        """The null, ``(L * D,)``."""
        return self.null.flatten()


class CutsTheGradient(SDUnCLIPDecoder):
    """Gives the language model nothing to learn from."""

    def loss(self, features: Tensor, *rest: Any, **more: Any) -> Tensor:
        """Losses ``(B,)``."""
        return super().loss(features.detach(), *rest, **more) + 0 * features.sum()


class NeverFreezes(SDUnCLIPDecoder):
    """Takes no notice of ``freeze``."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.unet.requires_grad_(True)


class NeverLearns(SDUnCLIPDecoder):
    """Has a loss that does not depend on its parameters."""

    def loss(self, features: Tensor, *rest: Any, **more: Any) -> Tensor:
        """Losses ``(B,)``."""
        untrained = 0 * self.null.sum()
        return super().loss(features, *rest, **more).detach() + features.sum((1, 2)) + untrained


class TakesAnything(SDUnCLIPDecoder):
    """Cuts features to its own width in silence."""

    def checked(self, features: Tensor) -> Tensor:
        """The first part of the features."""
        return features[..., : self.config.dim]


class ForgetsFeatures(SDUnCLIPDecoder):
    """Makes media without the features they came from."""

    def to_media(self, *args: Any) -> list[Media]:
        """Pictures."""
        return [replace(m, features=None) for m in super().to_media(*args)]


class MakesGrey(SDUnCLIPDecoder):
    """Makes media of another form than it takes."""

    def to_media(self, *args: Any) -> list[Media]:
        """Pictures ``(2, H, W)``."""
        return [replace(m, data=m.tensor()[:2]) for m in super().to_media(*args)]


class IgnoresSeeds(SDUnCLIPDecoder):
    """Gives all rows one seed."""

    def generate(self, features: Tensor, *, seeds: Sequence[int], **more: Any) -> list[Media]:
        """Pictures."""
        return super().generate(features, seeds=[0] * len(seeds), **more)


BROKEN: dict[type[SDUnCLIPDecoder], str] = {
    ReadsWeights: "preprocess_needs_no_weights",
    MeanLoss: "loss_has_a_value_for_each_sample",
    FlatNull: "loss_has_a_value_for_each_sample",
    CutsTheGradient: "frozen_decoder_passes_gradient_to_the_features",
    NeverFreezes: "freeze_fixes_the_parameters",
    NeverLearns: "learns_one_sample_by_heart",
    TakesAnything: "wrong_features_are_refused",
    ForgetsFeatures: "generates_media",
    MakesGrey: "takes_its_own_media_back",
    IgnoresSeeds: "row_does_not_depend_on_its_batch",
}
