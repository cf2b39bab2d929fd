"""L_DM of a batch: every decoder's own loss, coupled decoders (``model.couple``) together.

The first medium of one modality in an assistant message goes with the first of the other, the second with the second,
and so on; what is left over is on its own. Chance comes from the seeds of the targets, so that a target's loss depends
on nothing else.

Shape legend: T media that are to be produced, K of them with decoder targets, L features per medium, D feature dim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from anyloom.interfaces.decoder import Condition
from anyloom.interfaces.promises import row_losses
from anyloom.network.config import ModelConfig
from anyloom.network.idle import Idle
from anyloom.network.parts import Parts
from anyloom.sequence.batch import DecoderTargets, MediaBatch

__all__ = ["decoder_losses", "rows_of"]

Turn = tuple[int, int, int]
"""Sample, message and number in the message of a medium that is produced."""


def decoder_losses(
    config: ModelConfig,
    parts: Parts,
    media: Mapping[str, MediaBatch],
    predicted: Mapping[str, Tensor],
    *,
    trained: bool,
    idle: Idle | None = None,
) -> dict[str, tuple[Tensor, int]]:
    """Summed loss ``()`` and number of targets of every modality that has decoder targets.

    Args:
        config: Says which decoders are coupled.
        parts: Has decoders and couplers.
        media: The batch's media by modality.
        predicted: c_MLLM ``(K, L, D)`` of the decoder targets, by modality.
        trained: Draw from the targets' ``chance``, not from generators of their ``seeds``.
        idle: Runs decoders that have no target.
    """
    waiting = {n: list(range(len(m.decoder.place))) for n, m in media.items() if m.decoder is not None}
    found: dict[str, list[Tensor]] = {name: [] for name in waiting}
    summed: dict[str, tuple[Tensor, int]] = {}
    for key, couple in config.couple.items():
        pairs = _pairs(couple.pair, media, waiting)
        if not pairs:
            continue
        rows = [[pair[side] for pair in pairs] for side in (0, 1)]
        sides = [_Side(media[name].decoder, predicted[name], own) for name, own in zip(couple.pair, rows)]
        losses = parts.coupler(key)(
            [parts.decoder(str(config.modalities[name].decoder)) for name in couple.pair],
            [side.condition for side in sides],
            [side.targets for side in sides],
            [side.chance if trained else side.seeds for side in sides],
        )
        for name, own, loss in zip(couple.pair, rows, losses):
            found[name].append(loss)
            waiting[name] = [k for k in waiting[name] if k not in own]
    for name in sorted(config.modalities):
        options = config.modalities[name]
        alone = waiting.get(name)
        if alone:
            side = _Side(media[name].decoder, predicted[name], alone)
            decoder = parts.decoder(str(config.modalities[name].decoder))
            given = decoder(side.condition, side.targets, side.chance if trained else side.seeds)
            found[name].append(row_losses(given, len(alone), decoder))
        elif idle is not None and options.decoder is not None and options.diffusion_weight and not found.get(name):
            idle.decoder(options.decoder)
        # Summed here and not at the end, so that gradients come to the decoders in the order they were called.
        if found.get(name):
            each = torch.cat(found[name])
            summed[name] = each.sum(), len(each)
    return summed


def _pairs(
    names: Sequence[str], media: Mapping[str, MediaBatch], waiting: Mapping[str, list[int]]
) -> list[tuple[int, int]]:
    """Decoder targets of both modalities that belong together."""
    if not all(name in waiting for name in names):
        return []
    first, second = (_by_turn(media[name], waiting[name]) for name in names)
    return [(first[turn], second[turn]) for turn in first if turn in second]


def _by_turn(media: MediaBatch, rows: Sequence[int]) -> dict[Turn, int]:
    assert media.decoder is not None
    places = media.decoder.places
    return {media.made_at[places[k]]: k for k in rows}


class _Side:
    """Some of the decoder targets of one modality, with the features predicted for them ``(K, L, D)``."""

    def __init__(self, targets: DecoderTargets | None, predicted: Tensor, rows: Sequence[int]) -> None:
        assert targets is not None
        assert targets.targets is not None
        every = len(rows) == len(targets.targets)
        self.condition = Condition(
            rows_of(predicted, rows, every),
            None if targets.references is None else rows_of(targets.references, rows, every),
            None if targets.has_reference is None else rows_of(targets.has_reference, rows, every),
            targets.encoded,
        )
        self.targets = rows_of(targets.targets, rows, every)
        self.seeds = [targets.seeds[k] for k in rows]
        self.chance = rows_of(targets.chance, rows, every)


def rows_of(tensor: Tensor, rows: Sequence[int], every: bool) -> Tensor:
    """Some rows ``(R, ...)`` of a tensor ``(N, ...)``; the tensor itself where these are all rows in their order.

    >>> rows_of(torch.tensor([10, 11, 12]), [2, 0], every=False)
    tensor([12, 10])
    """
    return tensor if every else tensor[torch.tensor(list(rows), device=tensor.device)]
