"""Decoders that are not in use wait where memory is plenty, and come to the device of their features for one call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from anyloom.interfaces.decoder import Decoder
from anyloom.network.network import Network

__all__ = ["beside", "keep_decoders_on"]


def keep_decoders_on(network: Network, place: torch.device | str, rest: torch.device | str) -> None:
    """Put the decoders in one place and everything else in another, so that at no time all of it is in one.

    Args:
        network: The model.
        place: Where decoders wait, such as ``"cpu"``.
        rest: Where everything else works, such as ``"cuda"``.
    """
    decoders = network.parts.decoders
    decoders.to(place)
    network.parts.decoders = nn.ModuleDict()
    try:
        network.to(rest)
    finally:
        network.parts.decoders = decoders


@contextmanager
def beside(features: torch.Tensor, *decoders: Decoder) -> Iterator[None]:
    """Have decoders on the device of features ``(B, L, D)`` that they get; afterwards each is back where it was."""
    away = {}
    for decoder in decoders:
        home = next((p.device for p in (*decoder.parameters(), *decoder.buffers())), features.device)
        if home != features.device:
            away[decoder] = home
    try:
        for decoder in away:
            decoder.to(features.device)
        yield
    finally:
        for decoder, home in away.items():
            decoder.to(home)
