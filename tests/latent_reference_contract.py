"""What every latent diffusion decoder must do with a reference, besides :class:`LatentDecoderContract`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.guidance import Shown
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.sampling import Trajectory
from anyloom.errors import CheckpointError, ConfigError
from anyloom.interfaces import Condition
from latent_decoder_contract import LatentDecoderContract


class LatentReferenceContract(LatentDecoderContract):
    def loss_with(self, decoder: LatentDiffusionDecoder, reference: Tensor | None) -> Tensor:
        latents = decoder.latents(self.targets(decoder, 2))
        return decoder.latent_loss(self.features(2), latents, reference, [3, 4])

    def reference(self, decoder: LatentDiffusionDecoder, rows: int = 2) -> Tensor:
        return torch.randn(rows, *decoder.latent_shape, generator=torch.Generator().manual_seed(8))

    def trained(self, decoder: LatentDiffusionDecoder) -> LatentDiffusionDecoder:
        """Give the reference a say, as training would."""
        torch.manual_seed(6)
        with torch.no_grad():
            decoder.unet.conv_in.weight[:, -decoder.latent_shape[0] :].normal_(std=0.3)
        return decoder

    def test_a_reference_changes_no_loss_at_the_start(self) -> None:
        plain, widened = self.build(), self.build(reference=True)
        channels = plain.unet.config.in_channels
        assert widened.unet.config.in_channels == channels + plain.latent_shape[0] == widened.unet.conv_in.in_channels
        assert not plain.uses_reference
        expected = self.loss_with(plain, None)
        for reference in (None, self.reference(widened)):
            torch.testing.assert_close(self.loss_with(widened, reference), expected, atol=1e-6, rtol=1e-5)
        names = {n for n, _ in plain.named_parameters()}
        assert names == {n for n, _ in widened.named_parameters()}

    def test_gradient_reaches_the_new_weights(self) -> None:
        decoder = self.build(reference=True, freeze=False, reference_dropout=0.0).train()
        self.loss_with(decoder, self.reference(decoder)).sum().backward()
        gradient = decoder.unet.conv_in.weight.grad
        assert gradient is not None
        new = decoder.latent_shape[0]
        assert bool((gradient[:, -new:].abs().sum((0, 2, 3)) > 0).all())
        assert not decoder.unet.conv_in.weight[:, -new:].any()

    def test_a_reference_is_dropped_for_its_share_of_samples_while_training_only(self) -> None:
        decoder = self.build(reference=True, freeze=False, reference_dropout=0.25, condition_dropout=0.0).train()
        draws = RowDraws(400, range(400))
        shown = decoder.shown(self.features(400), torch.ones(400, *decoder.latent_shape), draws)
        dropped = decoder.dropped(shown, draws)
        gone = (dropped.reference == 0).flatten(1)
        assert bool((gone.all(1) == gone.any(1)).all())
        assert abs(float(gone.all(1).float().mean()) - 0.25) < 0.08
        assert torch.equal(dropped.features[0], shown.features[0])
        always = self.build(reference=True, reference_dropout=1.0)
        self.trained(always)
        assert not torch.equal(self.loss_with(always, self.reference(always)), self.loss_with(always, None))

    def test_the_reference_matters_and_a_row_without_one_is_as_without_any(self) -> None:
        decoder = self.trained(self.build(reference=True))
        features, reference = self.features(1).expand(3, -1, -1), self.targets(decoder, 2)
        sampling = decoder.Sampling(denoising_steps=2, guidance=2.0)
        three = Condition(
            features, torch.cat([reference, torch.zeros_like(reference[:1])]), torch.tensor([True, True, False])
        )
        made = decoder.generate_latents(three, seeds=[1, 1, 1], sampling=sampling)
        plain = decoder.generate_latents(Condition(features[:1]), seeds=[1], sampling=sampling)
        assert not torch.allclose(made[0], made[1], atol=1e-3)
        torch.testing.assert_close(made[2:], plain, atol=1e-4, rtol=1e-4)
        alone = decoder.generate_latents(Condition(features[:1], reference[1:]), seeds=[1], sampling=sampling)
        torch.testing.assert_close(made[1:2], alone, atol=1e-4, rtol=1e-4)

    def test_two_scales_guide_reference_and_features_apart(self) -> None:
        """Sampling written out with InstructPix2Pix's equation 3, over the bare network."""
        decoder = self.trained(self.build(reference=True))
        features, targets = self.features(2), self.targets(decoder, 2)
        draws = RowDraws(2, [4, 5])
        noise = draws.normal(decoder.latent_shape)
        own = decoder.condition(features, draws, sampling=True)
        null = tuple(part.expand_as(shown) for part, shown in zip(decoder.null_condition(), own))
        reference = decoder.latents(targets)
        nothing = torch.zeros_like(reference)

        def predict(noisy: Tensor, times: Tensor) -> Tensor:
            neither, first, both = (
                decoder.predict(noisy, times, Shown(condition, latents)).float()
                for latents, condition in ((nothing, null), (reference, null), (reference, own))
            )
            return neither + 1.5 * (first - neither) + 4.0 * (both - first)

        with torch.no_grad():
            way = Trajectory(decoder.scheduler, noise=noise, denoising_steps=3, generators=draws.generators)
            expected = way.run(predict)
        sampling = decoder.Sampling(denoising_steps=3, reference_guidance=1.5, guidance=4.0)
        found = decoder.generate_latents(Condition(features, targets), seeds=[4, 5], sampling=sampling)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)

    def test_reference_guidance_changes_what_is_made(self) -> None:
        decoder = self.trained(self.build(reference=True, reference_guidance=3.0))
        reference = self.targets(decoder, 1)

        def made(given: Tensor | None = reference, **options: Any) -> Tensor:
            sampling = decoder.Sampling(denoising_steps=2, **options)
            return decoder.generate_latents(Condition(self.features(1), given), seeds=[2], sampling=sampling)

        assert torch.equal(made(), made(reference_guidance=3.0))
        assert not torch.allclose(made(), made(reference_guidance=1.0), atol=1e-3)
        assert torch.equal(made(None, reference_guidance=5.0), made(None))

    def test_saved_and_loaded_decoders_with_a_reference_agree(self, tmp_path: Path) -> None:
        decoder = self.trained(self.build(reference=True))
        decoder.save(tmp_path)
        torch.manual_seed(99)
        other = self.decoder_class.from_options({**self.options, "reference": True, "weights": str(tmp_path)})
        other.load_weights()
        condition = Condition(self.features(1), self.targets(decoder, 1))
        sampling = decoder.Sampling(denoising_steps=2)
        pair = [d.generate_latents(condition, seeds=[4], sampling=sampling) for d in (decoder, other)]
        assert torch.equal(*pair)
        assert not any(p.requires_grad for p in other.parameters())

    def test_weights_without_a_reference_load_into_a_decoder_with_one_and_not_the_other_way(
        self, tmp_path: Path
    ) -> None:
        plain = self.build()
        plain.save(tmp_path / "plain")
        widened = self.build(reference=True, weights=str(tmp_path / "plain"))
        self.trained(widened).load_weights()
        torch.testing.assert_close(
            self.loss_with(widened, self.reference(widened)), self.loss_with(plain, None), atol=1e-6, rtol=1e-5
        )
        widened.save(tmp_path / "widened")
        with pytest.raises(CheckpointError, match="reference is True there, False here"):
            self.build(weights=str(tmp_path / "widened")).load_weights()

    def test_a_reference_that_does_not_fit_is_one_clear_error(self) -> None:
        plain, widened = self.build(), self.build(reference=True)
        target = self.targets(plain, 1)
        with pytest.raises(ConfigError, match=r"takes no reference.*set reference: true"):
            plain(Condition(self.features(1), target), target)
        with pytest.raises(ConfigError, match="1 references for 2 rows"):
            widened.generate(Condition(self.features(2), target), seeds=[0, 1])

    def test_runs_in_bfloat16_with_a_reference(self) -> None:
        decoder = self.trained(self.build(reference=True)).to(torch.bfloat16)
        targets = self.targets(decoder, 2)
        losses = decoder(Condition(self.features(2), targets, torch.tensor([False, True])), targets)
        assert losses.dtype == torch.float32
        assert bool(losses.isfinite().all())
        sampling = decoder.Sampling(denoising_steps=1, guidance=2.0)
        made = decoder.generate(Condition(self.features(1), targets[:1]), seeds=[0], sampling=sampling)
        assert bool(made[0].tensor().isfinite().all())
