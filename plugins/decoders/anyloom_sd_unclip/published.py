"""Reads the published Stable Diffusion 2.1 unCLIP folder: UNet, autoencoder, normaliser, empty prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from anyloom.diffusion.empty_prompt import clip_empty_prompt, empty_prompt_file
from anyloom.diffusion.published import Networks, read_networks, variant_of
from anyloom.diffusion.published_schedule import read_schedule, read_scheduler_config
from anyloom.diffusion.schedule import Schedule
from anyloom.errors import CheckpointError
from anyloom.storage.repositories import fetch
from anyloom.storage.tensors import read_tensors
from anyloom_sd_unclip.config import SDUnCLIPConfig

__all__ = ["Published", "read"]

_FILES: Final = (
    "*.json",
    "*/*.json",
    "*/*.txt",
    "*/diffusion_pytorch_model*.safetensors",
    "text_encoder/model*.safetensors",
)


@dataclass(frozen=True)
class Published:
    """What a folder holds.

    Args:
        networks: Denoiser and autoencoder.
        schedule: What it was trained and is sampled with, under what the config says.
        mean: Of the features that the denoiser was trained on, ``(D,)``.
        std: Their standard deviation ``(D,)``.
        context: Hidden states of the empty prompt ``(context_tokens, cross_attention_dim)``.
    """

    networks: Networks
    schedule: Schedule
    mean: Tensor
    std: Tensor
    context: Tensor


def read(config: SDUnCLIPConfig, source: str, unet: nn.Module, vae: nn.Module) -> Published:
    """Read a folder, or a hub repository, in diffusers' layout.

    Args:
        config: The decoder's options.
        source: Folder or repository.
        unet: Denoiser of the expected class and sizes.
        vae: Autoencoder likewise.

    Raises:
        anyloom.errors.CheckpointError: A part is missing, or does not agree with the options.
    """
    folder = fetch(source, _FILES, download=config.download)
    schedule = read_schedule(folder, config.schedule, config.prediction)
    _check_levels(folder / "image_noising_scheduler" / "scheduler_config.json", config.noise.num_levels)
    channels = config.autoencoder.latent_channels * 2 if config.reference else None
    networks = read_networks(folder, unet, vae, channels)
    mean, std = _normaliser(folder / "image_normalizer", config.dim)
    return Published(networks, schedule, mean, std, _context(config, folder))


def _check_levels(file: Path, num_levels: int) -> None:
    """Compare the schedule that features were noised by with the cosine schedule of :class:`NoiseAugmentation`."""
    if not file.exists():
        return
    there = read_scheduler_config(file)
    shape, levels = there.get("beta_schedule", "squaredcos_cap_v2"), there.get("num_train_timesteps", num_levels)
    if shape != "squaredcos_cap_v2" or there.get("trained_betas") is not None:
        raise CheckpointError(
            f"the features were noised by the schedule {shape!r}; this decoder has squaredcos_cap_v2",
            where=str(file),
            fix="use weights that were trained like Stable Diffusion 2.1 unCLIP",
        )
    if levels != num_levels:
        raise CheckpointError(
            f"the features were noised to {levels} levels, the config says {num_levels}",
            where=str(file),
            fix=f"set noise.num_levels: {levels}",
        )


def _normaliser(folder: Path, dim: int) -> tuple[Tensor, Tensor]:
    variant = variant_of(folder, "diffusion_pytorch_model")
    file = folder / f"diffusion_pytorch_model{'' if variant is None else f'.{variant}'}.safetensors"
    tensors = read_tensors(file)
    missing = [name for name in ("mean", "std") if name not in tensors or tensors[name].numel() != dim]
    if missing:
        raise CheckpointError(
            f"there is no {missing[0]!r} of {dim} numbers in the file",
            where=str(file),
            fix="fetch the folder image_normalizer again, and set dim to the published model's",
        )
    return tensors["mean"].flatten().float(), tensors["std"].flatten().float()


def _context(config: SDUnCLIPConfig, folder: Path) -> Tensor:
    if config.empty_prompt is not None:
        prompt: Tensor | None = empty_prompt_file(config.empty_prompt)
    else:
        prompt = clip_empty_prompt(folder)
    if prompt is None:
        raise CheckpointError(
            "neither an empty prompt nor a text encoder to compute it", where=str(folder), fix="set empty_prompt"
        )
    expected = (config.context_tokens, config.unet.cross_attention_dim)
    if prompt.shape != expected:
        raise CheckpointError(
            f"the empty prompt is {tuple(prompt.shape)}, expected {expected}",
            where=str(config.empty_prompt or folder / "text_encoder"),
            fix="set context_tokens and unet.cross_attention_dim to what the weights were trained on",
        )
    return prompt
