"""Stable Diffusion on feature tokens: the contract, diffusers' own pipeline, published folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from anyloom.conversation import Media
from anyloom.diffusion.pictures import PictureOptions, to_network, to_picture
from anyloom.errors import CheckpointError, ConfigError, MediaError
from anyloom.interfaces import Condition
from anyloom.storage.tensors import write_tensors
from anyloom.testing import DecoderCase, DecoderChecks
from anyloom_sd.decoder import SDDecoder
from anyloom_sd.tiny import TINY, case
from latent_reference_contract import LatentReferenceContract


class TestSD(LatentReferenceContract):
    decoder_class = SDDecoder
    options = TINY

    def media(self, number: int) -> Media:
        colour = torch.tensor([[1.0, 0.2, 0.0], [0.0, 0.4, 1.0]])[number % 2]
        return Media("image", colour[:, None, None].expand(3, 20, 20).contiguous())


class TestConformance(DecoderChecks):
    @pytest.fixture
    def case(self, tmp_path: Path) -> DecoderCase:
        return case(tmp_path)


def test_every_token_of_the_condition_gets_gradient_and_matters() -> None:
    decoder = SDDecoder.from_options(TINY)
    features = torch.randn(2, 3, 8, requires_grad=True)
    decoder(Condition(features), torch.rand(2, 3, 16, 16)).sum().backward()
    assert features.grad is not None
    assert bool((features.grad.abs().sum(2) > 0).all())
    made = decoder.generate_latents(
        Condition(features.detach()), seeds=[0, 0], sampling=decoder.Sampling(denoising_steps=2)
    )
    assert not torch.allclose(made[0], made[1])


@pytest.mark.parametrize(("prediction", "guidance"), [("epsilon", 3.0), ("v_prediction", 1.0)])
def test_samples_are_those_of_diffusers_own_pipeline(prediction: str, guidance: float) -> None:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    decoder = SDDecoder.from_options(TINY, prediction=prediction, schedule={})
    torch.nn.init.normal_(decoder.null)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )
    pipeline = StableDiffusionPipeline(
        vae=decoder.autoencoder.vae,
        unet=decoder.unet,
        scheduler=scheduler,
        text_encoder=None,
        tokenizer=None,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    features, seed = torch.randn(1, 3, 8), 7
    theirs = pipeline(
        prompt_embeds=features,
        negative_prompt_embeds=decoder.null.detach()[None],
        latents=torch.randn(decoder.latent_shape, generator=torch.Generator().manual_seed(seed))[None],
        num_inference_steps=4,
        guidance_scale=guidance,
        output_type="pt",
    ).images
    sampling = decoder.Sampling(denoising_steps=4, guidance=guidance)
    ours = decoder.generate(Condition(features), seeds=[seed], sampling=sampling)[0].tensor()
    torch.testing.assert_close(ours[None], theirs, atol=1e-4, rtol=1e-4)


def test_full_sizes_on_the_meta_device_are_the_published_models() -> None:
    two = {"dim": 1024, "unet": {"attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}}
    for options, millions in (({}, 859.5), (two, 865.9)):
        with torch.device("meta"):
            decoder = SDDecoder.from_options(options)
        assert round(sum(p.numel() for p in decoder.unet.parameters()) / 1e6, 1) == millions
        assert decoder.latent_shape == (4, 64, 64)
        assert round(sum(p.numel() for p in decoder.autoencoder.parameters()) / 1e6, 1) == 83.7


def test_preprocessing_agrees_between_uint8_and_float_and_is_undone() -> None:
    picture = torch.randint(256, (3, 16, 16), dtype=torch.uint8)
    size = PictureOptions(picture_size=16)
    from_bytes, from_floats = to_network(picture, size), to_network(picture.float() / 255, size)
    torch.testing.assert_close(from_bytes, from_floats)
    torch.testing.assert_close((to_picture(from_bytes) * 255).round().to(torch.uint8), picture)


def test_a_tensor_that_is_no_picture_is_refused() -> None:
    with pytest.raises(MediaError, match=r"\(3, H, W\)"):
        SDDecoder.from_options(TINY).preprocess(Media("image", torch.zeros(1, 4, 4)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"picture_size": 17}, "multiple of 2"),
        ({"unet": {**TINY["unet"], "attention_head_dim": [2, 2, 2]}}, "3 entries for 2 levels"),
        ({"unet": {**TINY["unet"], "attention_levels": [True]}}, "1 entries for 2 levels"),
        ({"unet": {**TINY["unet"], "cross_attention_dim": 8}}, "no option 'cross_attention_dim'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SDDecoder.from_options(TINY, **options)


def publish(folder: Path, *, words: bool = False) -> SDDecoder:
    """Write a folder in the published layout, with a text encoder of seven places where it is one for words."""
    decoder = SDDecoder.from_options(TINY)
    decoder.unet.save_pretrained(folder / "unet")
    decoder.autoencoder.vae.save_pretrained(folder / "vae")
    (folder / "model_index.json").write_text("{}")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": "epsilon"}))
    if words:
        vocabulary = folder / "vocab.json"
        vocabulary.write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        tokenizer = CLIPTokenizer(str(vocabulary), str(folder / "merges.txt"), model_max_length=7)
        tokenizer.save_pretrained(folder / "tokenizer")
        sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
        CLIPTextModel(CLIPTextConfig(vocab_size=3, max_position_embeddings=7, **sizes, **ends)).save_pretrained(
            folder / "text_encoder"
        )
    return decoder


@pytest.mark.parametrize("reference", [False, True])
def test_reads_a_published_folder_of_feature_conditions(tmp_path: Path, reference: bool) -> None:
    written = publish(tmp_path)
    decoder = SDDecoder.from_options(TINY, weights=str(tmp_path), reference=reference)
    torch.nn.init.normal_(decoder.null)
    decoder.load_weights()
    assert torch.equal(decoder.null, torch.zeros(3, 8))
    condition, sampling = Condition(torch.randn(1, 3, 8)), decoder.Sampling(denoising_steps=2, guidance=2.0)
    ours, theirs = (d.generate_latents(condition, seeds=[1], sampling=sampling) for d in (decoder, written))
    torch.testing.assert_close(ours, theirs)
    assert decoder.unet.conv_in.in_channels == (8 if reference else 4)
    assert not any(p.requires_grad for p in decoder.parameters())


def test_the_null_of_weights_for_words_is_the_empty_prompt(tmp_path: Path) -> None:
    publish(tmp_path, words=True)
    decoder = SDDecoder.from_options(TINY, weights=str(tmp_path))
    decoder.load_weights()
    encoder = CLIPTextModel.from_pretrained(tmp_path / "text_encoder")
    with torch.no_grad():
        expected = encoder(torch.tensor([[0, 1, 1]])).last_hidden_state[0]
    torch.testing.assert_close(decoder.null.detach(), expected)

    write_tensors({"empty_prompt": torch.ones(5, 8)}, tmp_path / "prompt.safetensors")
    given = SDDecoder.from_options(TINY, weights=str(tmp_path), empty_prompt=str(tmp_path / "prompt.safetensors"))
    given.load_weights()
    assert torch.equal(given.null, torch.ones(3, 8))
    assert given.portable_options(tmp_path, "brush").items() >= {"weights": None, "empty_prompt": None}.items()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prediction": "v_prediction"}, "predicts 'epsilon'"),
        ({"unet": {**TINY["unet"], "layers_per_block": 2}}, "differ from the configured sizes"),
        ({"tokens": 8}, r"\(7, 8\), which is no null of 8 x 8"),
        ({"empty_prompt": "nowhere.safetensors"}, "no weights here"),
    ],
)
def test_published_weights_that_do_not_fit_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    publish(tmp_path, words=True)
    with pytest.raises(CheckpointError, match=message):
        SDDecoder.from_options({**TINY, "weights": str(tmp_path), **options}).load_weights()


def test_a_text_encoder_without_tokenizer_is_one_clear_error(tmp_path: Path) -> None:
    publish(tmp_path)
    (tmp_path / "text_encoder").mkdir()
    with pytest.raises(CheckpointError, match="the empty prompt cannot be computed"):
        SDDecoder.from_options(TINY, weights=str(tmp_path)).load_weights()


def test_a_broken_text_encoder_is_one_line(tmp_path: Path) -> None:
    publish(tmp_path, words=True)
    file = tmp_path / "text_encoder" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="the empty prompt cannot be computed") as caught:
        SDDecoder.from_options(TINY, weights=str(tmp_path)).load_weights()
    assert "\n" not in str(caught.value)


def test_a_pickled_text_encoder_names_the_command_that_converts_it(tmp_path: Path) -> None:
    publish(tmp_path, words=True)
    file = tmp_path / "text_encoder" / "model.safetensors"
    torch.save(load_file(file), file.with_name("pytorch_model.bin"))
    file.unlink()
    with pytest.raises(CheckpointError, match=r"pickled \(pytorch_model\.bin\).*anyloom to-safetensors"):
        SDDecoder.from_options(TINY, weights=str(tmp_path)).load_weights()


def test_a_folder_that_lost_its_text_encoder_is_named(tmp_path: Path) -> None:
    publish(tmp_path)
    (tmp_path / "model_index.json").write_text(json.dumps({"text_encoder": ["transformers", "CLIPTextModel"]}))
    with pytest.raises(CheckpointError, match=r"names a text encoder that is not here.*empty_prompt"):
        SDDecoder.from_options(TINY, weights=str(tmp_path)).load_weights()


def test_half_precision_folders_are_read(tmp_path: Path) -> None:
    publish(tmp_path, words=True)
    for file in tmp_path.rglob("*.safetensors"):
        tensors = {name: t.half() if t.is_floating_point() else t for name, t in load_file(file).items()}
        save_file(tensors, file.with_suffix(".fp16.safetensors"), {"format": "pt"})
        file.unlink()
    decoder = SDDecoder.from_options(TINY, weights=str(tmp_path))
    decoder.load_weights()
    assert decoder.null.any()
    assert decoder.unet.dtype == torch.float32


@pytest.mark.parametrize(("fit", "sides"), [("cover", 1.0), ("pad", 1.0), ("squeeze", -1.0)])
def test_pictures_of_other_proportions_are_fitted_as_the_config_says(fit: str, sides: float) -> None:
    """White in the middle, black at the ends: covered, the ends are cut off; padded, there is white above and below."""
    wide = torch.zeros(3, 16, 48)
    wide[..., 16:32] = 1.0
    target = SDDecoder.from_options(TINY, fit=fit).preprocess(Media("image", wide))
    assert target.shape == (3, 16, 16)
    torch.testing.assert_close(target[:, 8, 8], torch.ones(3), atol=1e-2, rtol=0)
    torch.testing.assert_close(target[:, 0, 0], torch.full((3,), sides), atol=1e-2, rtol=0)


def test_pictures_need_not_be_square() -> None:
    decoder = SDDecoder.from_options(TINY, picture_size=[8, 24], denoising_steps=1)
    assert decoder.latent_shape == (4, 4, 12)
    made = decoder.generate(Condition(torch.randn(1, 3, 8)), seeds=[0])[0].tensor()
    assert made.shape == (3, 8, 24)
    assert decoder.example().shape == (1, 3, 8, 24)
    with pytest.raises(ConfigError, match="multiple of 2"):
        SDDecoder.from_options(TINY, picture_size=[8, 23])
