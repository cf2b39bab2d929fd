"""Checks of encoders: media to features."""

from __future__ import annotations

import unittest
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.errors import AnyloomError
from anyloom.testing.case import EncoderCase
from anyloom.testing.checking import check, require
from anyloom.testing.neural import NeuralChecks, close
from anyloom.testing.preparing import prepared

__all__ = ["EncoderChecks"]


class EncoderChecks(NeuralChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.EncoderCase`."""

    shapes_in: ClassVar[tuple[str, ...]] = ("preprocess", "forward")

    def outputs(self, case: EncoderCase, part: Any) -> dict[str, Tensor]:
        """Features ``(B, L, D)`` by modality."""
        inputs = prepared(part, case.media)
        device = next((t.device for t in (*part.parameters(), *part.buffers())), torch.device("cpu"))
        return {name: part(stack.to(device), name) for name, stack in inputs.items()}

    @check("cut, pad or resize in preprocess until all media of a modality have one shape")
    def test_preprocessed_media_stack(self, case: EncoderCase) -> None:
        """`preprocess` gives CPU tensors of one shape and type for all media of a modality, the same each time."""
        part = self.made(case)
        for name, stack in prepared(part, case.media).items():
            require(stack.device.type == "cpu", f"preprocessed {name} is not on the CPU")
            require(len(stack) > 1, f"the case has only one media item of {name}: give two or more")
        first, second = (part.preprocess(case.media[0]) for _ in range(2))
        require(torch.equal(first, second), "preprocess gives another tensor the second time")

    @check("read only self.config in preprocess: data workers get a copy without weights")
    def test_preprocess_needs_no_weights(self, case: EncoderCase) -> None:
        """`preprocess` gives the same where the encoder has no weights."""
        with torch.device("meta"):
            bare = case.build()
        part = self.made(case)
        torch.manual_seed(0)
        full = prepared(part, case.media)
        torch.manual_seed(0)
        empty = prepared(bare, case.media)
        require(not any(v.is_meta for v in empty.values()), "on an encoder without weights preprocess gives no values")
        require(all(torch.equal(full[k], empty[k]) for k in full), "preprocess depends on the weights")

    @check("return (B, L, D) from forward, with L and D as feature_space says; normalise where scale is 'unit'")
    def test_features_fit_the_declared_space(self, case: EncoderCase) -> None:
        """Features are finite, of the shape that `feature_space` declares, and of length 1 if it says so."""
        part = self.shaken(case)
        for name, features in self.run(case, part).items():
            space = part.feature_space(name)
            require(
                features.ndim == 3 and features.shape[1:] == (space.tokens, space.dim),
                f"features of {name} are {tuple(features.shape)}, declared is (B, {space.tokens}, {space.dim})",
            )
            require(
                features.is_floating_point() and bool(features.isfinite().all()),
                f"features of {name} are no finite numbers",
            )
            if space.scale == "unit":
                norms = features.float().norm(dim=-1)
                require(close(norms, torch.ones_like(norms)), f"features of {name} are declared unit, and are not")

    @check("keep rows apart: no batch statistics, no normalisation over the batch dimension")
    def test_batch_equals_singles(self, case: EncoderCase) -> None:
        """The features of a media item do not depend on its batch."""
        part = self.shaken(case)
        for name, stack in prepared(part, case.media).items():
            with torch.no_grad():
                together = part(stack, name)
                alone = torch.cat([part(row[None], name) for row in stack])
            require(close(together, alone), f"features of {name} change with the batch")

    @check("look whether preprocess or forward loses the media's content")
    def test_features_depend_on_the_media(self, case: EncoderCase) -> None:
        """Different media have different features."""
        for name, features in self.run(case, self.shaken(case)).items():
            require(not close(features[0], features[1]), f"two different media of {name} have the same features")

    @check("give example() the shape and type that preprocess gives, with a first dimension of 1")
    def test_example_stands_for_absent_media(self, case: EncoderCase) -> None:
        """`example()` is a medium like any other, and its features are finite."""
        part = self.shaken(case)
        for name, stack in prepared(part, case.media).items():
            try:
                example = part.example(name)
            except NotImplementedError as error:
                raise unittest.SkipTest("no example(): it cannot be trained or sharded over processes") from error
            wanted = (1, *stack.shape[1:])
            require(tuple(example.shape) == wanted, f"example({name!r}) is {tuple(example.shape)}, media are {wanted}")
            require(example.dtype == stack.dtype, f"example({name!r}) is {example.dtype}, media are {stack.dtype}")
            with torch.no_grad():
                features = part(example.to(stack.device), name)
            require(bool(features.isfinite().all()), f"the features of example({name!r}) are no finite numbers")

    @check("raise anyloom.errors.ConfigError in feature_space for a modality that is not encoded")
    def test_foreign_modality_is_refused(self, case: EncoderCase) -> None:
        """Asked for a modality that its record does not name, the encoder raises one clear error."""
        if not case.spec.modalities:
            raise unittest.SkipTest("the record names no modalities: it takes any")
        try:
            self.made(case).feature_space("no-such-modality")
        except AnyloomError as error:
            require("no-such-modality" in str(error), f"the error does not name the modality: {error}")
            return
        require(False, "it declares a feature space for 'no-such-modality'")

    @check("use no torch.no_grad() or detach() in forward: the framework runs a frozen encoder without gradient")
    def test_learns_when_not_frozen(self, case: EncoderCase) -> None:
        """With `freeze: false`, gradient reaches its parameters; an encoder of codes, which have none, refuses that."""
        if all(self.made(case).feature_space(name).codes is not None for name in {m.modality for m in case.media}):
            try:
                self.made(case, freeze=False)
            except AnyloomError:
                return
            require(False, "its codes have no gradient, and with freeze: false it is built all the same")
        part = self.shaken(case, freeze=False).train()
        features = list(self.outputs(case, part).values())
        if any(f.requires_grad for f in features):
            torch.autograd.backward([f.float().square().sum() for f in features if f.requires_grad])
        self.require_gradient(part, "with freeze: false")
