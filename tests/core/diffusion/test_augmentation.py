from __future__ import annotations

import torch
from diffusers import DDPMScheduler
from diffusers.models.embeddings import get_timestep_embedding

from anyloom.diffusion.augmentation import NoiseAugmentation, cosine_alphas_cumprod, sinusoids


def test_cosine_schedule_equals_diffusers() -> None:
    reference = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    torch.testing.assert_close(cosine_alphas_cumprod(1000), reference, atol=1e-5, rtol=1e-3)


def test_sinusoids_equal_diffusers() -> None:
    levels = torch.tensor([0, 7, 999])
    for dim in (8, 9):
        reference = get_timestep_embedding(levels, dim, flip_sin_to_cos=True, downscale_freq_shift=0)
        torch.testing.assert_close(sinusoids(levels, dim), reference, atol=1e-4, rtol=1e-4)


def test_level_zero_hardly_changes_a_vector() -> None:
    augmentation = NoiseAugmentation(6)
    augmentation.fit(torch.randn(100, 6) * 5 + 3)
    vectors = torch.randn(2, 6) * 5 + 3
    out = augmentation(vectors, torch.tensor([0, 0]), torch.randn(2, 6))
    assert out.shape == (2, 12)
    torch.testing.assert_close(out[:, :6], vectors, atol=0.2, rtol=0)


def test_the_highest_level_leaves_noise_of_the_features_own_statistics() -> None:
    augmentation = NoiseAugmentation(6)
    augmentation.fit(torch.randn(100, 6) * 5 + 3)
    out = augmentation(torch.zeros(4000, 6), torch.full((4000,), 999), torch.randn(4000, 6))[:, :6]
    torch.testing.assert_close(out.mean(0), augmentation.mean, atol=0.4, rtol=0)
    torch.testing.assert_close(out.std(0), augmentation.std, atol=0.4, rtol=0)
