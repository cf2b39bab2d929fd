"""The HiFi-GAN (arXiv 2010.05646) that turns log-mel into sound, from a folder as transformers saves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from anyloom.diffusion.sound import MelOptions
from anyloom.errors import CheckpointError
from anyloom.storage.tensors import check_report

__all__ = ["build_vocoder", "load_vocoder"]


def build_vocoder(folder: Path, mel: MelOptions) -> Any:
    """Build the vocoder that a folder's ``config.json`` describes, with random weights; works on the meta device.

    Raises:
        anyloom.errors.CheckpointError: There is no such file, or it takes another mel spectrogram or sample rate.
    """
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    config = _read(folder, lambda: SpeechT5HifiGanConfig.from_pretrained(folder, local_files_only=True))
    return _checked(SpeechT5HifiGan(config), folder, mel)


def load_vocoder(folder: Path, mel: MelOptions) -> Any:
    """Load a vocoder; frozen.

    Raises:
        anyloom.errors.CheckpointError: It is not there, or takes another mel spectrogram or sample rate.
    """
    from transformers import SpeechT5HifiGan

    load = SpeechT5HifiGan.from_pretrained
    options = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    vocoder, report = _read(folder, lambda: load(folder, **options))
    check_report({**report, "unexpected_keys": ()}, where=str(folder))
    return _checked(vocoder, folder, mel)


def _read(folder: Path, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the vocoder ({str(error).splitlines()[0]})", where=str(folder)) from error


def _checked(vocoder: Any, folder: Path, mel: MelOptions) -> Any:
    there = (vocoder.config.model_in_dim, vocoder.config.sampling_rate)
    if there != (mel.num_mels, mel.sample_rate):
        raise CheckpointError(
            f"the vocoder takes {there[0]} mels at {there[1]} Hz, not {mel.num_mels} at {mel.sample_rate}",
            where=str(folder),
            fix="use the mel options the vocoder was trained with",
        )
    return vocoder.eval().requires_grad_(False)
