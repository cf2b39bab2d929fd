"""Checks of decoders: features to media by whatever means, and a loss with gradient to the features."""

from __future__ import annotations

import unittest
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.errors import AnyloomError
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.decoder import Condition
from anyloom.testing.case import DecoderCase
from anyloom.testing.checking import check, require
from anyloom.testing.neural import NeuralChecks, close
from anyloom.testing.preparing import prepared

__all__ = ["DecoderChecks", "condition_of", "targets_of"]

_COPIES = 8
_FALL = 0.9
_ROUNDING = 1e-3
"""Share of the difference between two media that rounding may make; single values may differ by more than that."""


def condition_of(part: Any, rows: int, *, seed: int = 3) -> Condition:
    """Features ``(rows, L, D)`` of a decoder's space: codes, or of unit length, where it says so; no references."""
    space, generator = part.feature_space(), torch.Generator().manual_seed(seed)
    shape = (rows, space.tokens, space.dim)
    if space.codes is not None:
        return Condition(torch.randint(space.codes, shape, generator=generator).float().to(_device(part)))
    drawn = torch.randn(shape, generator=generator)
    if space.scale == "unit":
        drawn = torch.nn.functional.normalize(drawn, dim=-1)
    return Condition(drawn.to(_device(part)))


def targets_of(case: DecoderCase, part: Any) -> Tensor:
    """Targets ``(B, ...)`` of a case's media."""
    stacks = prepared(part, case.media)
    require(list(stacks) == [part.modality], f"it makes {part.modality!r}, the case has {', '.join(stacks)}")
    return stacks[part.modality].to(_device(part))


def _device(part: Any) -> torch.device:
    return next((t.device for t in (*part.parameters(), *part.buffers())), torch.device("cpu"))


