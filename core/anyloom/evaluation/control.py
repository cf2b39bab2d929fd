"""The control of a suite: what decoders make of true features, scored like answers.

An answer goes through the language model and a decoder. Here the decoder gets the feature that the encoder gives of
the right medium, so a poor number of the control is the decoder's and not the language model's. Where nobody knows the
right medium, the last one of the prompt that has its modality stands for it. Decoders get no reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from anyloom.conversation.segments import Media, Message, Text
from anyloom.interfaces.decoder import Condition
from anyloom.interfaces.metric import Evaluated, Metric
from anyloom.sequence.seeds import sample_name, seed_of

if TYPE_CHECKING:
    from anyloom.evaluation.results import Results
    from anyloom.interfaces.dataset import Sample
    from anyloom.model.model import AnyToAnyModel

__all__ = ["CONTROL", "control_answers", "control_name", "of_control", "update_with_control"]

CONTROL: Final = "true-features"
"""First part of the groups of control values: ``<metric>/true-features/<group>/<value>``."""


def control_name(name: str) -> str:
    """Name of the control's value beside a value.

    >>> control_name("clip/prompt/directional")
    'clip/true-features/prompt/directional'
    """
    metric, _, rest = name.partition("/")
    return f"{metric}/{CONTROL}/{rest}"


def of_control(results: Results) -> Results:
    """The same results under the control's names; single scores are left out, they would pair with the answers'."""
    return replace(
        results,
        values={control_name(name): value for name, value in results.values.items()},
        flags={control_name(name): said for name, said in results.flags.items()},
        scores={},
    )


@torch.no_grad()
def control_answers(
    model: AnyToAnyModel, samples: Sequence[Sample], *, seed: int = 0, made: dict[str, Media] | None = None
) -> list[Evaluated]:
    """Samples whose every medium can be decoded from a true feature, with what comes of it as their answers.

    Args:
        model: The model, in eval mode.
        samples: Their last message is the target.
        seed: Of the decoders; what becomes of a medium depends on its key, or the sample's name, and this alone.
        made: What has become of media, by name; a medium that several samples ask for is decoded once.
    """
    made = {} if made is None else made
    true = [(sample, media) for sample in samples if (media := _true_media(model, sample)) is not None]
    new = {name: m for sample, media in true for name, m in _named(sample, media).items() if name not in made}
    for modality in dict.fromkeys(m.modality for m in new.values()):
        own = {name: m for name, m in new.items() if m.modality == modality}
        seeds = [seed_of(seed, name, 0) % 2**31 for name in own]
        made |= zip(own, _decoded(model, modality, list(own.values()), seeds))
    return [Evaluated(s, _message(s, [made[name] for name in _named(s, media)])) for s, media in true]


def _named(sample: Sample, media: Sequence[Media]) -> dict[str, Media]:
    """Media by names under which they may be found again; each place has one of its own."""
    return {f"{m.key or sample_name(sample)}#{number}": m for number, m in enumerate(media)}


def update_with_control(
    model: AnyToAnyModel, samples: Sequence[Sample], metrics: Mapping[str, Metric], *, seed: int, batch_size: int
) -> None:
    """Update metrics that look at decoded media with the control's answers; others are left as they are."""
    looking = {key: metric for key, metric in metrics.items() if metric.needs_media}
    wanted = [s for s in samples if any(m.wants(s) for m in looking.values()) and _true_media(model, s)]
    for metric in looking.values() if wanted else ():
        metric.reset()
        metric.prepare(model)
    made: dict[str, Media] = {}
    for start in range(0, len(wanted), batch_size):
        evaluated = control_answers(model, wanted[start : start + batch_size], seed=seed, made=made)
        for metric in looking.values():
            if chosen := [e for e in evaluated if metric.wants(e.sample)]:
                metric.update(chosen)


def _true_media(model: AnyToAnyModel, sample: Sample) -> list[Media] | None:
    """What is to be decoded in the place of each medium of the target; None if there is nothing, or it cannot be."""
    given, found = sample.conversation.prompt().media, list[Media]()
    for medium in sample.conversation.messages[-1].media:
        options = model.config.modalities.get(medium.modality)
        if options is None or options.decoder is None or options.predicted is None:
            return None
        instead = [m for m in given if m.modality == medium.modality and m.has_data]
        if not medium.has_data and not instead:
            return None
        found.append(medium if medium.has_data else instead[-1])
    return found or None


def _decoded(model: AnyToAnyModel, modality: str, media: Sequence[Media], seeds: Sequence[int]) -> list[Media]:
    encoder = model.parts.encoder(str(model.config.modalities[modality].predicted))
    decoder = model.decoder(modality)
    assert decoder is not None, "only media that have a decoder are asked for"
    inputs = torch.stack([encoder.preprocess(m) for m in media]).to(model.device)
    features = encoder(inputs, modality).float()
    return [replace(m, features=f) for m, f in zip(decoder.generate(Condition(features), seeds=seeds), features)]


def _message(sample: Sample, media: Sequence[Media]) -> Message:
    rest = iter(media)
    target = sample.conversation.messages[-1]
    return Message("assistant", [s if isinstance(s, Text) else next(rest) for s in target.segments])
