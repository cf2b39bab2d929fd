"""One encoder that does all it must, and others that each get one thing wrong."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Any

import torch
from pydantic import ConfigDict, field_validator
from torch import Tensor, nn

from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom.interfaces import Encoder, FeatureSpace


class Whole(Encoder):
    """A linear map of scans ``(T,)``."""

    class Config(Encoder.Config):
        """Options.

        Args:
            dim: Width of the features.
            label: A word.
        """

        dim: int = 4
        label: str = "x"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.dim = config.dim
        self.linear = nn.Linear(6, config.dim)
        self.register_buffer("scale", torch.ones(config.dim))

    def feature_space(self, modality: str) -> FeatureSpace:
        """One feature."""
        if modality != "scan":
            raise ConfigError(f"there are no features of {modality!r}")
        return FeatureSpace(name="scan", dim=self.dim)

    def preprocess(self, media: Media) -> Tensor:
        """The first numbers ``(6,)``."""
        return media.tensor()[:6]

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Map ``(B, 6)`` to ``(B, 1, D)``."""
        y: Tensor = (self.linear(inputs) * self.scale)[:, None]
        return y


class NoShapes(Whole):
    """Says nothing about its inputs."""

    def preprocess(self, media: Media) -> Tensor:
        """The first numbers."""
        return super().preprocess(media)


class SilentOption(Whole):
    """Has an option that is not explained."""

    class Config(Whole.Config):
        """Options."""

        secret: int = 1


class LosesConfig(Whole):
    """Overwrites its config."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.config = dict(config)


class SoftConfig(Whole):
    """Can be changed later."""

    class Config(Whole.Config):
        """Options."""

        model_config = ConfigDict(frozen=False, extra="forbid")


class LaxConfig(Whole):
    """Swallows typing errors."""

    class Config(Whole.Config):
        """Options."""

        model_config = ConfigDict(frozen=True, extra="ignore")


class DriftingConfig(Whole):
    """Changes whenever it is read."""

    class Config(Whole.Config):
        """Options."""

        @field_validator("label")
        @classmethod
        def _louder(cls, value: str) -> str:
            return value + "!"


class CallsHome(Whole):
    """Tries to reach a server and hides that it failed."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        with contextlib.suppress(OSError):
            socket.create_connection(("localhost", 9), timeout=0.1).close()


class NamesADevice(Whole):
    """Insists on a device."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.register_buffer("mean", torch.zeros(2, device="cpu"))


class Unseeded(Whole):
    """Starts from chance that no seed governs."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        nn.init.constant_(self.linear.bias, random.SystemRandom().random())


class Trembles(Whole):
    """Gives slightly different numbers each time."""

    calls = 0

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Map ``(B, 6)`` to ``(B, 1, D)``."""
        self.calls += 1
        return super().forward(inputs, modality) * (1 + 1e-6 * self.calls)


class ForgetsABuffer(Whole):
    """Depends on numbers that are not saved."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.register_buffer("scale", torch.rand(config.dim) + 1, persistent=False)


class PlainTensor(Whole):
    """Keeps a tensor that does not move with it."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if not self.linear.weight.is_meta:
            self.shift = torch.ones(config.dim)


class StaysOnTheCPU(Whole):
    """Makes a tensor on the CPU, wherever its input is."""

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Map ``(B, 6)`` to ``(B, 1, D)``."""
        return super().forward(inputs, modality) + torch.arange(self.dim, device="cpu")


class NeedsFloat32(Whole):
    """Writes its result into a float32 tensor."""

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Map ``(B, 6)`` to ``(B, 1, D)``."""
        y = torch.zeros(len(inputs), self.dim, device=inputs.device)
        y[torch.arange(len(inputs), device=inputs.device)] = self.linear(inputs)
        return y[:, None]


class CropsAtRandom(Whole):
    """Prepares a media item in another way each time."""

    def preprocess(self, media: Media) -> Tensor:
        """Some numbers ``(6,)``."""
        start = int(torch.randint(3, (), device="cpu"))
        return media.tensor()[start : start + 6]


class ReadsWeights(Whole):
    """Prepares media with numbers that data workers do not have."""

    def preprocess(self, media: Media) -> Tensor:
        """The first numbers, scaled ``(6,)``."""
        scale: Tensor = self.scale
        return super().preprocess(media).to(scale.device) * scale.mean()


class WrongWidth(Whole):
    """Declares another width than it has."""

    def feature_space(self, modality: str) -> FeatureSpace:
        """One feature, they say."""
        return super().feature_space(modality).model_copy(update={"dim": self.dim + 1})


class NotUnit(Whole):
    """Declares a length that its features do not have."""

    def feature_space(self, modality: str) -> FeatureSpace:
        """One feature of length 1, they say."""
        return super().feature_space(modality).model_copy(update={"scale": "unit"})


class MixesTheBatch(Whole):
    """Centres over the batch."""

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Map ``(B, 6)`` to ``(B, 1, D)``."""
        return super().forward(inputs - inputs.mean(0), modality)


class Blind(Whole):
    """Loses what it is given."""

    def preprocess(self, media: Media) -> Tensor:
        """Zeros ``(6,)``."""
        return super().preprocess(media) * 0


class NeverLearns(Whole):
    """Cuts the gradient."""

    @torch.no_grad()
    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Map ``(B, 6)`` to ``(B, 1, D)``."""
        return super().forward(inputs, modality)


BROKEN: dict[type[Whole], str] = {
    NoShapes: "docstrings_state_shapes",
    SilentOption: "options_are_explained",
    LosesConfig: "builds",
    SoftConfig: "config_is_frozen",
    LaxConfig: "config_refuses_unknown_options",
    DriftingConfig: "config_round_trips",
    CallsHome: "needs_no_network",
    NamesADevice: "builds_on_the_meta_device",
    Unseeded: "builds_equal_under_one_seed",
    Trembles: "is_deterministic",
    ForgetsABuffer: "state_dict_round_trips",
    PlainTensor: "moves_between_devices",
    StaysOnTheCPU: "moves_between_devices",
    NeedsFloat32: "runs_under_bfloat16_autocast",
    CropsAtRandom: "preprocessed_media_stack",
    ReadsWeights: "preprocess_needs_no_weights",
    WrongWidth: "features_fit_the_declared_space",
    NotUnit: "features_fit_the_declared_space",
    MixesTheBatch: "batch_equals_singles",
    Blind: "features_depend_on_the_media",
    NeverLearns: "learns_when_not_frozen",
}
