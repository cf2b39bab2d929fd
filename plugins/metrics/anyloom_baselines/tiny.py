"""Tiny forms of the baselines, and tiny pipelines in the published layout, for checks and tests."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

import torch

from anyloom.building import build
from anyloom.conversation.segments import Conversation, Media, Message
from anyloom.interfaces import Sample
from anyloom.testing import BaselineCase

__all__ = [
    "audio_sdedit",
    "copying",
    "ddim_inversion",
    "instruct_pix2pix",
    "nearest_neighbour",
    "sdedit",
    "vector_arithmetic",
    "write_picture_pipeline",
    "write_sound_pipeline",
]

_PLACES: Final = 7
_SCHEDULE: Final[dict[str, Any]] = {"beta_start": 0.0015, "beta_end": 0.0195, "clip_sample": False, "steps_offset": 1}
_VAE: Final[dict[str, Any]] = {"block_out_channels": (8, 8), "layers_per_block": 1, "norm_num_groups": 4}
_CONV: Final = {"name": "conv", "size": 16, "grid": 8, "layout_dim": 24, "meaning_dim": 4, "widths": [8, 8]}
_MEL: Final = {"frames": 16, "num_mels": 16, "fft_size": 256, "hop": 64}


def _picture(seed: int) -> Media:
    return Media("image", torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(seed)))


def _sound(pitch: int) -> Media:
    wave = 0.3 * torch.sin(2 * math.pi * pitch * torch.arange(2000) / 16000)[None]
    return Media("audio", wave, meta={"sample_rate": 16000.0})


def _edit(source: Media, target: Media, *shown: Media) -> Sample:
    asked = Message("user", [*shown, source, "a"])
    facts = {"caption": "a", "edited_caption": "a a"}
    return Sample(Conversation([asked, Message("assistant", [target])]), "edit", provenance=facts)


def _pictures() -> list[Sample]:
    return [_edit(_picture(n), _picture(n + 10)) for n in range(2)]


def copying(folder: Path) -> BaselineCase:
    """Two edits of pictures."""
    del folder
    return BaselineCase("copying", questions=_pictures())


def nearest_neighbour(folder: Path) -> BaselineCase:
    """Three training edits."""
    known = [_edit(_picture(n), _picture(n + 30)) for n in range(20, 23)]
    return BaselineCase(
        "nearest-neighbour", questions=_pictures(), training=known, options={"encoder": _encoder(folder)}
    )


def vector_arithmetic(folder: Path) -> BaselineCase:
    """One example pair and an input."""
    unet = {"block_out_channels": [8, 8], "layers_per_block": 1, "cross_attention_dim": 8, "attention_head_dim": 2}
    decoder = {
        "name": "sd-unclip", "space": "conv-image", "dim": 28, "picture_size": 16, "context_tokens": 1,
        "autoencoder": {**_VAE, "block_out_channels": [8, 8]}, "unet": {**unet, "norm_num_groups": 4},
        "denoising_steps": 2, "weights": str(folder / "decoder"),
    }  # fmt: skip
    torch.manual_seed(0)
    build("decoder", "sd-unclip", {k: v for k, v in decoder.items() if k not in ("name", "weights")}).save(
        folder / "decoder"
    )
    questions = [_edit(_picture(n), _picture(n + 10), _picture(n + 20), _picture(n + 30)) for n in range(2)]
    return BaselineCase(
        "vector-arithmetic", questions=questions, options={"encoder": _encoder(folder), "decoder": decoder}
    )


def _encoder(folder: Path) -> dict[str, Any]:
    """An encoder whose random weights are written down, so that two of it are alike."""
    torch.manual_seed(0)
    build("encoder", "conv", {key: value for key, value in _CONV.items() if key != "name"}).save(folder / "encoder")
    return {**_CONV, "weights": str(folder / "encoder")}


def _case(name: str, kind: str, folder: Path, **options: Any) -> BaselineCase:
    write_picture_pipeline(folder / "published", kind)
    given = {"weights": str(folder / "published"), "size": 16, "denoising_steps": 4, **options}
    return BaselineCase(name, questions=_pictures(), options=given)


def instruct_pix2pix(folder: Path) -> BaselineCase:
    """A tiny pipeline of the class that is published."""
    return _case("instruct-pix2pix", "StableDiffusionInstructPix2PixPipeline", folder)


def sdedit(folder: Path) -> BaselineCase:
    """A tiny Stable Diffusion."""
    return _case("sdedit", "StableDiffusionPipeline", folder)


def ddim_inversion(folder: Path) -> BaselineCase:
    """A tiny Stable Diffusion."""
    return _case("ddim-inversion", "StableDiffusionPipeline", folder)


def audio_sdedit(folder: Path) -> BaselineCase:
    """A tiny AudioLDM2."""
    write_sound_pipeline(folder / "published")
    questions = [_edit(_sound(pitch), _sound(2 * pitch)) for pitch in (300, 500)]
    options = {"weights": str(folder / "published"), "mel": _MEL, "denoising_steps": 4}
    return BaselineCase("audio-sdedit", questions=questions, options=options)


def write_picture_pipeline(folder: Path, kind: str) -> Any:
    """Write a pipeline of Stable Diffusion 1.x's classes with random weights, and return it."""
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    words = folder.parent / f"{folder.name}-words"
    words.mkdir(parents=True, exist_ok=True)
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}
    (words / "vocab.json").write_text(json.dumps(vocabulary))
    (words / "merges.txt").write_text("#version: 0.2\n")
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = CLIPTextConfig(
        vocab_size=3, max_position_embeddings=_PLACES, bos_token_id=0, eos_token_id=1, pad_token_id=1, **sizes
    )
    unet = diffusers.UNet2DConditionModel(
        in_channels=8 if "Pix2Pix" in kind else 4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
        sample_size=8,
    )
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    pipeline = getattr(diffusers, kind)(
        vae=diffusers.AutoencoderKL(latent_channels=4, **blocks, **_VAE),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(beta_schedule="scaled_linear", set_alpha_to_one=False, **_SCHEDULE),
        text_encoder=CLIPTextModel(text).eval(),
        tokenizer=CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=_PLACES),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return pipeline


