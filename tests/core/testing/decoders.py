"""Decoders that each get one thing wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from anyloom.conversation import Media
from anyloom.interfaces import Condition
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

    def forward(self, *args: Any, **more: Any) -> Tensor:
        """One number."""
        return super().forward(*args, **more).mean()


class IgnoresLossSeeds(SDUnCLIPDecoder):
    """Draws the noise of its loss from the global state."""

    def forward(self, condition: Condition, targets: Tensor, seeds: Sequence[int] | Tensor | None = None) -> Tensor:
        """Losses ``(B,)``."""
        return super().forward(condition, targets)


class OtherExample(SDUnCLIPDecoder):
    """Gives an example without its first dimension."""

    def example(self) -> Tensor:
        """A picture ``(3, size, size)``."""
        return super().example()[0]


class CutsTheGradient(SDUnCLIPDecoder):
    """Gives the language model nothing to learn from."""

    def forward(self, condition: Condition, targets: Tensor, seeds: Sequence[int] | Tensor | None = None) -> Tensor:
        """Losses ``(B,)``."""
        cut = replace(condition, features=condition.features.detach())
        return super().forward(cut, targets, seeds) + 0 * condition.features.sum()


class NeverFreezes(SDUnCLIPDecoder):
    """Takes no notice of ``freeze``."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.unet.requires_grad_(True)


class NeverLearns(SDUnCLIPDecoder):
    """Has a loss that does not depend on its parameters."""

    def forward(self, condition: Condition, targets: Tensor, seeds: Sequence[int] | Tensor | None = None) -> Tensor:
        """Losses ``(B,)``."""
        untrained = 0 * self.null.sum()
        return super().forward(condition, targets, seeds).detach() + condition.features.sum((1, 2)) + untrained


class TakesAnything(SDUnCLIPDecoder):
    """Cuts features to its own width in silence."""

    def checked(self, features: Tensor) -> Tensor:
        """The first part of the features."""
        return features[..., : self.config.dim]


class TakesAnyOptions(SDUnCLIPDecoder):
    """Does not look at what class its sampling options are of."""

    def chosen(self, sampling: Any = None) -> Any:
        """Its own options, whatever is given."""
        return super().chosen(sampling if isinstance(sampling, self.Sampling) else None)


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

    def generate(self, condition: Condition, *, seeds: Sequence[int], sampling: Any = None) -> list[Media]:
        """Pictures."""
        return super().generate(condition, seeds=[0] * len(seeds), sampling=sampling)


class ReferenceEverywhere(SDUnCLIPDecoder):
    """Reads the reference of rows that have none as well."""

    def both_latents(self, condition: Condition, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Latents ``(B, Z, ...)``."""
        return super().both_latents(replace(condition, has_reference=None), targets)


class EncodesLatents(SDUnCLIPDecoder):
    """Scales what it takes for its own latents once more."""

    def both_latents(self, condition: Condition, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Latents ``(B, Z, ...)``."""
        latents, reference = super().both_latents(condition, targets)
        return latents * (2 if condition.encoded else 1), reference


BROKEN: dict[type[SDUnCLIPDecoder], str] = {
    ReadsWeights: "preprocess_needs_no_weights",
    MeanLoss: "loss_has_a_value_for_each_sample",
    IgnoresLossSeeds: "loss_of_a_seeded_row_does_not_depend_on_its_batch",
    OtherExample: "example_stands_for_absent_media",
    CutsTheGradient: "frozen_decoder_passes_gradient_to_the_features",
    NeverFreezes: "freeze_fixes_the_parameters",
    NeverLearns: "learns_one_sample_by_heart",
    TakesAnything: "wrong_features_are_refused",
    TakesAnyOptions: "sampling_options_are_declared",
    ForgetsFeatures: "generates_media",
    MakesGrey: "takes_its_own_media_back",
    IgnoresSeeds: "row_does_not_depend_on_its_batch",
    EncodesLatents: "latents_stand_for_their_media",
    ReferenceEverywhere: "rows_without_a_reference_are_as_without_any",
}
