from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from anyloom.conversation import Media
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.pictures import PictureOptions, to_network, to_picture
from anyloom.errors import CheckpointError, ConfigError, MediaError
from anyloom.interfaces import Condition
from anyloom.storage.tensors import write_tensors
from anyloom_sd_unclip.decoder import SDUnCLIPDecoder
from latent_reference_contract import LatentReferenceContract

TINY: dict[str, Any] = {
    "space": "tiny",
    "dim": 8,
    "picture_size": 16,
    "autoencoder": {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4},
    "unet": {
        "block_out_channels": [8, 16],
        "layers_per_block": 1,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    },
    "context_tokens": 3,
    "schedule": {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"},
}


class TestSDUnCLIP(LatentReferenceContract):
    decoder_class = SDUnCLIPDecoder
    options = TINY

    def media(self, number: int) -> Media:
        colour = torch.tensor([[1.0, 0.2, 0.0], [0.0, 0.4, 1.0]])[number % 2]
        return Media("image", colour[:, None, None].expand(3, 20, 20).contiguous())


def test_generates_pictures() -> None:
    decoder = SDUnCLIPDecoder.from_options(TINY, denoising_steps=1)
    picture = decoder.generate(Condition(torch.randn(1, 1, 8)), seeds=[0])[0].tensor()
    assert picture.shape == (3, 16, 16)
    assert picture.dtype == torch.float32
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_preprocessing_agrees_between_uint8_and_float_and_is_undone() -> None:
    picture = torch.randint(256, (3, 16, 16), dtype=torch.uint8)
    size = PictureOptions(picture_size=16)
    from_bytes, from_floats = to_network(picture, size), to_network(picture.float() / 255, size)
    torch.testing.assert_close(from_bytes, from_floats)
    torch.testing.assert_close((to_picture(from_bytes) * 255).round().to(torch.uint8), picture)


def test_resizing_is_antialiased() -> None:
    checkerboard = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    small = to_network(checkerboard.expand(3, 64, 64).float(), PictureOptions(picture_size=8))
    assert small[:, 1:-1, 1:-1].abs().max() < 0.02


def test_a_tensor_that_is_no_picture_is_refused() -> None:
    with pytest.raises(MediaError, match=r"\(3, H, W\)"):
        SDUnCLIPDecoder.from_options(TINY).preprocess(Media("image", torch.zeros(1, 4, 4)))


def test_condition_is_the_noised_feature_and_its_level() -> None:
    from diffusers import DDPMScheduler
    from diffusers.models.embeddings import get_timestep_embedding

    decoder = SDUnCLIPDecoder.from_options(TINY, noise={"sampling": 300})
    decoder.fit(torch.randn(50, 1, 8) * 3 + 1, torch.zeros(50, *decoder.latent_shape))
    features = torch.randn(2, 1, 8)
    (labels,) = decoder.condition(features, RowDraws(2, [3, 4]), sampling=True)

    noise = torch.stack([torch.randn(8, generator=torch.Generator().manual_seed(s)) for s in (3, 4)])
    mean, std = decoder.augmentation.mean, decoder.augmentation.std
    levels = torch.tensor([300, 300])
    reference = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2")
    noisy = reference.add_noise((features[:, 0] - mean) / std, noise, levels) * std + mean
    level = get_timestep_embedding(levels, 8, flip_sin_to_cos=True, downscale_freq_shift=0)
    torch.testing.assert_close(labels, torch.cat([noisy, level], 1), atol=1e-5, rtol=1e-4)


def test_full_size_on_the_meta_device_is_the_published_model() -> None:
    with torch.device("meta"):
        decoder = SDUnCLIPDecoder.from_options()
    assert round(sum(p.numel() for p in decoder.unet.parameters()) / 1e6) == 870
    assert decoder.unet.config.projection_class_embeddings_input_dim == 2048
    assert decoder.latent_shape == (4, 96, 96)
    assert decoder.autoencoder.vae.config.scaling_factor == 0.18215


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"picture_size": 17}, "multiple of 2"),
        ({"noise": {"train": [5, 2]}}, "low before high"),
        ({"unet": {**TINY["unet"], "attention_head_dim": [2, 2, 2]}}, "3 entries for 2 levels"),
        ({"unet": {**TINY["unet"], "block_out_chanels": [8]}}, "block_out_channels"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SDUnCLIPDecoder.from_options(TINY, **options)


def _publish(folder: Path) -> SDUnCLIPDecoder:
    """Write a folder in the published layout, from a tiny decoder."""
    decoder = SDUnCLIPDecoder.from_options(TINY)
    decoder.unet.save_pretrained(folder / "unet")
    decoder.autoencoder.vae.save_pretrained(folder / "vae")
    write_tensors(
        {"mean": torch.full((1, 8), 0.5), "std": torch.full((1, 8), 2.0)},
        folder / "image_normalizer" / "diffusion_pytorch_model.safetensors",
    )
    write_tensors({"empty_prompt": torch.ones(3, 8)}, folder / "prompt.safetensors")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": "v_prediction"}))
    return decoder


def test_reads_the_published_layout(tmp_path: Path) -> None:
    written = _publish(tmp_path)
    decoder = SDUnCLIPDecoder.from_options(
        TINY, weights=str(tmp_path), empty_prompt=str(tmp_path / "prompt.safetensors")
    )
    decoder.load_weights()
    for name, tensor in written.unet.state_dict().items():
        assert torch.equal(tensor, decoder.unet.state_dict()[name])
    assert decoder.augmentation.mean.tolist() == [0.5] * 8
    assert decoder.augmentation.std.tolist() == [2.0] * 8
    assert torch.equal(decoder.context, torch.ones(3, 8))
    assert decoder.autoencoder.latent_std.tolist() == pytest.approx([1 / 0.18215] * 4)
    assert not any(p.requires_grad for p in decoder.parameters())


def test_published_weights_load_into_a_decoder_with_a_reference_and_do_what_they_did(tmp_path: Path) -> None:
    _publish(tmp_path)
    prompt = {"weights": str(tmp_path), "empty_prompt": str(tmp_path / "prompt.safetensors")}
    plain, widened = (
        SDUnCLIPDecoder.from_options(TINY, reference=reference, denoising_steps=2, **prompt)
        for reference in (False, True)
    )
    latents = []
    for decoder in (plain, widened):
        decoder.load_weights()
        reference = torch.randn(1, 3, 16, 16) if decoder.uses_reference else None
        latents.append(decoder.generate_latents(Condition(torch.ones(1, 1, 8), reference), seeds=[0]))
    assert widened.unet.config.in_channels == 8
    assert not widened.unet.conv_in.weight[:, 4:].any()
    torch.testing.assert_close(*latents, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prediction": "epsilon"}, "predicts 'v_prediction'"),
        ({"unet": {**TINY["unet"], "layers_per_block": 2}}, "differ from the configured sizes"),
        ({"empty_prompt": None}, "neither an empty prompt nor a text encoder"),
    ],
)
def test_published_weights_that_do_not_fit_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    _publish(tmp_path)
    prompt = {"weights": str(tmp_path), "empty_prompt": str(tmp_path / "prompt.safetensors")}
    with pytest.raises(CheckpointError, match=message):
        SDUnCLIPDecoder.from_options({**TINY, **prompt, **options}).load_weights()


@pytest.mark.parametrize("left_out", ["tokenizer", "text_encoder/model.safetensors"])
def test_a_half_fetched_text_encoder_is_one_line(tmp_path: Path, left_out: str) -> None:
    _publish(tmp_path)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPTextModel(CLIPTextConfig(vocab_size=3, max_position_embeddings=3, **sizes)).save_pretrained(
        tmp_path / "text_encoder"
    )
    CLIPTokenizer({"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}, [], model_max_length=3).save_pretrained(
        tmp_path / "tokenizer"
    )
    decoder = SDUnCLIPDecoder.from_options(TINY, weights=str(tmp_path))
    decoder.load_weights()
    gone = tmp_path / left_out
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(CheckpointError, match="the empty prompt cannot be computed") as caught:
        decoder.load_weights()
    assert "\n" not in str(caught.value)


def test_a_repository_that_is_not_on_disk_is_not_fetched() -> None:
    with pytest.raises(CheckpointError, match="download: true"):
        SDUnCLIPDecoder.from_options(TINY, weights="nobody/such-model").load_weights()
