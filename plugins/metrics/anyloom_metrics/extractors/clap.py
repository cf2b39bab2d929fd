"""CLAP (arXiv 2211.06687) with both towers, for the CLAP score."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom_metrics.extractors.joint import JointEncoder, projected
from anyloom_metrics.extractors.sounds import heard

__all__ = ["JointCLAP"]


class JointCLAP(JointEncoder):
    """CLAP through transformers. Sounds longer than the network takes lose their end, always the same one.

    >>> from tempfile import TemporaryDirectory
    >>> from pathlib import Path
    >>> from anyloom_metrics.tiny_extractors import write_clap
    >>> with TemporaryDirectory() as folder:
    ...     weights = str(write_clap(Path(folder)))  # random ones, in the published layout
    ...     print(JointCLAP(JointCLAP.Config(weights=weights)).feature_space("audio"))
    clap-joint (1 x 8, raw)
    """

    modality = "audio"
    space = "clap-joint"

    class Config(JointEncoder.Config):
        """Options.

        Args:
            resample: Bring sounds of other rates to the network's (48 kHz) instead of refusing them.
        """

        resample: bool = False

    config: Config

    def __init__(self, config: Config) -> None:
        from transformers import ClapFeatureExtractor

        super().__init__(config)
        self._spectra: Any = ClapFeatureExtractor(**self.preparation)

    @classmethod
    def network_class(cls) -> Any:
        """``ClapModel``."""
        from transformers import ClapModel

        return ClapModel

    def read_sizes(self, numbers: dict[str, Any]) -> Any:
        """``ClapConfig``."""
        from transformers import ClapConfig

        return ClapConfig(**numbers)

    def preprocess(self, media: Media) -> Tensor:
        """Return a sound as log-mel spectrogram ``(C, frames, bands)``.

        Raises:
            anyloom.errors.MediaError: It is no sound, or of another rate.
        """
        rate = int(self._spectra.sampling_rate)
        wave = heard(media, rate=rate, resample=self.config.resample, seconds=None, centre=False)
        # cut here: the library cuts at a random place
        wave = wave[: int(self._spectra.nb_max_samples)]
        found = self._spectra(wave.numpy(), sampling_rate=rate, return_tensors="pt")
        spectrum: Tensor = found["input_features"][0]
        return spectrum

    def embed_media(self, inputs: Tensor) -> Tensor:
        """Embeddings ``(B, D)`` of spectrograms ``(B, C, frames, bands)``."""
        longer = torch.zeros(len(inputs), 1, dtype=torch.bool, device=inputs.device)
        return projected(self.network.get_audio_features(input_features=inputs, is_longer=longer))
