"""Tiny forms, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import FeatureSpace, Sample
from anyloom.testing import DecoderCase, EncoderCase, ModuleCase, RepresentationCase

__all__ = ["SIZES", "codes", "decoder", "encoder", "stage"]

SIZES: Final[dict[str, Any]] = {
    "picture_size": 16,
    "block_out_channels": [8, 8, 8],
    "latent_channels": 4,
    "num_vq_embeddings": 16,
    "vq_embed_dim": 4,
    "norm_num_groups": 4,
}


def codes(folder: Path) -> RepresentationCase:
    """Six codes of sixteen, the likeliest each."""
    del folder
    space = FeatureSpace(name="toy", dim=1, tokens=6, scale="code", codes=16)
    return RepresentationCase("codes", options={"temperature": 0.0}, given=space)


def encoder(folder: Path) -> EncoderCase:
    """Two pictures of other sizes than its own."""
    del folder
    return EncoderCase("vq", options={"sizes": SIZES}, media=_pictures())


def decoder(folder: Path) -> DecoderCase:
    """Likewise. It has no chance and lets no gradient through its codes."""
    del folder
    return DecoderCase("vq", options={"sizes": SIZES}, media=_pictures(), uses_chance=False)


def stage(folder: Path) -> ModuleCase:
    """Its training on four pictures."""
    del folder
    turns = [[Message("user", "a picture"), Message("assistant", [p])] for p in (*_pictures(), *_pictures())]
    samples = [Sample(Conversation(turn), "picture") for turn in turns]
    return ModuleCase("vq-autoencoder", options={"decoder": {"sizes": SIZES}}, samples=samples)


def _pictures() -> list[Media]:
    return [Media("image", torch.rand(3, 12 + n, 20)) for n in range(2)]
