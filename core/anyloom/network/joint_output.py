"""Diffusion losses of a batch, and media of answers, where decoders may be coupled (``model.couple``).

The first medium of one modality in an assistant message goes with the first of the other, the second with the second,
and so on; what is left over is on its own.

Shape legend: N places of media, K of them with decoder targets, L feature steps, D feature dim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from anyloom.diffusion.joint import Side, joint_loss
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.sequence.batch import MediaBatch

if TYPE_CHECKING:
    from anyloom.network.network import Network

Group = TypeVar("Group", bound=Hashable)

__all__ = ["coupled_decoder", "diffusion_losses", "numbered"]


def numbered(groups: Iterable[Group]) -> Iterator[tuple[Group, int]]:
    """Number things of equal group in their order.

    >>> list(numbered("aba"))
    [('a', 0), ('b', 0), ('a', 1)]
    """
    seen = Counter[Group]()
    for group in groups:
        yield group, seen[group]
        seen[group] += 1


def coupled_decoder(model: Network, modality: str) -> LatentDiffusionDecoder:
    """The decoder of a modality that is part of a couple."""
    decoder = model.decoder(modality)
    assert isinstance(decoder, LatentDiffusionDecoder)
    return decoder


def diffusion_losses(
    model: Network, media: Mapping[str, MediaBatch], predicted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """L_DM ``(K,)`` of every modality that has decoder targets, coupled ones first.

    Args:
        model: Has decoders and couplers.
        media: The batch's media by modality.
        predicted: c_MLLM ``(N, L, D)`` by modality.
    """
    alone = {name: list(range(len(m.decoder_place))) for name, m in media.items() if m.decoder_targets is not None}
    losses: dict[str, list[Tensor]] = {name: [] for name in alone}
    for key, couple in model.config.couple.items():
        if not all(name in alone for name in couple.pair):
            continue
        first, second = (_numbered_targets(media[name], alone[name]) for name in couple.pair)
        shared = [at for at in first if at in second]
        if not shared:
            continue
        chosen = [[own[at] for at in shared] for own in (first, second)]
        sides = [_side(model, n, media[n], predicted[n], rows) for n, rows in zip(couple.pair, chosen)]
        stacks = [_targets(media[n])[rows] for n, rows in zip(couple.pair, chosen)]
        for name, rows, loss in zip(couple.pair, chosen, joint_loss(model.parts.coupler(key), sides, stacks)):
            losses[name].append(loss)
            alone[name] = [k for k in alone[name] if k not in rows]
    for name, rows in alone.items():
        if rows:
            losses[name].append(_single_loss(model, name, media[name], predicted[name], rows))
    return {name: torch.cat(parts) for name, parts in losses.items()}


def _numbered_targets(media: MediaBatch, rows: list[int]) -> dict[tuple[tuple[int, int], int], int]:
    """Which of the K decoder targets is the how-manieth produced medium of which message; only of some rows."""
    messages = list(zip(media.row.tolist(), media.message.tolist()))
    produced = [n for n, target in enumerate(media.target.tolist()) if target]
    number = dict(zip(produced, numbered(messages[n] for n in produced)))
    places = media.decoder_place.tolist()
    return {number[places[k]]: k for k in rows}


def _targets(media: MediaBatch) -> Tensor:
    assert media.decoder_targets is not None
    return media.decoder_targets


def _side(model: Network, name: str, media: MediaBatch, predicted: Tensor, rows: list[int]) -> Side:
    source = None if media.decoder_sources is None else [media.decoder_sources[k] for k in rows]
    return Side(coupled_decoder(model, name), predicted[media.decoder_place[rows]], source)


def _single_loss(model: Network, name: str, media: MediaBatch, predicted: Tensor, rows: list[int]) -> Tensor:
    decoder = model.decoder(name)
    assert decoder is not None
    features, targets = predicted[media.decoder_place[rows]], _targets(media)[rows]
    if media.decoder_sources is None:
        return decoder.loss(features, targets)
    return decoder.loss(features, targets, [media.decoder_sources[k] for k in rows])
