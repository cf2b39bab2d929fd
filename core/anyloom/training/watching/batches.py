"""Faults that a batch and the features of its media show, before anything is learnt from them.

Shape legend: N places of media, U distinct media, L features per medium, D feature dim.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.errors import AnyloomError
from anyloom.interfaces.dataset import Sample
from anyloom.interfaces.decoder import Condition
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.network.network import Encoded, Network
from anyloom.sequence.batch import Batch, EncoderInputs
from anyloom.training.watching.finding import Finding, spread, times

__all__ = ["batch_findings", "decoder_findings", "feature_findings", "label_findings", "weight_findings"]

_FEW = 4
"""Fewer distinct media may look alike by chance."""

_DECODED = 8
"""Media that a decoder is shown."""

_WIDE = 3.0
"""How many times larger or smaller than declared a scale may be over the few media of one batch."""


def batch_findings(model: Network, batch: Batch, encoded: Mapping[str, Encoded]) -> Iterator[Finding]:
    """Everything that one batch shows."""
    yield from label_findings(batch)
    yield from weight_findings(model, batch)
    for name, features in encoded.items():
        media, options = batch.media[name], model.config.modalities[name]
        if media.given is not None and features.given is not None:
            space = model.parts.encoder(str(options.encoder)).feature_space(name)
            yield from feature_findings(features.given, media.given, space, str(options.encoder), name)
        if media.wanted is not None and features.wanted is not None and len(media.made):
            space = model.parts.encoder(str(options.target_encoder)).feature_space(name)
            yield from feature_findings(
                features.wanted[media.made], media.wanted, space, str(options.target_encoder), name
            )
    yield from decoder_findings(model, batch, encoded)


def decoder_findings(model: Network, batch: Batch, encoded: Mapping[str, Encoded]) -> Iterator[Finding]:
    """What decoders say of the batch's own media and their true features, whether or not L_DM has a weight."""
    samples = list(batch.samples)
    for name, features in encoded.items():
        media, decoder = batch.media[name], model.decoder(name)
        if decoder is None or features.wanted is None or not len(media.made):
            continue
        places = media.made_at[:_DECODED]
        try:
            targets = torch.stack([decoder.preprocess(_made(samples, name, *place)) for place in places])
        except AnyloomError:  # media that cannot be read are told elsewhere
            continue
        true = features.wanted[media.made[: len(places)]]
        key = model.config.modalities[name].decoder
        for doubt in decoder.doubts(Condition(true), targets.to(true.device)):
            yield Finding(doubt.name, f"model.decoders.{key}.{doubt.option}", f"{name}: {doubt.what}", doubt.fix)


def _made(samples: Sequence[Sample], modality: str, sample: int, message: int, number: int) -> Media:
    own = [m for m in samples[sample].conversation.messages[message].media if m.modality == modality]
    return own[number]


def label_findings(batch: Batch) -> Iterator[Finding]:
    """Whether the label of each score is the token after it: a score at position t is about the token at t + 1.

    >>> import torch
    >>> places = torch.arange(3)[None]
    >>> batch = Batch(torch.tensor([[5, 6, 7]]), places, places * 0 + 1, torch.tensor([[0, 1]]), torch.tensor([6]))
    >>> [finding.what for finding in label_findings(batch)]
    ['100% of the labels are not the token that comes after the position they are compared with']
    """
    row, position = batch.label_at.unbind(1)
    if not len(row):
        return
    after = (position + 1).clamp_max(batch.ids.shape[1] - 1)
    right = float((batch.ids[row, after] == batch.labels).float().mean())
    if right < 0.9:
        what = f"{1 - right:.0%} of the labels are not the token that comes after the position they are compared with"
        yield Finding("labels", "data", what, "shift them by none: label_at is one before the label's own token")


def weight_findings(model: Network, batch: Batch) -> Iterator[Finding]:
    """Whether every medium that is to be produced has a term of the loss that weighs anything."""
    config = model.config
    if len(batch.labels) and not config.loss.text_weight:
        what = "the weight is 0, so neither words nor the tags that begin a medium are learnt"
        yield Finding("weight", "model.loss.text_weight", what, "raise it")
    for name, media in batch.media.items():
        options = config.modalities[name]
        supervised = model.spaces[name].supervised and options.feature_weight
        decoded = model.decoder(name) is not None and options.diffusion_weight
        if len(media.made) and not (supervised or decoded or config.losses):
            where = f"model.modalities.{name}.feature_weight"
            what = f"every term of {name} has the weight 0, so {len(media.made)} media of this batch teach nothing"
            yield Finding("weight", where, what, "raise it, or diffusion_weight, or leave the media out of the data")


def feature_findings(
    features: Tensor, inputs: EncoderInputs, space: FeatureSpace, key: str, modality: str
) -> Iterator[Finding]:
    """Whether features are of the scale that their space declares, and differ from medium to medium.

    Args:
        features: ``(N, L, D)``.
        inputs: Says how many of them are distinct.
        space: What the encoder declares.
        key: The encoder's key.
        modality: Of the media.
    """
    if space.codes is not None:
        return
    features = features.detach().float()
    where = f"model.encoders.{key}"
    rms = float(features.square().mean().sqrt())
    size = rms * space.dim**0.5 if space.scale == "unit" else rms  # a unit vector has a mean square of 1 / D
    if space.scale == "unit" and abs(size - 1) > 0.1:
        what = f"features of {modality} are declared L2-normalised, but have the length {size:.3g}"
        yield Finding("scale", where, what, "normalise them, or declare scale: raw")
    elif space.scale == "standard" and not 1 / _WIDE < size < _WIDE:
        what = f"features of {modality} are declared standardised, but are {times(size)} (RMS {size:.3g})"
        yield Finding("scale", where, what, "fit the statistics again, or declare scale: raw")
    elif space.scale == "raw" and not 1e-3 < size < 30:
        what = f"features of {modality} have an RMS of {size:.3g}, against which no other term of the loss counts"
        yield Finding("scale", where, what, "standardise them, and look at the range of the media")
    if len(inputs.names) >= _FEW and len(features) >= _FEW and spread(features) < 0.01 * rms:
        what = f"the features of {len(inputs.names)} different media of {modality} are all alike"
        fix = "look at the media and their range (0..255 where 0..1 is meant?), and at the encoder's weights"
        yield Finding("constant", where, what, fix)
