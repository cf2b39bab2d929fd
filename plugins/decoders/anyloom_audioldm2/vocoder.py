"""The HiFi-GAN (arXiv 2010.05646) that turns log-mel into sound, from a folder as transformers saves it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from anyloom.diffusion.published import variant_of
from anyloom.diffusion.sound import MelOptions
from anyloom.errors import CheckpointError
from anyloom.storage.tensors import check_report

__all__ = ["build_vocoder", "load_vocoder"]


def build_vocoder(folder: Path, mel: MelOptions) -> Any:
    """Build the vocoder that a folder's ``config.json`` describes, with random weights; works on the meta device.

    Raises:
        anyloom.errors.CheckpointError: There is no such file, or it takes another mel spectrogram, sample rate or hop.
    """
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    config = _read(folder, lambda: SpeechT5HifiGanConfig.from_pretrained(folder, local_files_only=True))
    return _checked(SpeechT5HifiGan(config), folder, mel)


def load_vocoder(folder: Path, mel: MelOptions) -> Any:
    """Load a vocoder; frozen.

    Raises:
        anyloom.errors.CheckpointError: It is not there, or takes another mel spectrogram, sample rate or hop.
    """
    from transformers import SpeechT5HifiGan

    load = SpeechT5HifiGan.from_pretrained
    variant = variant_of(folder, "model")
    options = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True, "variant": variant}
    with torch.device("cpu"):
        vocoder, report = _read(folder, lambda: load(folder, **options))
    check_report({**report, "unexpected_keys": ()}, where=str(folder))
    return _checked(vocoder, folder, mel)


def _read(folder: Path, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        what = f"cannot read the vocoder ({str(error).splitlines()[0]})"
        raise CheckpointError(what, where=str(folder), fix="fetch the folder again") from error


def _checked(vocoder: Any, folder: Path, mel: MelOptions) -> Any:
    config = vocoder.config
    there = {
        "bands": config.model_in_dim,
        "samples per second": config.sampling_rate,
        "samples per frame": math.prod(config.upsample_rates),
    }
    here = {"bands": mel.num_mels, "samples per second": mel.sample_rate, "samples per frame": mel.hop}
    wrong = [f"{there[key]} {key}, not {here[key]}" for key in here if there[key] != here[key]]
    if wrong:
        raise CheckpointError(
            f"the vocoder takes {'; '.join(wrong)}",
            where=str(folder),
            fix="use the mel options the vocoder was trained with",
        )
    return vocoder.eval().requires_grad_(False)
