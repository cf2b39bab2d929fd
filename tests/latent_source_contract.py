"""What every latent diffusion decoder must do with a source, besides :class:`LatentDecoderContract`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.sampling import Trajectory, row_generators, row_noise
from anyloom.errors import CheckpointError, ConfigError
from latent_decoder_contract import LatentDecoderContract


class LatentSourceContract(LatentDecoderContract):
    def sketched(self) -> dict[str, Any]:
        return {"sketch": True, "autoencoder": {**self.options["autoencoder"], "linear": True}}

    def loss_with(self, decoder: LatentDiffusionDecoder, source: Tensor | None) -> Tensor:
        torch.manual_seed(3)
        latents = decoder.latents(self.targets(decoder, 2))
        return decoder.latent_loss(self.features(2), latents, torch.Generator().manual_seed(0), source)

    def source(self, decoder: LatentDiffusionDecoder, rows: int = 2) -> Tensor:
        return torch.randn(rows, *decoder.latent_shape, generator=torch.Generator().manual_seed(8))

    @pytest.mark.parametrize("sketch", [False, True])
    def test_a_source_changes_no_loss_at_the_start(self, sketch: bool) -> None:
        more = self.sketched() if sketch else {}
        plain, widened = self.build(**more), self.build(source=True, **more)
        channels = plain.unet.config.in_channels
        assert widened.unet.config.in_channels == channels + plain.latent_shape[0] == widened.unet.conv_in.in_channels
        assert not plain.uses_source
        for decoder in (plain, widened):
            torch.nn.init.constant_(decoder.unet.conv_out.weight, 0.1)
        expected = self.loss_with(plain, None)
        for source in (None, self.source(widened)):
            torch.testing.assert_close(self.loss_with(widened, source), expected, atol=1e-6, rtol=1e-5)
        names = {n for n, _ in plain.named_parameters()}
        assert names == {n for n, _ in widened.named_parameters()}

    def test_gradient_reaches_the_new_weights(self) -> None:
        decoder = self.build(source=True, freeze=False, source_dropout=0.0).train()
        self.loss_with(decoder, self.source(decoder)).sum().backward()
        gradient = decoder.unet.conv_in.weight.grad
        assert gradient is not None
        new = decoder.latent_shape[0]
        assert bool((gradient[:, -new:].abs().sum((0, 2, 3)) > 0).all())
        assert not decoder.unet.conv_in.weight[:, -new:].any()

    def test_a_source_is_dropped_for_its_share_of_samples_while_training_only(self) -> None:
        decoder = self.build(source=True, freeze=False, source_dropout=0.25, condition_dropout=0.0).train()
        shown = decoder.shown(self.features(400), torch.ones(400, *decoder.latent_shape))
        torch.manual_seed(0)
        dropped = decoder.dropped(shown)
        gone = (dropped.source == 0).flatten(1)
        assert bool((gone.all(1) == gone.any(1)).all())
        assert abs(float(gone.all(1).float().mean()) - 0.25) < 0.08
        assert torch.equal(dropped.own, shown.own)
        always = self.build(source=True, source_dropout=1.0)
        self.trained(always)
        assert not torch.equal(self.loss_with(always, self.source(always)), self.loss_with(always, None))

    def trained(self, decoder: LatentDiffusionDecoder) -> LatentDiffusionDecoder:
        """Give the source a say, as training would."""
        torch.manual_seed(6)
        with torch.no_grad():
            decoder.unet.conv_in.weight[:, -decoder.latent_shape[0] :].normal_(std=0.3)
        return decoder

    def test_the_source_matters_and_a_row_without_one_is_as_without_any(self) -> None:
        decoder = self.trained(self.build(source=True))
        features, source = self.features(1).expand(3, -1, -1), self.targets(decoder, 2)
        made = decoder.generate_latents(features, seeds=[1, 1, 1], steps=2, guidance=2.0, source=[*source, None])
        plain = decoder.generate_latents(features[:1], seeds=[1], steps=2, guidance=2.0)
        assert not torch.allclose(made[0], made[1], atol=1e-3)
        torch.testing.assert_close(made[2:], plain, atol=1e-4, rtol=1e-4)
        alone = decoder.generate_latents(features[:1], seeds=[1], steps=2, guidance=2.0, source=[source[1]])
        torch.testing.assert_close(made[1:2], alone, atol=1e-4, rtol=1e-4)

    def test_two_scales_guide_source_and_features_apart(self) -> None:
        """Sampling written out with InstructPix2Pix's equation 3, over the bare network."""
        decoder = self.trained(self.build(source=True))
        features, targets = self.features(2), self.targets(decoder, 2)
        generators = row_generators([4, 5])
        noise = row_noise(decoder.latent_shape, generators, features)
        own = decoder.condition(features, generators)
        null = decoder.null_condition().expand_as(own)
        source = decoder.latents(targets)
        nothing = torch.zeros_like(source)

        def predict(noisy: Tensor, steps: Tensor) -> Tensor:
            neither, first, both = (
                decoder.denoise(torch.cat([noisy, latents], 1), steps, condition).float()
                for latents, condition in ((nothing, null), (source, null), (source, own))
            )
            return neither + 1.5 * (first - neither) + 4.0 * (both - first)

        with torch.no_grad():
            expected = Trajectory(decoder.scheduler, noise=noise, steps=3, generators=generators).run(predict)
        scales = {"source_guidance": 1.5, "guidance": 4.0}
        found = decoder.generate_latents(features, seeds=[4, 5], steps=3, source=list(targets), **scales)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)

    def test_source_guidance_changes_what_is_made(self) -> None:
        decoder = self.trained(self.build(source=True, source_guidance=3.0))
        source = list(self.targets(decoder, 1))

        def made(**options: Any) -> Tensor:
            return decoder.generate_latents(self.features(1), seeds=[2], steps=2, **options)

        assert torch.equal(made(source=source), made(source=source, source_guidance=3.0))
        assert not torch.allclose(made(source=source), made(source=source, source_guidance=1.0), atol=1e-3)
        assert torch.equal(made(source_guidance=5.0), made())

    def test_saved_and_loaded_decoders_with_a_source_agree(self, tmp_path: Path) -> None:
        decoder = self.trained(self.build(source=True))
        decoder.save(tmp_path)
        torch.manual_seed(99)
        other = self.decoder_class.from_options({**self.options, "source": True, "weights": str(tmp_path)})
        other.load_weights()
        source = list(self.targets(decoder, 1))
        pair = [d.generate_latents(self.features(1), seeds=[4], steps=2, source=source) for d in (decoder, other)]
        assert torch.equal(*pair)
        assert not any(p.requires_grad for p in other.parameters())

    def test_weights_without_a_source_load_into_a_decoder_with_one_and_not_the_other_way(self, tmp_path: Path) -> None:
        plain = self.build()
        plain.save(tmp_path / "plain")
        widened = self.build(source=True, weights=str(tmp_path / "plain"))
        self.trained(widened).load_weights()
        torch.testing.assert_close(
            self.loss_with(widened, self.source(widened)), self.loss_with(plain, None), atol=1e-6, rtol=1e-5
        )
        widened.save(tmp_path / "widened")
        with pytest.raises(CheckpointError, match="source is True there, False here"):
            self.build(weights=str(tmp_path / "widened")).load_weights()

    def test_a_source_that_does_not_fit_is_one_clear_error(self) -> None:
        plain, widened = self.build(), self.build(source=True)
        target = self.targets(plain, 1)
        with pytest.raises(ConfigError, match=r"takes no source.*set source: true"):
            plain.loss(self.features(1), target, [target[0]])
        with pytest.raises(ConfigError, match="1 sources for 2 rows"):
            widened.generate(self.features(2), seeds=[0, 1], source=[target[0]])

    def test_runs_in_bfloat16_with_a_source(self) -> None:
        for more in ({}, self.sketched()):
            decoder = self.trained(self.build(source=True, **more)).to(torch.bfloat16)
            torch.nn.init.normal_(decoder.unet.conv_out.weight)
            targets = self.targets(decoder, 2)
            losses = decoder.loss(self.features(2), targets, [None, targets[0]])
            assert losses.dtype == torch.float32
            assert bool(losses.isfinite().all())
            made = decoder.generate(self.features(1), seeds=[0], steps=1, guidance=2.0, source=[targets[0]])
            assert bool(made[0].tensor().isfinite().all())

    def test_builds_with_a_source_on_the_meta_device(self) -> None:
        with torch.device("meta"):
            decoder = self.decoder_class.from_options(self.options, source=True)
        assert decoder.unet.conv_in.weight.shape[1] == 2 * decoder.latent_shape[0]
        assert {p.device.type for p in decoder.parameters()} == {"meta"}
