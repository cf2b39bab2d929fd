"""Whole folders that diffusers' own pipelines wrote: the decoders read them and sample what the pipelines sample.

The pipelines get a decoder's features as prompt embeddings and make their own empty prompt.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor
from transformers import (
    ClapConfig,
    ClapModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaTokenizer,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.errors import CheckpointError
from anyloom.interfaces import Condition
from anyloom_audioldm2.decoder import AudioLDM2Decoder
from anyloom_audioldm2.tiny import TINY as SOUND
from anyloom_sd.decoder import SDDecoder
from anyloom_sd.tiny import TINY as PICTURE
from anyloom_sd_unclip.decoder import SDUnCLIPDecoder
from anyloom_sd_unclip.tiny import TINY as UNCLIP
from anyloom_zeroscope.decoder import ZeroscopeDecoder
from anyloom_zeroscope.tiny import TINY as CLIP

TOKENS, SEED = 7, 5
SCHEDULERS: list[tuple[str, dict[str, Any]]] = [
    ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1, "beta_schedule": "scaled_linear", "beta_end": 0.012}),
    ("DDIMScheduler", {"beta_start": 0.0015, "beta_end": 0.0195, "clip_sample": False, "steps_offset": 1}),
    ("EulerDiscreteScheduler", {"timestep_spacing": "trailing", "beta_schedule": "scaled_linear", "steps_offset": 1}),
]
KINDS = [(name, options, kind) for name, options in SCHEDULERS for kind in ("epsilon", "v_prediction", "sample")]


def scheduler(name: str, prediction: str, options: dict[str, Any]) -> Any:
    return getattr(diffusers, name)(prediction_type=prediction, **options)


def clip(folder: Path) -> tuple[CLIPTokenizer, CLIPTextModel]:
    """A tokenizer of seven places and a text encoder of width 8."""
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=TOKENS)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    return tokenizer, CLIPTextModel(CLIPTextConfig(vocab_size=3, max_position_embeddings=TOKENS, **sizes, **ends))


def noise(decoder: LatentDiffusionDecoder) -> Tensor:
    return torch.randn(decoder.latent_shape, generator=torch.Generator().manual_seed(SEED))[None]


def sampled(decoder: LatentDiffusionDecoder, features: Tensor, **options: Any) -> Tensor:
    sampling = decoder.Sampling(denoising_steps=4, guidance=3.0, **options)
    return decoder.generate_latents(Condition(features), seeds=[SEED], sampling=sampling)


@pytest.mark.parametrize(
    ("name", "options", "prediction"),
    [k for k in KINDS if k[::2] != ("PNDMScheduler", "sample")],  # which diffusers does not have
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_stable_diffusion(name: str, options: dict[str, Any], prediction: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {k: v for k, v in PICTURE.items() if k != "schedule"} | {"tokens": TOKENS, "prediction": prediction}
    written = SDDecoder.from_options(sizes)
    tokenizer, encoder = clip(tmp_path / "words")
    pipeline = diffusers.StableDiffusionPipeline(
        vae=written.autoencoder.vae,
        unet=written.unet,
        scheduler=scheduler(name, prediction, options),
        text_encoder=encoder,
        tokenizer=tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(tmp_path / "published")
    decoder = SDDecoder.from_options(sizes, weights=str(tmp_path / "published"))
    decoder.load_weights()
    features = torch.randn(1, TOKENS, 8)
    theirs = pipeline(
        prompt_embeds=features,
        latents=noise(decoder),
        num_inference_steps=4,
        guidance_scale=3.0,
        output_type="latent",
    ).images
    torch.testing.assert_close(sampled(decoder, features), theirs, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(("name", "options"), SCHEDULERS[1:2])
def test_zeroscope(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {k: v for k, v in CLIP.items() if k != "schedule"} | {"tokens": TOKENS, "prediction": "epsilon"}
    written = ZeroscopeDecoder.from_options(sizes)
    tokenizer, encoder = clip(tmp_path / "words")
    pipeline = diffusers.TextToVideoSDPipeline(
        vae=written.autoencoder.vae,
        unet=written.unet,
        scheduler=scheduler(name, "epsilon", options),
        text_encoder=encoder,
        tokenizer=tokenizer,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(tmp_path / "published")
    decoder = ZeroscopeDecoder.from_options(sizes, weights=str(tmp_path / "published"))
    decoder.load_weights()
    features = torch.randn(1, TOKENS, 8)
    theirs = pipeline(
        prompt_embeds=features,
        latents=noise(decoder),
        num_frames=3,
        num_inference_steps=4,
        guidance_scale=3.0,
        output_type="latent",
    ).frames
    torch.testing.assert_close(sampled(decoder, features), theirs, atol=1e-3, rtol=1e-4)


def test_stable_diffusion_unclip(tmp_path: Path) -> None:
    from diffusers.pipelines.stable_diffusion import StableUnCLIPImageNormalizer

    torch.manual_seed(0)
    sizes = {k: v for k, v in UNCLIP.items() if k != "schedule"} | {"context_tokens": TOKENS}
    written = SDUnCLIPDecoder.from_options(sizes)
    tokenizer, encoder = clip(tmp_path / "words")
    normaliser = StableUnCLIPImageNormalizer(8)
    with torch.no_grad():
        normaliser.mean.normal_()
        normaliser.std.uniform_(0.5, 2.0)
    pipeline = diffusers.StableUnCLIPImg2ImgPipeline(
        feature_extractor=None,
        image_encoder=CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8,
                patch_size=8, projection_dim=8,
            )
        ),
        image_normalizer=normaliser,
        image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        tokenizer=tokenizer,
        text_encoder=encoder,
        unet=written.unet,
        scheduler=scheduler("DDIMScheduler", "v_prediction", SCHEDULERS[1][1]),
        vae=written.autoencoder.vae,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(tmp_path / "published")
    decoder = SDUnCLIPDecoder.from_options(sizes, weights=str(tmp_path / "published"), noise={"sampling": 250})
    decoder.load_weights()
    features, generator = torch.randn(1, 1, 8), torch.Generator().manual_seed(SEED)
    theirs = pipeline(
        prompt="",
        image_embeds=features[0],
        noise_level=250,
        latents=torch.randn(decoder.latent_shape, generator=generator)[None],
        generator=generator,
        num_inference_steps=4,
        guidance_scale=3.0,
        output_type="latent",
    ).images
    torch.testing.assert_close(sampled(decoder, features), theirs, atol=1e-3, rtol=1e-4)

    file = tmp_path / "published" / "image_noising_scheduler" / "scheduler_config.json"
    there = json.loads(file.read_text())
    for change, message in (
        ({"beta_schedule": "linear"}, "noised by the schedule 'linear'"),
        ({"num_train_timesteps": 500}, r"500 levels, the config says 1000.*noise\.num_levels: 500"),
    ):
        file.write_text(json.dumps({**there, **change}))
        with pytest.raises(CheckpointError, match=message):
            decoder.load_weights()


def audio_pipeline(folder: Path) -> tuple[AudioLDM2Decoder, Any, dict[str, Any]]:
    torch.manual_seed(0)
    sizes = {**SOUND, "tokens": 1, "prediction": "epsilon"}
    written = AudioLDM2Decoder.from_options(sizes)
    folder.mkdir()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a"]
    (folder / "vocab.json").write_text(json.dumps({name: n for n, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    words = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**words, "vocab_size": 6, "max_position_embeddings": 10, "pad_token_id": 1, "projection_dim": 8}
    audio = {
        "patch_embeds_hidden_size": 8, "hidden_size": 16, "depths": [1, 1], "num_attention_heads": [1, 1],
        "num_hidden_layers": 2, "projection_dim": 8, "spec_size": 32, "patch_size": 8, "patch_stride": 8,
        "num_mel_bins": 16, "window_size": 2,
    }  # fmt: skip
    vocoder = SpeechT5HifiGanConfig(
        model_in_dim=16,
        upsample_initial_channel=8,
        upsample_rates=[8, 8],
        upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
    )
    pipeline = diffusers.AudioLDM2Pipeline(
        vae=written.autoencoder.vae,
        unet=written.unet,
        scheduler=scheduler(*SCHEDULERS[1][:1], "epsilon", SCHEDULERS[1][1]),
        text_encoder=ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=8)).eval(),
        text_encoder_2=T5EncoderModel(T5Config(vocab_size=4, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)),
        projection_model=diffusers.AudioLDM2ProjectionModel(8, 8, 8),
        language_model=GPT2LMHeadModel(
            GPT2Config(vocab_size=4, n_embd=8, n_layer=1, n_head=2, n_positions=32, max_new_tokens=2)
        ).eval(),
        tokenizer=RobertaTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=TOKENS),
        tokenizer_2=T5Tokenizer(
            [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁a", -1.0)], extra_ids=0, model_max_length=TOKENS
        ),
        feature_extractor=None,
        vocoder=SpeechT5HifiGan(vocoder),
    )
    pipeline.text_encoder_2.eval()
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder / "published")
    return written, pipeline, {**sizes, "weights": str(folder / "published")}


def test_audioldm2(tmp_path: Path) -> None:
    _, pipeline, options = audio_pipeline(tmp_path / "there")
    decoder = AudioLDM2Decoder.from_options(options)
    decoder.load_weights()
    assert decoder.vocoder is not None
    features = torch.randn(1, 1, 8)
    theirs = pipeline(
        prompt_embeds=features,
        generated_prompt_embeds=torch.zeros(1, 2, 8),
        attention_mask=torch.ones(1, 1, dtype=torch.long),
        latents=noise(decoder),
        num_inference_steps=4,
        guidance_scale=3.0,
        audio_length_in_s=0.064,
        output_type="latent",
    ).audios
    torch.testing.assert_close(sampled(decoder, features), theirs, atol=1e-3, rtol=1e-4)


def test_a_published_folder_without_vocoder_says_how_to_do_without(tmp_path: Path) -> None:
    _, pipeline, options = audio_pipeline(tmp_path / "there")
    folder = Path(options["weights"])
    (folder / "vocoder").rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"no vocoder.*vocoder: griffin-lim"):
        AudioLDM2Decoder.from_options(options).load_weights()
    plain = AudioLDM2Decoder.from_options(options, vocoder="griffin-lim")
    plain.load_weights()
    assert plain.vocoder is None
    named = AudioLDM2Decoder.from_options(options, vocoder=str(tmp_path / "elsewhere"))
    named.load_weights()
    assert named.vocoder is not None
    del pipeline


def test_a_half_fetched_audio_folder_is_named(tmp_path: Path) -> None:
    _, _, options = audio_pipeline(tmp_path / "there")
    folder = Path(options["weights"])
    (folder / "language_model").rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="without the folder's language_model"):
        AudioLDM2Decoder.from_options(options).load_weights()
