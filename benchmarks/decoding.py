"""Pictures from features: the decoder of Stable Diffusion beside diffusers' own pipeline with the same networks."""

from __future__ import annotations

from typing import Any

import torch
from measure import Row, Rows, in_turns, versions
from torch import Tensor

from anyloom.interfaces import Condition
from anyloom_sd.decoder import SDDecoder

TOGETHER = 8
SIZES: dict[str, Any] = {
    "space": "words",
    "dim": 64,
    "tokens": 7,
    "picture_size": 64,
    "autoencoder": {"block_out_channels": [32, 64, 64], "layers_per_block": 1, "norm_num_groups": 16},
    "unet": {
        "block_out_channels": [64, 128], "layers_per_block": 1, "attention_head_dim": 4, "norm_num_groups": 16,
    },
    "prediction": "epsilon",
    "schedule": {},
}  # fmt: skip


def pipeline_of(decoder: SDDecoder) -> Any:
    """diffusers' pipeline around the networks of a decoder, with the scheduler of its published model."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
    pipeline = StableDiffusionPipeline(
        vae=decoder.autoencoder.vae, unet=decoder.unet, scheduler=scheduler, text_encoder=None, tokenizer=None,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def rows(quick: bool) -> Rows:
    """One request, and eight that come together; the same pixels in all."""
    torch.manual_seed(0)
    steps, rounds = (2, 1) if quick else (10, 5)
    decoder = SDDecoder.from_options(SIZES).eval()
    torch.nn.init.normal_(decoder.null)
    pipeline, features = pipeline_of(decoder), torch.randn(TOGETHER, SIZES["tokens"], SIZES["dim"])
    sampling = decoder.Sampling(denoising_steps=steps, guidance=3.0)

    def ours(count: int) -> Tensor:
        made = decoder.generate(Condition(features[:count]), seeds=list(range(count)), sampling=sampling)
        return torch.stack([media.tensor() for media in made])

    def theirs(count: int, batch: int) -> Tensor:
        noise = torch.stack([torch.randn(decoder.latent_shape, generator=_seeded(n)) for n in range(count)])
        return torch.cat(
            [
                pipeline(
                    prompt_embeds=own, negative_prompt_embeds=decoder.null[None].expand(len(own), -1, -1),
                    latents=drawn, num_inference_steps=steps, guidance_scale=3.0, output_type="pt",
                ).images
                for own, drawn in zip(features[:count].split(batch), noise.split(batch))
            ]
        )  # fmt: skip

    difference = float((ours(TOGETHER) - theirs(TOGETHER, 1)).abs().max())
    if difference > 1e-4:
        raise RuntimeError(f"the pictures differ by {difference:.1e}: this would compare two different things")
    note = f"64 pixels, {steps} steps of DDIM with guidance; pixels differ by {difference:.0e} at most"
    about: dict[str, Any] = {"note": note, "versions": versions("diffusers")}
    found = in_turns(lambda: ours(1), lambda: theirs(1, 1), rounds)
    yield Row("a picture of Stable Diffusion", "diffusers' pipeline", found, 1.0, **about)
    found = in_turns(lambda: ours(TOGETHER), lambda: theirs(TOGETHER, 1), rounds)
    yield Row(f"{TOGETHER} pictures together", "diffusers' pipeline, one after another", found, 1.8, **about)
    found = in_turns(lambda: ours(TOGETHER), lambda: theirs(TOGETHER, TOGETHER), rounds)
    yield Row(f"{TOGETHER} pictures together, as one batch", "diffusers' pipeline", found, None, **about)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
