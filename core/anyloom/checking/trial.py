"""Runs every encoder, representation and decoder once on the meta device: what does not fit shows before any weight."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, MutableSet
from functools import partial

import torch
from torch import Tensor

from anyloom.checking.likeness import likeness
from anyloom.errors import AnyloomError, PluginError
from anyloom.interfaces.component import NeuralComponent
from anyloom.interfaces.decoder import Condition
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.interfaces.promises import origin, row_losses, shaped
from anyloom.interfaces.representation import Before
from anyloom.network.network import Network

__all__ = ["trial_problems"]

_META = torch.device("meta")


def trial_problems(network: Network, tried: MutableSet[Hashable] | None = None) -> list[AnyloomError]:
    """Return what components do other than they promise, each with its key, package and version.

    A component that asks for values, which the meta device has none of, or that has no example, is passed over.

    Args:
        network: On the meta device.
        tried: Encoders and decoders that were tried before, with the modality (see
            :func:`~anyloom.checking.likeness.likeness`); those of this network are added.
    """
    problems: list[AnyloomError] = []
    for key, component, action in _trials(network, set() if tried is None else tried):
        try:
            with torch.no_grad(), _META:
                action()
        except NotImplementedError:
            continue
        except AnyloomError as error:
            problems.append(PluginError(f"{error.what} ({error.where})", where=key, fix=error.fix))
        except Exception as error:  # a component's own
            if _asks_for_values(error):
                continue
            text = " ".join(f"{type(error).__name__}: {error}".split())
            problems.append(
                PluginError(
                    f"{origin(component)} fails on a blank medium ({text})",
                    where=key,
                    fix="look at its options; if they are right, tell its authors",
                )
            )
    return problems


def _asks_for_values(error: Exception) -> bool:
    """Whether an error says no more than that the meta device holds no values."""
    return "meta" in str(error).lower()


def _trials(network: Network, tried: MutableSet[Hashable]) -> Iterator[tuple[str, object, Callable[[], object]]]:
    """Key, component and what to run, for each component and each modality it serves."""
    parts = network.parts

    def first(component: NeuralComponent, name: str) -> bool:
        key = (likeness(component), name)
        new = key not in tried
        tried.add(key)
        return new

    for name, modality in sorted(network.config.modalities.items()):
        for key in sorted({k for k in (modality.encoder, modality.target_encoder) if k is not None}):
            encoder = parts.encoder(key)
            if first(encoder, name):
                yield f"model.encoders.{key}", encoder, partial(_encode, network, key, name)
        where = f"model.modalities.{name}.representation"
        yield where, parts.representation(name), partial(_represent, network, name)
        if modality.decoder is not None and parts.decoder(modality.decoder).differentiable:
            decoder = parts.decoder(modality.decoder)
            if first(decoder, name):
                yield f"model.decoders.{modality.decoder}", decoder, partial(_decode, network, modality.decoder)


def _encode(network: Network, key: str, name: str) -> None:
    encoder = network.parts.encoder(key)
    space = encoder.feature_space(name)
    dtype = next((p.dtype for p in encoder.parameters() if p.is_floating_point()), torch.float32)
    with torch.device("cpu"):  # preprocessing looks at values
        example = encoder.example(name).to(_META)
    given = encoder(example.to(dtype) if example.is_floating_point() else example, name)
    shaped(given, (1, space.tokens, space.dim), encoder, "forward")


def _represent(network: Network, name: str) -> None:
    representation, spaces = network.representation(name), network.spaces[name]
    given, target, width, n = spaces.given, spaces.predicted, network.llm.hidden_size, representation.num_positions
    before = None
    if representation.uses_before:
        before = Before(_blank(target), torch.zeros(1, dtype=torch.bool))
    if given is not None:
        shaped(representation.embed(_blank(given), before), (1, given.tokens, width), representation, "embed")
    embedded = representation.embed_target(_blank(target), before)
    shaped(embedded, (1, n, width), representation, "embed_target")
    hidden = torch.zeros(1, n + 1, width)
    shaped(representation.read(hidden, before), (1, target.tokens, target.dim), representation, "read")
    if spaces.supervised:
        shaped(representation.loss(hidden, _blank(target), before), (1,), representation, "loss")


def _decode(network: Network, key: str) -> None:
    decoder = network.parts.decoder(key)
    with torch.device("cpu"):
        example = decoder.example().to(_META)
    row_losses(decoder(Condition(_blank(decoder.feature_space())), example), 1, decoder)


def _blank(space: FeatureSpace) -> Tensor:
    return torch.zeros(1, space.tokens, space.dim)
