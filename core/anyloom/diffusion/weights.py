"""Weights of latent diffusion decoders: their own folders, and parts in the published diffusers layout."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from anyloom.diffusion.widening import widen_input, widened
from anyloom.errors import CheckpointError
from anyloom.storage.folder import replacing_folder
from anyloom.storage.tensors import check_report, load_into, read_tensors, write_tensors

if TYPE_CHECKING:
    from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder

__all__ = ["check_prediction", "fetch", "is_repository", "load_networks", "load_saved", "save"]

_INPUT = "unet.conv_in.weight"


def is_repository(source: str) -> bool:
    """Whether ``source`` names a hub repository rather than a folder: ``owner/name`` and no such folder."""
    return not Path(source).exists() and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source) is not None


def fetch(source: str, patterns: Sequence[str], *, download: bool) -> Path:
    """The folder ``source``, or the local copy of that repository's files of some patterns.

    Raises:
        anyloom.errors.CheckpointError: The repository is not on this machine and is not to be, or cannot be, fetched.
    """
    if not is_repository(source):
        return Path(source)
    from huggingface_hub import snapshot_download

    try:
        local = snapshot_download(
            source, allow_patterns=list(patterns), ignore_patterns=["*.bin"], local_files_only=not download
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "the repository is not on this machine", where=source, fix="set download: true, or give a folder"
        ) from error
    return Path(local)


def save(decoder: LatentDiffusionDecoder, folder: str | Path) -> None:
    """Write a decoder's tensors and options into a folder, making it."""
    text = json.dumps(decoder.config.model_dump(mode="json", exclude={"weights", "download"}), indent=2)
    with replacing_folder(Path(folder)) as draft:
        write_tensors(decoder.state_dict(), draft / "model.safetensors")
        (draft / "config.json").write_text(text + "\n")


def load_saved(decoder: LatentDiffusionDecoder, source: str) -> bool:
    """Load a folder written by :func:`save`; False if ``source`` is of the published layout instead.

    Raises:
        anyloom.errors.CheckpointError: The folder is missing or broken, or was trained with other options.
    """
    folder = Path(source)
    if is_repository(source) or (folder / "model_index.json").exists() or (folder / "unet").is_dir():
        return False
    tensors = read_tensors(folder)
    if (folder / "config.json").exists():
        _check_options(decoder, json.loads((folder / "config.json").read_text()), folder)
    if decoder.uses_source and _INPUT in tensors:
        tensors[_INPUT] = widened(tensors[_INPUT], decoder.denoiser_channels + decoder.source_channels)
    load_into(decoder, tensors, where=str(folder))
    return True


def _check_options(decoder: LatentDiffusionDecoder, saved: dict[str, Any], folder: Path) -> None:
    """Refuse weights whose meaning differs in what tensor shapes do not show."""
    there, here = _dotted(saved), _dotted(decoder.config.model_dump(mode="json"))
    keys = [k for k in here if k.startswith(decoder.fixed_options) and not k.startswith(decoder.free_options)]
    keys += ["source"] if there.get("source") else []  # weights without a source get zeros for it
    wrong = [f"{k} is {there[k]!r} there, {here[k]!r} here" for k in keys if k in there and there[k] != here[k]]
    if wrong:
        raise CheckpointError(
            f"these weights were trained with other options ({'; '.join(wrong)})",
            where=str(folder / "config.json"),
            fix="use the options the weights were trained with",
        )


def _dotted(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options as one table of dotted keys."""
    table: dict[str, Any] = {}
    for key, value in options.items():
        table |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return table


def check_prediction(decoder: LatentDiffusionDecoder, folder: Path) -> None:
    """Compare a published folder's scheduler, where there is one, with the decoder's ``prediction``.

    Raises:
        anyloom.errors.CheckpointError: They differ.
    """
    file = folder / "scheduler" / "scheduler_config.json"
    if not file.exists():
        return
    there = json.loads(file.read_text()).get("prediction_type", "epsilon")
    if there != decoder.config.prediction:
        raise CheckpointError(
            f"the published model predicts {there!r}, the config says {decoder.config.prediction!r}",
            where=str(file),
            fix=f"set prediction: {there}",
        )


@torch.no_grad()
def load_networks(decoder: LatentDiffusionDecoder, folder: Path) -> None:
    """Load denoiser and autoencoder of a published folder, whose null is zero and whose latents have one scale.

    Raises:
        anyloom.errors.CheckpointError: One is not there, or its shapes are not those the config describes.
    """
    autoencoder = decoder.autoencoder
    channels = decoder.denoiser_channels + decoder.source_channels if decoder.uses_source else None
    decoder.unet = _load_part(decoder.unet, folder, "unet", channels)
    autoencoder.vae = _load_part(autoencoder.vae, folder, "vae")
    decoder.null.zero_()
    autoencoder.latent_mean.zero_()
    autoencoder.latent_std.fill_(1 / autoencoder.vae.config.scaling_factor)


def _load_part(part: nn.Module, folder: Path, subfolder: str, channels: int | None = None) -> Any:
    """Load one diffusers model of a published folder in place of ``part``.

    Args:
        part: A diffusers model of the expected class and sizes; may be on the meta device.
        folder: The published folder.
        subfolder: Which model of it.
        channels: Widen its input to so many channels if it has fewer, with weights of zero.

    Raises:
        anyloom.errors.CheckpointError: It is not there, or its shapes are not those the config describes.
    """
    cls: Any = type(part)
    try:
        with torch.device("cpu"):
            loaded, report = cls.from_pretrained(
                folder,
                subfolder=subfolder,
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"cannot read {cls.__name__} ({' '.join(str(error).split())})",
            where=f"{folder}/{subfolder}",
            fix="check the path, or fetch the folder again",
        ) from error
    check_report(report, where=f"{folder}/{subfolder}")
    if channels is not None:
        widen_input(loaded, channels)
    here, there = _shapes(part), _shapes(loaded)
    wrong = sorted(k for k in here.keys() | there.keys() if here.get(k) != there.get(k))
    if wrong:
        first = f"{wrong[0]} is {there.get(wrong[0])} there, {here.get(wrong[0])} here"
        raise CheckpointError(
            f"{len(wrong)} tensors differ from the configured sizes ({first})",
            where=f"{folder}/{subfolder}",
            fix="set the sizes of the config to those of the published model",
        )
    return loaded


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
