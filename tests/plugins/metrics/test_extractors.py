"""Extractors with name-seeded weights against the golden files; their rates, ranges and refusals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import CheckpointError, ConfigError, MediaError
from anyloom.storage.tensors import write_tensors
from anyloom_metrics.extractors.clap import JointCLAP
from anyloom_metrics.extractors.clip import JointCLIP
from anyloom_metrics.extractors.cnn14 import CNN14, log_mel
from anyloom_metrics.extractors.dino import DINO
from anyloom_metrics.extractors.inception import Inception
from anyloom_metrics.extractors.perceptual import PerceptualNetwork
from anyloom_metrics.extractors.vggish import VGGish, examples
from anyloom_metrics.tiny_extractors import write_clap, write_clip
from metric_golden import fan_in, golden, seeded


def network_rule(key: str, n: np.ndarray) -> np.ndarray:
    """Name-seeded weights of networks with batch norms."""
    if key.endswith("running_var"):
        return np.float32(1) + np.float32(0.1) * np.abs(n)
    if key.endswith(("running_mean", "bias")):
        return np.float32(0.1) * n
    return np.float32(1) + np.float32(0.1) * n if n.ndim == 1 else fan_in(n)


def shapes_of(network: Any) -> dict[str, Any]:
    return {k: v.shape for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}


def sound(wave: Tensor, rate: float = 16000) -> Media:
    return Media("audio", wave[None], meta={"sample_rate": rate})


@pytest.fixture(scope="module")
def cnn14_weights() -> dict[str, Tensor]:
    return seeded(shapes_of(CNN14.from_options().network), network_rule)


@torch.no_grad()
@pytest.mark.parametrize("kilohertz", [16, 32])
def test_cnn14_equals_panns(kilohertz: int, cnn14_weights: dict[str, Tensor]) -> None:
    """panns_cnn14_16k.npz and panns_cnn14_32k.npz: log-mel 1e-3 dB, logits 1e-3 relative."""
    g = golden(f"panns_cnn14_{kilohertz}k")
    extractor = CNN14.from_options(sample_rate=1000 * kilohertz)
    assert [k for k in g["state_keys"] if not k.startswith(CNN14.unused)] == list(extractor.network.state_dict())
    extractor.load_tensors(cnn14_weights, where="seeded")
    wave = g["wav_pcm16"].float() / 32768
    spectrum = log_mel(wave[None], g["sample_rate"])
    torch.testing.assert_close(spectrum[0], g["logmel"], atol=1e-3, rtol=0)
    pooled, logits = extractor.network(spectrum[:, None])
    torch.testing.assert_close(logits[0], g["logits"], atol=1e-3 * float(g["logits"].abs().max()), rtol=1e-3)
    torch.testing.assert_close(pooled[0], g["feat2048"], atol=1e-3 * float(g["feat2048"].abs().max()), rtol=1e-3)
    torch.testing.assert_close(logits[0].sigmoid(), g["clipwise"], atol=1e-3, rtol=0)
    whole = extractor(extractor.preprocess(sound(wave, g["sample_rate"]))[None], "audio")
    torch.testing.assert_close(whole[0, 0], pooled[0], atol=0.02, rtol=0.02)  # without the mean of the wave


@torch.no_grad()
def test_dino_equals_facebookresearch(tmp_path: Path) -> None:
    """dino_vits16.npz: 1e-4."""

    def rule(key: str, n: np.ndarray) -> np.ndarray:
        if n.ndim == 1:
            scaled = np.float32(0.1) * n
            return np.float32(1) + scaled if "norm" in key and key.endswith("weight") else scaled
        return np.float32(0.1) * n if key in ("cls_token", "pos_embed") else fan_in(n, 1.0)

    g = golden("dino_vits16")
    picture = golden("preprocess_torchvision_pil")["image_uint8"].permute(2, 0, 1)
    write_tensors(seeded(g["state_shapes"], rule), tmp_path / "dino.safetensors")
    extractor = DINO.from_options(weights=str(tmp_path / "dino.safetensors"))
    extractor.load_weights()
    found = embedded(extractor, [picture, picture.flip(-1)])
    torch.testing.assert_close(found, g["embedding"], atol=1e-4, rtol=0)
    assert float(torch.cosine_similarity(found[0], found[1], dim=0)) == pytest.approx(g["cosine"], abs=1e-4)


def embedded(extractor: Any, pictures: list[Tensor]) -> Tensor:
    stack = torch.stack([extractor.preprocess(Media("image", p)) for p in pictures])
    return extractor(stack, "image")[:, 0]


def test_dino_reads_both_layouts(tmp_path: Path) -> None:
    tiny = {"hidden_size": 12, "layers": 2, "heads": 2}
    first = DINO.from_options(tiny)
    first.network.save_pretrained(tmp_path / "folder")
    state = first.network.state_dict()
    theirs: dict[str, Tensor] = {}
    for key, value in state.items():
        name = key.replace("embeddings.position_embeddings", "pos_embed").replace("embeddings.cls_token", "cls_token")
        name = name.replace("embeddings.patch_embeddings.projection", "patch_embed.proj").replace("layers.", "blocks.")
        name = name.replace("layernorm_before", "norm1").replace("layernorm_after", "norm2")
        name = name.replace("layernorm.", "norm.").replace("attention.o_proj", "attn.proj")
        if "attention" not in name:
            theirs[name] = value
        elif "q_proj" in name:
            parts = [state[key.replace("q_proj", f"{n}_proj")] for n in "qkv"]
            theirs[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
    write_tensors(theirs, tmp_path / "dino.safetensors")
    pictures = [torch.rand(3, 40, 50)]
    for source in (tmp_path / "folder", tmp_path / "dino.safetensors"):
        second = DINO.from_options(tiny, weights=str(source))
        second.load_weights()
        assert second.network.config.layer_norm_eps == 1e-6
        torch.testing.assert_close(embedded(second, pictures), embedded(first, pictures))
    with pytest.raises(CheckpointError, match="there are no weights"):
        DINO.from_options(tiny, weights=str(tmp_path / "none.safetensors")).load_weights()
    with pytest.raises(CheckpointError):
        DINO.from_options(tiny, weights=str(tmp_path)).load_weights()
    with pytest.raises(CheckpointError, match="shapes wrong"):
        DINO.from_options(weights=str(tmp_path / "dino.safetensors"), hidden_size=24, layers=2, heads=2).load_weights()


@torch.no_grad()
def test_inception_equals_torch_fidelity() -> None:
    """inception_fid.npz: 1e-4 (resizing included)."""
    g = golden("inception_fid")
    picture = golden("fid_resize_299")["image_uint8"].permute(2, 0, 1)
    extractor = Inception.from_options()
    own = {k: list(v.shape) for k, v in extractor.network.state_dict().items()}
    assert own == g["state_shapes"]
    extractor.load_tensors(seeded(shapes_of(extractor.network), network_rule), where="seeded")
    found = embedded(extractor, [picture, picture.flip(-1)])
    torch.testing.assert_close(found, g["features"], atol=1e-4, rtol=1e-4)
    logits = torch.nn.functional.linear(found, extractor.network.fc.weight)
    torch.testing.assert_close(logits, g["logits_unbiased"], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_vggish_equals_torchvggish() -> None:
    """vggish.npz: log-mel 1e-5, embedding 1e-3 of 4."""
    g = golden("vggish")
    wave = golden("panns_cnn14_16k")["wav_pcm16"].float() / 32768
    torch.testing.assert_close(examples(wave)[:, :, ::3], g["examples_stride3"], atol=1e-5, rtol=1e-5)
    extractor = VGGish.from_options()
    extractor.load_tensors(seeded(shapes_of(extractor.network), network_rule), where="seeded")
    found = extractor(extractor.preprocess(sound(wave))[None], "audio")[0]
    torch.testing.assert_close(found, g["embedding"], atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_lpips_equals_lpips(tmp_path: Path) -> None:
    """lpips.npz: 1e-5."""
    g = golden("lpips")
    backbone = seeded(g["backbone_keys"], lambda key, n: np.float32(0.05) * n if n.ndim == 1 else fan_in(n))
    network = PerceptualNetwork()
    state = {f"net.{k}": v for k, v in backbone.items()}
    state |= {f"lin{n}.model.1.weight": g[f"lin{n}"][None, :, None, None] for n in range(5)}
    state |= {f"lins.{n}.model.1.weight": g[f"lin{n}"][None, :, None, None] for n in range(5)}
    state |= {k: v for k, v in network.state_dict().items() if k.startswith("scaling_layer.")}
    write_tensors(state, tmp_path / "lpips.safetensors")
    network.load(tmp_path / "lpips.safetensors")
    first, second = (g[f"img{n}_uint8"].float() / 127.5 - 1 for n in (0, 1))
    layers = network(first, second)
    torch.testing.assert_close(layers, g["per_layer"], atol=1e-5, rtol=0)
    torch.testing.assert_close(layers.sum(1), g["lpips_alex_nameseeded"], atol=1e-5, rtol=0)


TINY = [(CNN14, {"thin": 16}), (VGGish, {"thin": 16})]


@pytest.mark.parametrize(("cls", "options"), TINY)
def test_another_rate_is_refused_and_resampled_only_on_request(cls: Any, options: dict[str, Any]) -> None:
    wave = torch.sin(torch.arange(96000) * 0.02) * 0.5
    with pytest.raises(MediaError, match=r"48000 Hz.*16000"):
        cls.from_options(options).preprocess(sound(wave, 48000))
    with pytest.raises(MediaError, match="unknown"):
        cls.from_options(options).preprocess(Media("audio", wave[None]))
    with pytest.raises(MediaError, match="NaN"):
        cls.from_options(options).preprocess(sound(wave * math.nan))
    willing = cls.from_options(options, resample=True)
    low = cls.from_options(options).preprocess(sound(torch.sin(torch.arange(32000) * 0.06) * 0.5))
    torch.testing.assert_close(willing.preprocess(sound(wave, 48000)), low, atol=0.2, rtol=0)


@pytest.mark.parametrize("cls", [Inception, DINO])
def test_pictures_out_of_range_are_refused(cls: Any) -> None:
    extractor = cls.from_options({"thin": 16} if cls is Inception else {"hidden_size": 12, "layers": 1, "heads": 2})
    for picture in (255 * torch.rand(3, 20, 20), torch.rand(3, 20, 20) - 0.5, torch.full((3, 20, 20), math.nan)):
        with pytest.raises(MediaError, match=r"0\.\.1"):
            extractor.preprocess(Media("image", picture))
    with pytest.raises(ConfigError, match="not smell"):
        extractor.feature_space("smell")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    write_tensors({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    for cls in (CNN14, Inception, VGGish):
        with pytest.raises(CheckpointError, match="keys missing"):
            cls.from_options(thin=16, weights=str(tmp_path / "a.safetensors")).load_weights()
    with pytest.raises(CheckpointError, match="keys missing"):
        PerceptualNetwork().load(tmp_path / "a.safetensors")


def test_a_saved_network_is_read_again(tmp_path: Path) -> None:
    first = CNN14.from_options(thin=16)
    write_tensors(first.network.state_dict(), tmp_path / "cnn.safetensors")
    second = CNN14.from_options(thin=16, weights=str(tmp_path / "cnn.safetensors"))
    second.load_weights()
    wave = first.preprocess(sound(torch.randn(40000)))[None]
    torch.testing.assert_close(first(wave, "audio"), second(wave, "audio"))


@torch.no_grad()
def test_joint_clip_equals_transformers(tmp_path: Path) -> None:
    from PIL import Image
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    folder = write_clip(tmp_path / "clip")
    extractor = JointCLIP.from_options(weights=str(folder))
    extractor.load_weights()
    model = CLIPModel.from_pretrained(folder).eval()
    picture = torch.randint(0, 256, (3, 40, 57), dtype=torch.uint8)
    processor = CLIPImageProcessorPil.from_pretrained(
        folder, size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    pixels = processor(Image.fromarray(picture.permute(1, 2, 0).numpy()), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(extractor.preprocess(Media("image", picture))[None], pixels, atol=1e-6, rtol=0)
    texts = ["a photo of a cat", "red bell"]
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    expected = model(pixel_values=pixels, **tokens)
    found = embedded(extractor, [picture]), extractor.embed_texts(texts)
    for ours, theirs in zip(found, (expected.image_embeds, expected.text_embeds)):
        torch.testing.assert_close(torch.nn.functional.normalize(ours, dim=-1), theirs, atol=1e-5, rtol=0)
    long = extractor.embed_texts(["cat " * 99])
    assert long.isfinite().all(), "long texts are cut"


@torch.no_grad()
def test_joint_clap_equals_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    folder = write_clap(tmp_path / "clap")
    extractor = JointCLAP.from_options(weights=str(folder))
    extractor.load_weights()
    model = ClapModel.from_pretrained(folder).eval()
    waves = [0.1 * torch.randn(9000), 0.1 * torch.randn(16000)]
    inputs = ClapFeatureExtractor.from_pretrained(folder)(
        [w.numpy() for w in waves], sampling_rate=16000, return_tensors="pt"
    )
    texts = ["a bell in rain", "dog"]
    tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    expected = model(**inputs, **tokens)
    stack = torch.stack([extractor.preprocess(sound(w)) for w in waves])
    found = extractor(stack, "audio")[:, 0], extractor.embed_texts(texts)
    for ours, theirs in zip(found, (expected.audio_embeds, expected.text_embeds)):
        torch.testing.assert_close(torch.nn.functional.normalize(ours, dim=-1), theirs, atol=1e-5, rtol=0)
    longer = 0.1 * torch.randn(40000)
    twice = [extractor.preprocess(sound(longer)) for _ in range(2)]
    assert torch.equal(*twice), "a long sound is always cut at the same place"
    with pytest.raises(MediaError, match="48000 Hz"):
        extractor.preprocess(sound(longer, 48000))


def test_joint_folders_that_lack_something_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        JointCLIP.from_options(weights=str(tmp_path))
    with pytest.raises(CheckpointError, match="download"):
        JointCLIP.from_options(weights="nobody/nothing")
    folder = write_clip(tmp_path / "clip")
    preparation = (folder / "preprocessor_config.json").read_text()
    (folder / "preprocessor_config.json").write_text('{"resample": 2, "do_center_crop": false}')
    with pytest.raises(CheckpointError, match="do_center_crop: false, resample: 2"):
        JointCLIP.from_options(weights=str(folder))
    (folder / "preprocessor_config.json").write_text(preparation)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        JointCLIP.from_options(weights=str(folder)).load_weights()