def write_sound_pipeline(folder: Path) -> Any:
    """Write a pipeline of AudioLDM2's classes with random weights, and return it."""
    import diffusers
    import transformers as hf

    torch.manual_seed(0)
    words = folder.parent / f"{folder.name}-words"
    words.mkdir(parents=True, exist_ok=True)
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a"]
    (words / "vocab.json").write_text(json.dumps({name: n for n, name in enumerate(names)}))
    (words / "merges.txt").write_text("#version: 0.2\n")
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": 6, "max_position_embeddings": 10, "pad_token_id": 1, "projection_dim": 8}
    audio = {
        "patch_embeds_hidden_size": 8, "hidden_size": 16, "depths": [1, 1], "num_attention_heads": [1, 1],
        "num_hidden_layers": 2, "projection_dim": 8, "spec_size": 32, "patch_size": 8, "patch_stride": 8,
        "num_mel_bins": 16, "window_size": 2,
    }  # fmt: skip
    vocoder = hf.SpeechT5HifiGanConfig(
        model_in_dim=16, upsample_initial_channel=8, upsample_rates=[8, 8], upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]],
    )  # fmt: skip
    unet = diffusers.AudioLDM2UNet2DConditionModel(
        in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1, attention_head_dim=4,
        norm_num_groups=4, cross_attention_dim=((None, 8, 8), (None, 8, 8)), sample_size=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁a", -1.0)]
    t5 = hf.T5Config(vocab_size=4, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    gpt2 = hf.GPT2Config(vocab_size=4, n_embd=8, n_layer=1, n_head=2, n_positions=32, max_new_tokens=2)
    pipeline = diffusers.AudioLDM2Pipeline(
        vae=diffusers.AutoencoderKL(in_channels=1, out_channels=1, latent_channels=4, **blocks, **_VAE),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(**_SCHEDULE),
        text_encoder=hf.ClapModel(hf.ClapConfig(text_config=text, audio_config=audio, projection_dim=8)).eval(),
        text_encoder_2=hf.T5EncoderModel(t5).eval(),
        projection_model=diffusers.AudioLDM2ProjectionModel(8, 8, 8),
        language_model=hf.GPT2LMHeadModel(gpt2).eval(),
        tokenizer=hf.RobertaTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=_PLACES),
        tokenizer_2=hf.T5Tokenizer(pieces, extra_ids=0, model_max_length=_PLACES),
        feature_extractor=None,
        vocoder=hf.SpeechT5HifiGan(vocoder),
    )
    pipeline.save_pretrained(folder)
    return pipeline
