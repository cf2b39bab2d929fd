"""What every latent diffusion decoder must do; inherit and supply the fixtures ``decoder_class`` and ``options``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.errors import CheckpointError, ConfigError, FeatureSpaceError
from anyloom.interfaces import Condition


class LatentDecoderContract:
    decoder_class: type[LatentDiffusionDecoder]
    options: dict[str, Any]

    def media(self, number: int) -> Media:
        raise NotImplementedError

    def build(self, **more: Any) -> LatentDiffusionDecoder:
        torch.manual_seed(1)
        decoder = self.decoder_class.from_options({**self.options, **more})
        with torch.no_grad():
            decoder.null.normal_()
        return decoder

    def features(self, rows: int, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(rows, self.options.get("tokens", 1), self.options["dim"], generator=generator)

    def condition(self, rows: int, seed: int = 0) -> Condition:
        return Condition(self.features(rows, seed))

    def targets(self, decoder: LatentDiffusionDecoder, rows: int) -> Tensor:
        return torch.stack([decoder.preprocess(self.media(n)) for n in range(rows)])

    def test_gradient_reaches_the_features_and_no_frozen_parameter(self) -> None:
        decoder = self.build().train()
        features = self.features(2).requires_grad_()
        losses = decoder(Condition(features), self.targets(decoder, 2))
        losses.sum().backward()
        assert losses.shape == (2,)
        assert features.grad is not None
        assert bool((features.grad.abs().sum((1, 2)) > 0).all())
        assert all(p.grad is None and not p.requires_grad for p in decoder.parameters())
        assert not any(m.training for m in decoder.modules())

    def test_runs_in_bfloat16_on_float32_features(self) -> None:
        decoder = self.build().to(torch.bfloat16)
        features = self.features(2).requires_grad_()
        losses = decoder(Condition(features), self.targets(decoder, 2))
        losses.sum().backward()
        assert losses.dtype == torch.float32
        assert bool(losses.isfinite().all())
        assert features.grad is not None
        assert bool((features.grad.abs().sum((1, 2)) > 0).all())
        assert decoder.autoencoder_loss(self.targets(decoder, 2))["loss"].isfinite()
        sampling = decoder.Sampling(denoising_steps=1, guidance=2.0)
        made = decoder.generate(self.condition(1), seeds=[0], sampling=sampling)[0].tensor()
        assert made.dtype == torch.float32
        assert bool(made.isfinite().all())

    def test_training_moves_the_denoiser_and_null_but_not_the_autoencoder(self) -> None:
        decoder = self.build(freeze=False, condition_dropout=0.5).train()
        targets = self.targets(decoder, 1)
        targets = targets.expand(8, *targets.shape[1:])
        decoder(self.condition(8), targets).sum().backward()
        assert decoder.null.grad is not None
        assert decoder.null.grad.abs().sum() > 0
        assert all(p.grad is None for p in decoder.autoencoder.parameters())
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.unet.parameters())

    def test_the_null_of_the_loss_is_the_null_of_sampling(self) -> None:
        decoder = self.build(freeze=False, condition_dropout=1.0).train()
        targets, features = self.targets(decoder, 2), self.features(2)

        def loss() -> float:
            torch.manual_seed(3)
            return float(decoder.latent_loss(features, decoder.latents(targets)).detach().sum())

        def media() -> Tensor:
            sampling = decoder.Sampling(denoising_steps=2, guidance=3.0)
            return decoder.generate(Condition(features[:1]), seeds=[0], sampling=sampling)[0].tensor()

        before = loss(), media()
        with torch.no_grad():
            decoder.null += 1
        after = loss(), media()
        assert before[0] != after[0]
        assert not torch.equal(before[1], after[1])

    def test_a_negative_condition_takes_the_place_of_the_null(self) -> None:
        """Guided away from itself a condition gives what it gives alone; from another, something else."""
        decoder = self.build().eval()
        condition, other = self.condition(2), self.features(2, seed=1)

        def made(**options: Any) -> Tensor:
            sampling = decoder.Sampling(denoising_steps=2, **options)
            return decoder.generate_latents(condition, seeds=[3, 4], sampling=sampling)

        alone = made(guidance=1.0)
        same = made(guidance=4.0, negative=condition.features)
        torch.testing.assert_close(same, alone, atol=1e-3, rtol=1e-3)
        assert not torch.allclose(made(guidance=4.0, negative=other[0]), alone, atol=1e-2)

    def test_without_guidance_the_null_plays_no_part(self) -> None:
        decoder = self.build()
        sampling = decoder.Sampling(denoising_steps=2, guidance=1.0)
        before = decoder.generate(self.condition(1), seeds=[0], sampling=sampling)[0].tensor()
        with torch.no_grad():
            decoder.null += 1
        after = decoder.generate(self.condition(1), seeds=[0], sampling=sampling)[0].tensor()
        assert torch.equal(before, after)

    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
    @pytest.mark.parametrize("scheduler", ["DDIMScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler"])
    def test_a_row_does_not_depend_on_its_batch(self, scheduler: str) -> None:
        decoder = self.build(schedule={**self.options["schedule"], "scheduler": scheduler})
        features, seeds = self.features(3), [5, 6, 5]
        sampling = decoder.Sampling(denoising_steps=3, guidance=2.0)
        together = decoder.generate_latents(Condition(features), seeds=seeds, sampling=sampling)
        for n in range(3):
            row = slice(n, n + 1)
            alone = decoder.generate_latents(Condition(features[row]), seeds=seeds[row], sampling=sampling)
            torch.testing.assert_close(alone, together[row], atol=1e-4, rtol=1e-4)

    def test_the_seed_matters(self) -> None:
        decoder = self.build()
        condition = Condition(self.features(1).expand(2, -1, -1))
        sampling = decoder.Sampling(denoising_steps=2)
        first, second = decoder.generate(condition, seeds=[0, 1], sampling=sampling)
        assert not torch.equal(first.tensor(), second.tensor())

    def test_generated_media_carry_their_features(self) -> None:
        decoder = self.build()
        media = decoder.generate(self.condition(1), seeds=[0], sampling=decoder.Sampling(denoising_steps=1))[0]
        assert media.modality == decoder.modality
        assert media.features is not None
        assert torch.equal(media.features, self.features(1)[0])

    def test_overfits_one_sample(self) -> None:
        decoder = self.build(freeze=False, condition_dropout=0.0).train()
        latents = decoder.latents(self.targets(decoder, 1)).expand(8, *decoder.latent_shape)
        latents = (latents - latents.mean()) / latents.std()
        features = self.features(1).expand(8, -1, -1)
        optimizer = torch.optim.AdamW([p for p in decoder.parameters() if p.requires_grad], lr=1e-2)

        def measure() -> float:
            with torch.no_grad():
                return float(decoder.latent_loss(features, latents, seeds=range(8)).mean())

        before = measure()
        for _ in range(40):
            optimizer.zero_grad()
            decoder.latent_loss(features, latents).mean().backward()
            optimizer.step()
        assert measure() < 0.6 * before

    def test_autoencoder_learns_its_reconstruction(self) -> None:
        decoder = self.build()
        decoder.train_only("autoencoder")
        targets = self.targets(decoder, 2)
        optimizer = torch.optim.AdamW(decoder.part_parameters("autoencoder"), lr=3e-3)
        first = float(decoder.autoencoder_loss(targets)["loss"].detach())
        for _ in range(30):
            optimizer.zero_grad()
            terms = decoder.autoencoder_loss(targets)
            terms["loss"].backward()
            optimizer.step()
        assert terms["loss"] < 0.8 * first
        assert all(p.grad is None for p in decoder.unet.parameters())
        decoder.autoencoder.fit_latents(targets)
        latents = decoder.latents(targets)
        numbers = latents.transpose(0, 1).flatten(1)
        torch.testing.assert_close(numbers.mean(1), torch.zeros(latents.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(numbers.std(1), torch.ones(latents.shape[1]), atol=1e-3, rtol=0)

    def test_saved_and_loaded_decoders_agree(self, tmp_path: Path) -> None:
        decoder = self.build()
        decoder.autoencoder.fit_latents(self.targets(decoder, 2))
        decoder.fit(self.features(8), torch.zeros(8, *decoder.latent_shape))
        decoder.save(tmp_path)
        torch.manual_seed(99)
        other = self.decoder_class.from_options({**self.options, "weights": str(tmp_path)})
        assert other.weight_files() == [tmp_path]
        other.load_weights()
        sampling = decoder.Sampling(denoising_steps=2, guidance=2.0)
        made = [d.generate(self.condition(1), seeds=[4], sampling=sampling)[0] for d in (decoder, other)]
        pair = [media.tensor() for media in made]
        assert torch.equal(*pair)

    def test_weights_of_another_prediction_are_refused(self, tmp_path: Path) -> None:
        self.build(prediction="v_prediction").save(tmp_path)
        other = self.build(prediction="epsilon", weights=str(tmp_path))
        with pytest.raises(CheckpointError, match="prediction is 'v_prediction' there, 'epsilon' here"):
            other.load_weights()

    def test_weights_of_other_heads_are_refused_though_their_shapes_agree(self, tmp_path: Path) -> None:
        self.build().save(tmp_path)
        unet = {**self.options["unet"], "attention_head_dim": 1}
        with pytest.raises(CheckpointError, match=r"unet\.attention_head_dim is . there, 1 here"):
            self.build(unet=unet, weights=str(tmp_path)).load_weights()

    def test_weights_load_under_another_sampler(self, tmp_path: Path) -> None:
        self.build().save(tmp_path)
        schedule = {**self.options["schedule"], "scheduler": "DDPMScheduler", "timestep_spacing": "linspace"}
        self.build(schedule=schedule, weights=str(tmp_path), denoising_steps=3).load_weights()

    def test_missing_weights_are_one_clear_error(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="there are no weights here"):
            self.build(weights=str(tmp_path / "nothing")).load_weights()

    def test_builds_on_the_meta_device(self) -> None:
        with torch.device("meta"):
            decoder = self.decoder_class.from_options(self.options)
        assert {p.device.type for p in decoder.parameters()} == {"meta"}
        assert decoder.feature_space().dim == self.options["dim"]

    def test_wrong_features_are_one_clear_error(self) -> None:
        decoder = self.build()
        wide = torch.zeros(1, self.options.get("tokens", 1), self.options["dim"] + 1)
        for call in (
            lambda: decoder(Condition(wide), self.targets(decoder, 1)),
            lambda: decoder.generate(Condition(wide), seeds=[0]),
            lambda: decoder.generate(Condition(self.features(1)[0]), seeds=[0]),
        ):
            with pytest.raises(FeatureSpaceError, match=r"are not \(B, "):
                call()

    def test_one_seed_per_row(self) -> None:
        with pytest.raises(ConfigError, match="2 seeds for 1 rows"):
            self.build().generate(self.condition(1), seeds=[0, 1])
        decoder = self.build()
        with pytest.raises(ConfigError, match="1 seeds for 2 rows"):
            decoder(self.condition(2), self.targets(decoder, 2), [0])

    def test_eager_attention_and_checkpointing_change_no_gradient(self) -> None:
        def gradient(**more: Any) -> Tensor:
            decoder = self.build(**more)
            features = self.features(2).requires_grad_()
            decoder(Condition(features), self.targets(decoder, 2), [5, 6]).sum().backward()
            assert features.grad is not None
            return features.grad

        plain = gradient(attention="default")
        for more in ({"attention": "eager"}, {"gradient_checkpointing": True}):
            torch.testing.assert_close(gradient(**more), plain, atol=1e-6, rtol=1e-4)

    def test_a_loss_from_cached_latents_is_the_loss_from_targets(self) -> None:
        decoder = self.build()
        targets = self.targets(decoder, 2)
        cached = decoder.latent_loss(self.features(2), decoder.latents(targets), seeds=[3, 4])
        torch.testing.assert_close(cached, decoder(self.condition(2), targets, [3, 4]))

    def test_a_seeded_row_has_its_own_noise_while_training_too(self) -> None:
        decoder = self.build(freeze=False, condition_dropout=0.5).train()
        targets = self.targets(decoder, 2)
        together = decoder(self.condition(2), targets, [3, 4])
        torch.manual_seed(77)
        alone = decoder(Condition(self.features(2)[1:]), targets[1:], [4])
        torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)

    def test_without_dropped_conditions_the_null_asks_for_no_gradient(self) -> None:
        assert self.build(freeze=False, condition_dropout=0.1).null.requires_grad
        assert not self.build(freeze=False, condition_dropout=0.0).null.requires_grad

    @pytest.mark.parametrize(("dtype", "autoencoder"), [("bfloat16", torch.bfloat16), ("float16", torch.float32)])
    def test_networks_may_have_less_precision(self, dtype: str, autoencoder: torch.dtype) -> None:
        decoder = self.build(dtype=dtype)
        assert decoder.unet.dtype == getattr(torch, dtype)
        assert decoder.autoencoder.vae.dtype == autoencoder
        assert decoder.null.dtype == torch.float32
        assert decoder.stored_bytes() < 0.8 * self.build().stored_bytes()
        if dtype == "bfloat16":
            losses = decoder(self.condition(2), self.targets(decoder, 2))
            assert losses.dtype == torch.float32
            assert bool(losses.isfinite().all())

    def test_more_denoising_steps_than_the_schedule_has_are_refused(self) -> None:
        decoder = self.build()
        with pytest.raises(ConfigError, match="1001 denoising steps, but the schedule has 1000"):
            decoder.generate(self.condition(1), seeds=[0], sampling=decoder.Sampling(denoising_steps=1001))

    def test_the_schedule_of_trained_weights_stays_with_them(self, tmp_path: Path) -> None:
        schedule = {"beta_schedule": "linear", "beta_start": 0.001, "beta_end": 0.01, "timestep_spacing": "linspace"}
        trained = self.build(schedule=schedule)
        trained.save(tmp_path)
        options = {key: value for key, value in self.options.items() if key != "schedule"}
        silent = self.decoder_class.from_options({**options, "weights": str(tmp_path)})
        silent.load_weights()
        assert torch.equal(silent.scheduler.alphas_cumprod, trained.scheduler.alphas_cumprod)
        assert silent.schedule.timestep_spacing == "linspace"
        assert silent.portable_options(tmp_path, "x")["schedule"]["beta_end"] == 0.01
        other = self.decoder_class.from_options(
            {**options, "weights": str(tmp_path), "schedule": {"beta_end": 0.02, "timestep_spacing": "trailing"}}
        )
        with pytest.raises(CheckpointError, match=r"trained with beta_end 0\.01, the config says 0\.02"):
            other.load_weights()
