"""CLAP's audio tower (arXiv 2211.06687, HTSAT) as an encoder of sounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom_clip.config import CLAPConfig, CLAPSizes, SoundNumbers
from anyloom_clip.sound import frames, sound_input
from anyloom_clip.tower import TowerEncoder

__all__ = ["CLAPEncoder"]

_NUMBERS = {
    "sampling_rate": "sample_rate",
    "max_length_s": "seconds",
    "fft_window_size": "fft_size",
    "hop_length": "hop",
    "frequency_min": "low",
    "frequency_max": "high",
}


class CLAPEncoder(TowerEncoder):
    """CLAP's sound embedding ``(1, D)``, or its last layer's tokens ``(L, D)`` through the same projection.

    Tokens are in order of time, the frequency bands of each moment side by side. Models trained with fusion load too,
    without it: their extra channels are for sounds longer than ten seconds, and longer sounds are cut here.

    >>> tiny = {"depths": [1, 1], "num_attention_heads": [2, 2], "patch_embeds_hidden_size": 8, "projection_dim": 4}
    >>> print(CLAPEncoder.from_options(architecture=tiny).feature_space("audio"))
    clap (1 x 4, raw)
    """

    Config = CLAPConfig
    modality = "audio"
    space = "clap"
    section = "audio_config"
    sizes_class = CLAPSizes

    def __init__(self, config: CLAPConfig) -> None:
        super().__init__(config)
        count = frames(self.preparation)
        if count > self.sizes.frames:
            raise ConfigError(
                f"{self.preparation.seconds:g} s are {count} frames, the network takes {self.sizes.frames}",
                where="preparation.seconds",
                fix="give fewer seconds or a longer hop",
            )

    def build_network(self) -> Any:
        """``ClapAudioModelWithProjection``."""
        from transformers import ClapAudioConfig, ClapAudioModelWithProjection

        sizes = self.sizes
        options = {**sizes.model_dump(), "hidden_size": sizes.hidden_size, "num_hidden_layers": len(sizes.depths)}
        return ClapAudioModelWithProjection(ClapAudioConfig(**options))

    def read_preparation(self, numbers: Mapping[str, Any]) -> SoundNumbers:
        """Take over what a ``ClapFeatureExtractor`` was saved with."""
        if numbers.get("padding", "repeatpad") != "repeatpad":
            raise ValueError(f"padding {numbers['padding']}")
        if numbers.get("top_db") is not None:
            raise ValueError(f"top_db {numbers['top_db']}")
        if numbers.get("feature_size", self.sizes.num_mel_bins) != self.sizes.num_mel_bins:
            raise ValueError(f"{numbers['feature_size']} mel bands, where the network has {self.sizes.num_mel_bins}")
        fusion = numbers.get("truncation", "fusion" if self.sizes.enable_fusion else "rand_trunc") == "fusion"
        found = {ours: numbers[theirs] for theirs, ours in _NUMBERS.items() if theirs in numbers}
        return SoundNumbers(**found, mel_scale="htk" if fusion else "slaney")

    def preprocess(self, media: Media) -> Tensor:
        """Return a sound as log-mel spectrogram ``(1, frames, bands)`` in dB.

        Raises:
            anyloom.errors.MediaError: It is no sound, or its sample rate is unknown.
        """
        rate = media.meta.get("sample_rate", 0)
        return sound_input(media.tensor(), rate, self.sizes.num_mel_bins, self.preparation, media.path)

    def example(self, modality: str) -> Tensor:
        """A short silence ``(1, 1, frames, bands)`` as :meth:`preprocess` gives it."""
        rate = float(self.preparation.sample_rate)
        return self.preprocess(Media(modality, torch.zeros(1, 4800), meta={"sample_rate": rate}))[None]

    def encode(self, inputs: Tensor) -> Tensor:
        """Raw features ``(B, L, D)`` of spectrograms ``(B, 1, frames, bands)``."""
        longer = torch.zeros(len(inputs), 1, dtype=torch.bool, device=inputs.device)
        output = self.network(input_features=inputs, is_longer=longer)
        if self.config.features == "pooled":
            pooled: Tensor = output.audio_embeds[:, None]
            return pooled
        by_time = output.last_hidden_state.permute(0, 3, 2, 1).flatten(1, 2)
        projected: Tensor = self.network.audio_projection(by_time)
        return projected
