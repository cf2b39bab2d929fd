"""Checks of decoders: features to media, and a loss with gradient to the features."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.errors import AnyloomError
from anyloom.testing.case import DecoderCase
from anyloom.testing.checking import check, require
from anyloom.testing.neural import NeuralChecks
from anyloom.testing.preparing import prepared

__all__ = ["DecoderChecks"]

_COPIES = 8
_FALL = 0.9
_ROUNDING = 1e-3
"""Share of the difference between two seeds that rounding may make; single values may differ by more than that."""


class DecoderChecks(NeuralChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.DecoderCase`."""

    shapes_in: ClassVar[tuple[str, ...]] = ("preprocess",)
    runs_on_meta = False

    def features(self, part: Any, rows: int) -> Tensor:
        """Conditions ``(rows, L, D)`` of the decoder's space, of unit length where it says so."""
        space = part.feature_space()
        drawn = torch.randn(rows, space.tokens, space.dim, generator=torch.Generator().manual_seed(3))
        if space.scale == "unit":
            drawn = torch.nn.functional.normalize(drawn, dim=-1)
        return drawn.to(part.null_features().device)

    def targets(self, case: DecoderCase, part: Any) -> Tensor:
        """Targets ``(B, ...)`` of the case's media."""
        stacks = prepared(part, case.media)
        require(list(stacks) == [part.modality], f"it makes {part.modality!r}, the case has {', '.join(stacks)}")
        return stacks[part.modality].to(part.null_features().device)

    def outputs(self, case: DecoderCase, part: Any) -> dict[str, Tensor]:
        """The loss, and what is made of the same features."""
        targets = self.targets(case, part)
        features = self.features(part, len(targets))
        made = part.generate(features[:1], seeds=[0], steps=2)[0]
        return {"loss": part.loss(features, targets), "media": made.tensor()}

    def generate(self, part: Any, features: Tensor, seeds: list[int]) -> list[Media]:
        """Media of features, with two steps and guidance."""
        media: list[Media] = part.generate(features, seeds=seeds, steps=2, guidance=2.0)
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

    @check("return one loss per sample (B,), without a mean over the batch, and a null (L, D)")
    def test_loss_has_a_value_for_each_sample(self, case: DecoderCase) -> None:
        """The loss is finite, of shape (B,); the null condition is of shape (L, D)."""
        part = self.shaken(case)
        targets, space = self.targets(case, part), part.feature_space()
        losses = part.loss(self.features(part, len(targets)), targets)
        require(losses.shape == (len(targets),), f"for {len(targets)} samples the loss is {tuple(losses.shape)}")
        require(bool(losses.isfinite().all()), "the loss holds NaN or infinite values")
        null = part.null_features().shape
        require(null == (space.tokens, space.dim), f"the null is {tuple(null)}, not ({space.tokens}, {space.dim})")

    @check("freeze with requires_grad_(False), not with torch.no_grad(): the features need gradient all the same")
    def test_frozen_decoder_passes_gradient_to_the_features(self, case: DecoderCase) -> None:
        """Frozen, its parameters get no gradient and the features of every sample do."""
        part = self.shaken(case, freeze=True).requires_grad_(False).train()
        targets = self.targets(case, part)
        features = self.features(part, len(targets)).requires_grad_()
        losses = part.loss(features, targets)
        require(losses.requires_grad, "the loss has no gradient at all")
        losses.sum().backward()
        reached = features.grad is not None and bool((features.grad.abs().sum((1, 2)) > 0).all())
        require(reached, "some sample's features get no gradient")

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
        targets = self.targets(case, part)[:1]
        targets = targets.expand(_COPIES, *targets.shape[1:])
        features = self.features(part, 1).expand(_COPIES, -1, -1)
        trained = [p for p in part.parameters() if p.requires_grad]
        require(bool(trained), "with freeze: false no parameter can be trained")
        optimizer = torch.optim.AdamW(trained, lr=case.learning_rate)
        before = self.measured(part, features, targets)
        for _ in range(case.learning_steps):
            optimizer.zero_grad()
            part.loss(features, targets).mean().backward()
            optimizer.step()
        after = self.measured(part, features, targets)
        what = f"after {case.learning_steps} steps on one sample the loss is {after:.3g}, {before:.3g} at first"
        require(after < _FALL * before, what)

    @torch.no_grad()
    def measured(self, part: Any, features: Tensor, targets: Tensor) -> float:
        """Mean loss in evaluation mode, under fixed seeds."""
        part.eval()
        total = 0.0
        for seed in range(4):
            torch.manual_seed(seed)
            total += float(part.loss(features, targets).mean())
        part.train()
        return total / 4

    @check("raise anyloom.errors.FeatureSpaceError where features are not (B, L, D) of feature_space")
    def test_wrong_features_are_refused(self, case: DecoderCase) -> None:
        """Features of another width raise one clear error."""
        part = self.made(case)
        wide = torch.cat([self.features(part, 1)] * 2, -1)
        try:
            part.loss(wide, self.targets(case, part)[:1])
        except AnyloomError:
            return
        except Exception as error:
            require(False, f"features of twice the width raise {type(error).__name__}: {error}")
        require(False, "features of twice the width are accepted")

    @check("return one Media per row, of the decoder's modality, float32 or uint8 on the CPU, with features=row")
    def test_generates_media(self, case: DecoderCase) -> None:
        """It makes one finite media item per row, which carries the features it was made from."""
        part = self.shaken(case)
        features = self.features(part, 2)
        media = self.generate(part, features, [0, 1])
        require(len(media) == 2, f"for 2 rows it makes {len(media)} media")
        for item, row in zip(media, features):
            data = item.tensor()
            require(item.modality == part.modality, f"it makes {item.modality!r}, its modality is {part.modality!r}")
            require(data.device.type == "cpu" and bool(data.isfinite().all()), "the media are no finite CPU tensors")
            kept = item.features is not None and torch.equal(item.features.float().cpu(), row.float().cpu())
            require(kept, "a media item does not carry the features it was made from")

    @check("make generated media of the form that preprocess takes, with what it needs in meta")
    def test_takes_its_own_media_back(self, case: DecoderCase) -> None:
        """What it makes can be preprocessed like a target: generated media go back in as context."""
        part = self.shaken(case)
        back = part.preprocess(self.generate(part, self.features(part, 1), [0])[0])
        wanted = self.targets(case, part).shape[1:]
        require(back.shape == wanted, f"generated media are preprocessed to {tuple(back.shape)}, not {tuple(wanted)}")

    @check("draw each row's noise from a generator of its own seed, and share nothing between rows")
    def test_row_does_not_depend_on_its_batch(self, case: DecoderCase) -> None:
        """A row with its seed gives the same media alone and in a batch, and other media under another seed."""
        part = self.shaken(case)
        features = self.features(part, 1).expand(2, -1, -1)
        first, second = (m.tensor().float() for m in self.generate(part, features, [5, 6]))
        require(not torch.equal(first, second), "two seeds give equal media")
        torch.manual_seed(11)
        alone = self.generate(part, features[:1], [5])[0].tensor().float()
        apart, own = float((first - second).abs().mean()), float((first - alone).abs().mean())
        what = f"alone and in a batch a row's media differ by {own:.2g}, under another seed by {apart:.2g}"
        require(own <= _ROUNDING * apart, what)
