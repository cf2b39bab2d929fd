"""Finds and reads safetensors weights; the published pickle is left to the convert command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from anyloom.errors import CheckpointError
from anyloom.storage.tensors import load_into, read_tensors
from anyloom_imagebind.config import ImageBindSizes
from anyloom_imagebind.network import published_layout

__all__ = ["fill", "own_tensors", "source_path"]

_PICKLES: Final = (".pth", ".pt", ".bin", ".ckpt")
_REPOSITORY: Final = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def source_path(source: str, *, download: bool) -> Path:
    """Return the local file or folder of a ``weights`` option.

    Raises:
        anyloom.errors.CheckpointError: Nothing is there, it is a pickle, or the hub does not have it.
    """
    path = Path(source)
    if path.suffix in _PICKLES:
        raise CheckpointError(
            "a .pth file is a pickle and is not opened here",
            where=source,
            fix=f"run: anyloom imagebind-convert {path} {path.with_suffix('.safetensors')}",
        )
    if path.exists() or not _REPOSITORY.fullmatch(source):
        return path
    if not download:
        fix = "check the path, or set download: true if this names a hub repository"
        raise CheckpointError("there are no weights here", where=source, fix=fix)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(hf_hub_download(source, "model.safetensors"))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        what = f"the hub does not give model.safetensors ({str(error).splitlines()[0]})"
        raise CheckpointError(what, where=source, fix="check the repository's name and the connection") from error


def fill(network: nn.Module, path: Path, sizes: ImageBindSizes) -> None:
    """Load a checkpoint into a network that may have fewer towers and may be on the meta device.

    Raises:
        anyloom.errors.CheckpointError: The file is missing or broken, or keys or shapes differ.
    """
    read = {name.removeprefix("network."): tensor for name, tensor in read_tensors(path).items()}  # of a saved model
    tensors = own_tensors(network, read, sizes)
    if any(p.is_meta for p in network.parameters()):
        network.to_empty(device=torch.get_default_device())
    load_into(network, tensors, where=str(path))


def own_tensors(network: nn.Module, tensors: Mapping[str, Tensor], sizes: ImageBindSizes) -> dict[str, Tensor]:
    """Leave out tensors of ImageBind's towers that the network does not have; unknown ones stay, to be refused."""
    others = published_layout(sizes).keys() - network.state_dict().keys()
    return {key: tensor for key, tensor in tensors.items() if key not in others}