class DecoderChecks(NeuralChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.DecoderCase`."""

    shapes_in: ClassVar[tuple[str, ...]] = ("preprocess",)
    runs_on_meta = False

    def outputs(self, case: DecoderCase, part: Any) -> dict[str, Tensor]:
        """The loss, and what is made of the same features."""
        targets = targets_of(case, part)
        condition = condition_of(part, len(targets))
        made = self.generate(case, part, condition_of(part, 1), [0])[0]
        return {"loss": part(condition, targets), "media": made.tensor()}

    def generate(self, case: DecoderCase, part: Any, condition: Condition, seeds: list[int]) -> list[Media]:
        """Media of a condition under the case's sampling options."""
        media: list[Media] = part.generate(condition, seeds=seeds, sampling=part.Sampling(**case.sampling))
        return media

    @check("read only self.config in preprocess: data workers get a copy without weights")
    def test_preprocess_needs_no_weights(self, case: DecoderCase) -> None:
        """`preprocess` gives the same where the decoder has no weights."""
        with torch.device("meta"):
            bare = case.build()
        part = self.made(case)
        torch.manual_seed(0)
        full = prepared(part, case.media)
        torch.manual_seed(0)
        empty = prepared(bare, case.media)
        require(not any(v.is_meta for v in empty.values()), "on a decoder without weights preprocess gives no values")
        require(all(torch.equal(full[k], empty[k]) for k in full), "preprocess depends on the weights")

    @check("return one loss per sample (B,), without a mean over the batch")
    def test_loss_has_a_value_for_each_sample(self, case: DecoderCase) -> None:
        """The loss is finite and of shape (B,)."""
        part = self.shaken(case)
        targets = targets_of(case, part)
        losses = part(condition_of(part, len(targets)), targets)
        require(losses.shape == (len(targets),), f"for {len(targets)} samples the loss is {tuple(losses.shape)}")
        require(bool(losses.isfinite().all()), "the loss holds NaN or infinite values")

    @check("draw what the loss draws for a row from a generator of that row's seed, and nothing from elsewhere")
    def test_loss_of_a_seeded_row_does_not_depend_on_its_batch(self, case: DecoderCase) -> None:
        """With seeds a row has the same loss alone, in a batch, and whatever the global random state."""
        part = self.shaken(case)
        condition, targets = condition_of(part, 2), targets_of(case, part)[:2]
        together = self.losses(part, condition, targets, [5, 6])
        torch.manual_seed(11)
        alone = part(Condition(condition.features[1:]), targets[1:], [6])
        require(close(together[1:], alone), "a row's loss under one seed changes with the batch or the global state")

    @check("give example() the shape and type that preprocess gives, with a first dimension of 1")
    def test_example_stands_for_absent_media(self, case: DecoderCase) -> None:
        """`example()` is a target like any other, and its loss is finite."""
        part = self.made(case)
        example, targets = part.example(), targets_of(case, part)
        wanted = (1, *targets.shape[1:])
        require(tuple(example.shape) == wanted, f"example() is {tuple(example.shape)}, targets are {wanted}")
        require(example.dtype == targets.dtype, f"example() is {example.dtype}, targets are {targets.dtype}")
        require(
            bool(part(condition_of(part, 1), example.to(targets.device)).isfinite().all()), "its loss is not finite"
        )

    @check("freeze with requires_grad_(False), not with torch.no_grad(): the features need gradient all the same")
    def test_frozen_decoder_passes_gradient_to_the_features(self, case: DecoderCase) -> None:
        """Frozen, its parameters get no gradient and the features of every sample do, if it is differentiable."""
        part = self.shaken(case, freeze=True).requires_grad_(False).train()
        if not part.differentiable:
            raise unittest.SkipTest("it says that its loss has no gradient to the features")
        targets = targets_of(case, part)
        condition = condition_of(part, len(targets))
        condition.features.requires_grad_()
        losses = part(condition, targets)
        require(losses.requires_grad, "the loss has no gradient at all")
        losses.sum().backward()
        grad = condition.features.grad
        require(grad is not None and bool((grad.abs().sum((1, 2)) > 0).all()), "some sample's features get no gradient")

    @check("apply 'freeze' in __init__: a frozen decoder's parameters do not require gradient")
    def test_freeze_fixes_the_parameters(self, case: DecoderCase) -> None:
        """With `freeze: true` no parameter asks for gradient."""
        part = self.made(case, freeze=True)
        free = [n for n, p in part.named_parameters() if p.requires_grad]
        require(not free, f"these parameters of a frozen decoder still ask for gradient: {', '.join(free[:3])}")

    @check("check that the loss compares with the target, and that gradient reaches the network's parameters")
    def test_learns_one_sample_by_heart(self, case: DecoderCase) -> None:
        """With `freeze: false`, its loss on one sample falls in a few steps."""
        part = self.made(case, freeze=False).train()
        targets = targets_of(case, part)[:1]
        targets = targets.expand(_COPIES, *targets.shape[1:])
        condition = Condition(condition_of(part, 1).features.expand(_COPIES, -1, -1))
        trained = [p for p in part.parameters() if p.requires_grad]
        require(bool(trained), "with freeze: false no parameter can be trained")
        optimizer = torch.optim.AdamW(trained, lr=case.learning_rate)
        before = self.measured(part, condition, targets)
        for _ in range(case.learning_steps):
            optimizer.zero_grad()
            part(condition, targets).mean().backward()
            optimizer.step()
        after = self.measured(part, condition, targets)
        what = f"after {case.learning_steps} steps on one sample the loss is {after:.3g}, {before:.3g} at first"
        require(after < _FALL * before, what)

    @torch.no_grad()
    def measured(self, part: Any, condition: Condition, targets: Tensor) -> float:
        """Mean loss on targets ``(B, ...)`` in evaluation mode, under fixed seeds."""
        part.eval()
        total = 0.0
        for seed in range(4):
            torch.manual_seed(seed)
            total += float(part(condition, targets, [_COPIES * seed + row for row in range(len(targets))]).mean())
        part.train()
        return total / 4

    def losses(self, part: Any, condition: Condition, targets: Tensor, seeds: list[int]) -> Tensor:
        """Losses ``(B,)`` under seeds, and under one global state for a decoder that takes no notice of them."""
        torch.manual_seed(1)
        losses: Tensor = part(condition, targets, seeds)
        if losses.shape != (len(targets),):
            raise unittest.SkipTest("its loss has no value for each sample")
        return losses

    @check("raise anyloom.errors.FeatureSpaceError where features are not (B, L, D) of feature_space")
    def test_wrong_features_are_refused(self, case: DecoderCase) -> None:
        """Features of another width raise one clear error, in the loss and when media are made."""
        part = self.made(case)
        wide = Condition(torch.cat([condition_of(part, 1).features] * 2, -1))
        for what, run in (
            ("the loss", lambda: part(wide, targets_of(case, part)[:1])),
            ("generate", lambda: self.generate(case, part, wide, [0])),
        ):
            try:
                run()
            except AnyloomError:
                continue
            except Exception as error:
                require(False, f"features of twice the width raise {type(error).__name__} in {what}: {error}")
            require(False, f"{what} accepts features of twice the width")

    @check("nest a class Sampling with options of this decoder alone, None for 'as in the config', and call chosen()")
    def test_sampling_options_are_declared(self, case: DecoderCase) -> None:
        """`Sampling` is a Config whose options may all be left out; those of another class are refused."""
        part = self.shaken(case)
        cls = part.Sampling
        require(isinstance(cls, type) and issubclass(cls, ComponentConfig), "Sampling is no ComponentConfig")
        needed = [name for name, field in cls.model_fields.items() if field.is_required()]
        require(not needed, f"these sampling options have no default: {', '.join(needed)}")

        class Other(ComponentConfig):
            """Options of nobody."""

        try:
            part.generate(condition_of(part, 1), seeds=[0], sampling=Other())
        except AnyloomError:
            return
        except Exception as error:
            require(False, f"sampling options of another class raise {type(error).__name__}: {error}")
        require(not cls.model_fields, "sampling options of another class are accepted in silence")

    @check("return one Media per row, of the decoder's modality, float32 or uint8 on the CPU, with features=row")
    def test_generates_media(self, case: DecoderCase) -> None:
        """It makes one finite media item per row, which carries the features it was made from."""
        part = self.shaken(case)
        condition = condition_of(part, 2)
        media = self.generate(case, part, condition, [0, 1])
        require(len(media) == 2, f"for 2 rows it makes {len(media)} media")
        for item, row in zip(media, condition.features):
            data = item.tensor()
            require(item.modality == part.modality, f"it makes {item.modality!r}, its modality is {part.modality!r}")
            require(data.device.type == "cpu" and bool(data.isfinite().all()), "the media are no finite CPU tensors")
            kept = item.features is not None and torch.equal(item.features.float().cpu(), row.float().cpu())
            require(kept, "a media item does not carry the features it was made from")

    @check("make generated media of the form that preprocess takes, with what it needs in meta")
    def test_takes_its_own_media_back(self, case: DecoderCase) -> None:
        """What it makes can be preprocessed like a target: generated media go back in as context."""
        part = self.shaken(case)
        back = part.preprocess(self.generate(case, part, condition_of(part, 1), [0])[0])
        wanted = targets_of(case, part).shape[1:]
        require(back.shape == wanted, f"generated media are preprocessed to {tuple(back.shape)}, not {tuple(wanted)}")

    @check("draw each row's noise from a generator of its own seed, and share nothing between rows")
    def test_row_does_not_depend_on_its_batch(self, case: DecoderCase) -> None:
        """A row with its seed gives the same media alone and in a batch, and other media under another seed."""
        part = self.shaken(case)
        # without chance the seeds make no difference, so that rows of other features have to
        features = condition_of(part, 2).features
        condition = Condition(features[:1].expand(2, -1, -1) if case.uses_chance else features)
        first, second = (m.tensor().float() for m in self.generate(case, part, condition, [5, 6]))
        what = "two seeds give equal media" if case.uses_chance else "two features give equal media"
        require(not torch.equal(first, second), what)
        torch.manual_seed(11)
        alone = self.generate(case, part, Condition(features[:1]), [5])[0].tensor().float()
        apart, own = float((first - second).abs().mean()), float((first - alone).abs().mean())
        what = f"alone and in a batch a row's media differ by {own:.2g}, two rows of it by {apart:.2g}"
        require(own <= _ROUNDING * apart, what)

    @check("read the reference of rows that have one only (has_reference), in the loss and in generate")
    def test_rows_without_a_reference_are_as_without_any(self, case: DecoderCase) -> None:
        """A row without a reference has the loss and the media that it has where nobody has one."""
        part = self.shaken(case)
        if not part.uses_reference:
            raise unittest.SkipTest("it uses no reference")
        condition, targets = condition_of(part, 2), targets_of(case, part)[:2]
        beside = replace(condition, reference=targets, has_reference=torch.tensor([True, False]).to(targets.device))
        none, one = (self.losses(part, c, targets, [1, 2]) for c in (condition, beside))
        require(close(none[1:], one[1:]), "the loss of a row changes with a reference that it does not have")
        plain, edited = (self.generate(case, part, c, [1, 2])[1].tensor().float() for c in (condition, beside))
        require(close(plain, edited), "the media of a row change with a reference that it does not have")

    @check("take latents in forward where the condition is encoded: the references too, which a feature store keeps")
    def test_latents_stand_for_their_media(self, case: DecoderCase) -> None:
        """Where it says what makes its latents, the loss of latents is that of their media."""
        part = self.shaken(case)
        if part.latent_encoder() is None:
            raise unittest.SkipTest("its loss is not about latents")
        condition, targets = condition_of(part, 2), targets_of(case, part)[:2]
        if part.uses_reference:
            condition = replace(condition, reference=targets.flip(0))
        latents = part.latents(targets)
        require(not latents.requires_grad and len(latents) == len(targets), "latents() gives no fixed row per medium")
        beside = latents.flip(0) if part.uses_reference else None
        kept = replace(condition, reference=beside, encoded=True)
        plain, own = self.losses(part, condition, targets, [1, 2]), self.losses(part, kept, latents, [1, 2])
        require(close(plain, own), "the loss of latents is not the loss of the media that they were made from")
