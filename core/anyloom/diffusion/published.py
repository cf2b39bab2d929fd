"""Models in the published diffusers layout: a folder with a folder for each network. Everything here returns values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anyloom.diffusion.widening import widen_input
from anyloom.errors import CheckpointError
from anyloom.storage.pickles import refuse_pickled
from anyloom.storage.tensors import check_report

__all__ = ["Networks", "is_published", "read_network", "read_networks", "variant_of"]


@dataclass(frozen=True)
class Networks:
    """The networks of a folder.

    Args:
        unet: The denoiser, a diffusers model.
        vae: The autoencoder, a diffusers model; ``vae.config.scaling_factor`` brings its latents to unit variance.
    """

    unet: Any
    vae: Any


def is_published(folder: Path) -> bool:
    """Whether a folder is of the published layout rather than one that a decoder's ``save`` wrote.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     is_published(Path(folder))
    ...     (Path(folder) / "unet").mkdir()
    ...     is_published(Path(folder))
    False
    True
    """
    return (folder / "model_index.json").exists() or (folder / "unet").is_dir()


def read_networks(folder: Path, unet: nn.Module, vae: nn.Module, channels: int | None = None) -> Networks:
    """Read denoiser and autoencoder of a folder.

    Args:
        folder: The folder.
        unet: A diffusers model of the expected class and sizes; may be on the meta device.
        vae: Likewise.
        channels: Widen the denoiser's input to so many channels if it has fewer, with weights of zero.

    Raises:
        anyloom.errors.CheckpointError: One is not there, or its shapes are not those of the expected model.
    """
    return Networks(read_network(folder, "unet", unet, channels), read_network(folder, "vae", vae))


@torch.no_grad()
def read_network(folder: Path, subfolder: str, like: nn.Module, channels: int | None = None) -> Any:
    """Read one diffusers model of a folder.

    Args:
        folder: The folder.
        subfolder: Which model of it.
        like: A model of the expected class and sizes; may be on the meta device.
        channels: Widen its input to so many channels if it has fewer, with weights of zero.

    Raises:
        anyloom.errors.CheckpointError: It is not there, or its shapes are not those of the expected model.
    """
    cls: Any = type(like)
    where = f"{folder}/{subfolder}"
    variant = variant_of(folder / subfolder, "diffusion_pytorch_model")
    try:
        with torch.device("cpu"):
            loaded, report = cls.from_pretrained(
                folder,
                subfolder=subfolder,
                variant=variant,
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"cannot read {cls.__name__} ({' '.join(str(error).split())})",
            where=where,
            fix="check the path, or fetch the folder again",
        ) from error
    check_report(report, where=where)
    if channels is not None:
        widen_input(loaded, channels)
    _check_sizes(loaded, like, where)
    return loaded


def variant_of(folder: Path, stem: str) -> str | None:
    """Which variant of its weights a folder has: ``"fp16"`` if there is only ``stem.fp16.safetensors``.

    None stands for the plain ``stem.safetensors``, and for nothing at all: whoever reads the folder says what misses.

    Raises:
        anyloom.errors.CheckpointError: The folder has pickled weights only.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "model.fp16.safetensors").write_bytes(b"")
    ...     variant_of(Path(folder), "model")
    'fp16'
    """
    names = {file.name for file in folder.glob(f"{stem}*.safetensors*")}
    if f"{stem}.safetensors" in names or f"{stem}.safetensors.index.json" in names:
        return None
    found = {name.removeprefix(f"{stem}.").split(".")[0].split("-")[0] for name in names}
    variants = sorted(found - {"safetensors"})  # the index of a variant's shards is stem.safetensors.index.fp16.json
    if variants:
        return "fp16" if "fp16" in variants else variants[0]
    refuse_pickled(folder)
    return None


def _check_sizes(loaded: nn.Module, like: nn.Module, where: str) -> None:
    here, there = _shapes(like), _shapes(loaded)
    wrong = sorted(k for k in here.keys() | there.keys() if here.get(k) != there.get(k))
    if wrong:
        first = f"{wrong[0]} is {there.get(wrong[0])} there, {here.get(wrong[0])} here"
        raise CheckpointError(
            f"{len(wrong)} tensors differ from the configured sizes ({first})",
            where=where,
            fix="set the sizes of the config to those of the published model",
        )


def _shapes(module: nn.Module) -> dict[str, Tensor | tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
