"""A VQ autoencoder over pictures (VQGAN's, arXiv 2012.09841): diffusers' VQModel with the sizes of a config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from anyloom.conversation import Media
from anyloom.diffusion.pictures import PictureOptions, to_network
from anyloom.errors import CheckpointError
from anyloom.interfaces import ComponentConfig, FeatureSpace
from anyloom.options import WrongOptionsError
from anyloom.storage.json_text import read_json
from anyloom.storage.tensors import load_into, read_tensors, write_tensors

__all__ = ["VQSizes", "build_vq", "load_vq", "save_vq", "vq_space"]


class VQSizes(ComponentConfig):
    """Sizes of a diffusers ``VQModel``, under its names.

    Args:
        picture_size: Rows and columns of a picture, in pixels.
        block_out_channels: Width of each level; each level but the last halves the resolution.
        layers_per_block: Residual layers per level.
        latent_channels: Channels of a latent before it is quantised.
        num_vq_embeddings: Entries of the codebook.
        vq_embed_dim: Width of an entry.
        norm_num_groups: Groups of the group norms.
    """

    picture_size: PositiveInt = 64
    block_out_channels: tuple[PositiveInt, ...] = Field((64, 128, 128, 256), min_length=1)
    layers_per_block: PositiveInt = 1
    latent_channels: PositiveInt = 16
    num_vq_embeddings: PositiveInt = 512
    vq_embed_dim: PositiveInt = 16
    norm_num_groups: PositiveInt = 32

    @property
    def side(self) -> int:
        """Rows and columns of codes."""
        return int(self.picture_size) >> (len(self.block_out_channels) - 1)

    @model_validator(mode="after")
    def _divides(self) -> VQSizes:
        reduction = 1 << (len(self.block_out_channels) - 1)
        if self.picture_size % reduction:
            raise WrongOptionsError({"picture_size": f"{self.picture_size} is no multiple of {reduction}"})
        return self


def vq_space(name: str, sizes: VQSizes) -> FeatureSpace:
    """The space of its codes, in reading order."""
    return FeatureSpace(name=name, dim=1, tokens=sizes.side**2, scale="code", codes=sizes.num_vq_embeddings)


def build_vq(sizes: VQSizes) -> Any:
    """The network, with random weights."""
    from diffusers import VQModel

    levels = len(sizes.block_out_channels)
    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(sizes.block_out_channels),
        layers_per_block=sizes.layers_per_block,
        latent_channels=sizes.latent_channels,
        num_vq_embeddings=sizes.num_vq_embeddings,
        vq_embed_dim=sizes.vq_embed_dim,
        norm_num_groups=sizes.norm_num_groups,
        sample_size=sizes.picture_size,
    )


def prepare(media: Media, sizes: VQSizes) -> Tensor:
    """A picture as float32 ``(3, size, size)`` in [-1, 1]."""
    return to_network(media.tensor(), PictureOptions(picture_size=sizes.picture_size), where=media.path)


@torch.no_grad()
def codes_of(vq: Any, pictures: Tensor) -> Tensor:
    """Codes ``(B, n)`` of pictures ``(B, 3, size, size)``, in reading order."""
    latents = vq.quant_conv(vq.encoder(pictures.to(vq.dtype)))
    indices: Tensor = vq.quantize(latents)[2][2]
    return indices.view(len(pictures), -1)


def pictures_of(vq: Any, codes: Tensor, side: int) -> Tensor:
    """Pictures ``(B, 3, size, size)`` in about [-1, 1] of codes ``(B, n)``."""
    entries = vq.quantize.embedding(codes).view(len(codes), side, side, -1).permute(0, 3, 1, 2)
    made: Tensor = vq.decoder(vq.post_quant_conv(entries))
    return made.float()


def load_vq(vq: Any, weights: str | None) -> None:
    """Read what :func:`save_vq` wrote, or a published folder of diffusers."""
    if weights is None:
        return
    folder = Path(weights)
    tensors = folder / "diffusion_pytorch_model.safetensors"
    load_into(vq, read_tensors(tensors if tensors.is_file() else folder), where=weights)


def save_vq(vq: Any, sizes: VQSizes, folder: Path) -> None:
    """Write tensors and sizes."""
    write_tensors(vq.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(sizes.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")


def require_sizes(sizes: VQSizes, weights: str) -> None:
    """Refuse weights of other sizes before they are read.

    Raises:
        anyloom.errors.CheckpointError: The folder was written with other sizes, or does not say with which.
    """
    file = Path(weights) / "config.json"
    if not file.is_file():
        return
    there = read_json(file, what="the file holds no sizes", fix="write it again")
    here = sizes.model_dump(mode="json")
    wrong = [f"{k} is {there[k]!r} there, {here[k]!r} here" for k in here if k in there and there[k] != here[k]]
    if wrong:
        raise CheckpointError(
            f"these weights are of other sizes ({'; '.join(wrong)})", where=weights, fix="use the sizes of the weights"
        )
