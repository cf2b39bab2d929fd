from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import CheckpointError, ConfigError, MediaError
from anyloom.interfaces import Condition
from anyloom.testing import DecoderCase, DecoderChecks
from anyloom_media.video import VideoIO
from anyloom_zeroscope.clips import FrameAutoencoder, frame_indices, to_clip, to_network
from anyloom_zeroscope.config import ClipOptions
from anyloom_zeroscope.decoder import ZeroscopeDecoder
from anyloom_zeroscope.tiny import TINY, case
from latent_reference_contract import LatentReferenceContract


def clip(number: int, frames: int = 3) -> Tensor:
    """A bar that moves one column per frame; its colour is the clip's."""
    pixels = torch.zeros(frames, 3, 8, 12)
    for t in range(frames):
        pixels[t, number % 3, :, t % 12] = 1.0
    return pixels


class TestZeroscope(LatentReferenceContract):
    decoder_class = ZeroscopeDecoder
    options = TINY

    def media(self, number: int) -> Media:
        return Media("video", clip(number), meta={"fps": 8.0})


class TestConformance(DecoderChecks):
    @pytest.fixture
    def case(self, tmp_path: Path) -> DecoderCase:
        return case(tmp_path)


def test_sampled_clips_are_mp4_files_that_open_again(tmp_path: Path) -> None:
    decoder = ZeroscopeDecoder.from_options(TINY)
    features = torch.randn(2, 2, 8)
    clips = decoder.generate(
        Condition(features), seeds=[0, 1], sampling=decoder.Sampling(denoising_steps=2, guidance=2.0)
    )
    for number, media in enumerate(clips):
        assert media.tensor().shape == (3, 3, 8, 12)
        assert media.tensor().dtype == torch.float32
        assert 0 <= media.tensor().min() < media.tensor().max() <= 1
        file = VideoIO(VideoIO.Config()).write(media, tmp_path / f"{number}.mp4")
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height, stream.average_rate) == (12, 8, 8)
            assert sum(1 for _ in container.decode(stream)) == 3


def test_what_was_written_is_what_was_learned_from(tmp_path: Path) -> None:
    io, decoder = VideoIO(VideoIO.Config()), ZeroscopeDecoder.from_options(TINY)
    smooth = torch.linspace(0, 1, 12).expand(3, 3, 8, 12) * torch.tensor([0.2, 0.6, 1.0])[:, None, None, None]
    file = io.write(Media("video", smooth.contiguous(), meta={"fps": 8.0}), tmp_path / "clip.mp4")
    back = to_clip(decoder.preprocess(io.read(file)))
    assert float((back - smooth).abs().mean()) < 0.02


@pytest.mark.parametrize(
    ("count", "rate", "frames", "fps", "expected"),
    [
        (24, 24.0, 4, 8.0, [0, 3, 6, 9]),
        (4, 8.0, 6, 8.0, [0, 1, 2, 3, 3, 3]),
        (3, 4.0, 6, 8.0, [0, 0, 1, 1, 2, 2]),
        (90, 30000 / 1001, 3, 30.0, [0, 0, 1]),
    ],
)
def test_frames_are_those_shown_at_each_time(
    count: int, rate: float, frames: int, fps: float, expected: list[int]
) -> None:
    options = ClipOptions(frames=frames, fps=fps)
    assert frame_indices(count, rate, options).tolist() == expected


def test_frames_of_another_shape_are_covered_and_cropped_around_the_centre() -> None:
    options = ClipOptions(frames=1, height=8, width=8)
    wide = torch.zeros(1, 3, 8, 24)
    wide[..., 8:16] = 1.0
    assert torch.equal(to_network(wide, 8.0, options), torch.ones(1, 3, 8, 8))
    tall = wide.transpose(2, 3).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert float(to_network(tall, 8.0, options)[:, :, 1:-1].min()) > 0.99


def test_bytes_and_floats_agree() -> None:
    pixels = torch.randint(256, (3, 3, 8, 12), dtype=torch.uint8)
    options = ClipOptions(frames=3, height=8, width=12)
    from_bytes = to_network(pixels, 8.0, options)
    torch.testing.assert_close(from_bytes, to_network(pixels.float() / 255, 8.0, options))
    torch.testing.assert_close((to_clip(from_bytes) * 255).round().to(torch.uint8), pixels)


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (Media("video", torch.zeros(3, 3, 8, 8)), "no frame rate"),
        (Media("video", torch.zeros(3, 8, 8), meta={"fps": 8.0}), r"\(T, 3, H, W\)"),
        (Media("video", torch.zeros(0, 3, 8, 8), meta={"fps": 8.0}), r"\(T, 3, H, W\)"),
    ],
)
def test_a_clip_that_does_not_fit_is_refused(media: Media, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        ZeroscopeDecoder.from_options(TINY).preprocess(media)


@pytest.mark.parametrize("frames_at_once", [1, 4, 100])
def test_the_autoencoder_sees_single_frames_however_many_at_once(frames_at_once: int) -> None:
    decoder = ZeroscopeDecoder.from_options(TINY, frames_at_once=frames_at_once)
    autoencoder, clips = decoder.autoencoder, torch.rand(2, 3, 3, 8, 12) * 2 - 1
    assert isinstance(autoencoder, FrameAutoencoder)
    latents = autoencoder.encode(clips)
    assert latents.shape == (2, *decoder.latent_shape)
    vae, scale = autoencoder.vae, autoencoder.vae.config.scaling_factor
    for row in range(2):
        for frame in range(3):
            mean = vae.encode(clips[row, frame][None]).latent_dist.mean * scale
            torch.testing.assert_close(latents[row, :, frame], mean[0], atol=1e-5, rtol=1e-4)
            decoded = vae.decode(latents[row, :, frame][None] / scale).sample
            torch.testing.assert_close(autoencoder.decode(latents)[row, frame], decoded[0], atol=1e-5, rtol=1e-4)


def test_frames_know_of_each_other() -> None:
    decoder = ZeroscopeDecoder.from_options(TINY)
    noisy = torch.randn(1, *decoder.latent_shape, requires_grad=True)
    output = decoder.denoise(noisy, torch.tensor([500]), torch.randn(1, 2, 8))
    output[:, :, 0].sum().backward()
    assert noisy.grad is not None
    assert bool((noisy.grad.abs().sum((0, 1, 3, 4)) > 0).all())


def test_checkpointing_keeps_less_and_changes_neither_loss_nor_names() -> None:
    def run(**more: Any) -> tuple[Tensor, int, list[str]]:
        torch.manual_seed(1)
        decoder = ZeroscopeDecoder.from_options(TINY, **more)
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept[tensor.data_ptr()] = tensor.numel()
            return tensor

        torch.manual_seed(2)
        features = torch.randn(1, 2, 8, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = decoder(Condition(features), torch.zeros(1, 3, 3, 8, 12))
        return loss, sum(kept.values()), list(decoder.state_dict())

    plain, with_it = run(), run(gradient_checkpointing=True)
    torch.testing.assert_close(plain[0], with_it[0])
    assert with_it[1] < 0.7 * plain[1]
    assert plain[2] == with_it[2]


def test_full_size_on_the_meta_device_is_the_published_model() -> None:
    with torch.device("meta"):
        decoder = ZeroscopeDecoder.from_options()
    assert round(sum(p.numel() for p in decoder.unet.parameters()) / 1e6) == 1411
    assert decoder.latent_shape == (4, 24, 40, 72)
    assert decoder.autoencoder.vae.config.scaling_factor == 0.18215
    assert decoder.scheduler.config.prediction_type == "epsilon"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": {**TINY["clip"], "width": 13}}, "multiples of 2"),
        ({"unet": {**TINY["unet"], "attention_head_dim": 3}}, "multiples of attention_head_dim, 8 is not"),
        ({"unet": {**TINY["unet"], "attention_levels": [True]}}, "1 entries for 2 levels"),
        ({"clip": {"frame": 3}}, "frames"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ZeroscopeDecoder.from_options(TINY, **options)


PUBLISHED = {**TINY, "prediction": "epsilon"}


def _publish(folder: Path) -> ZeroscopeDecoder:
    decoder = ZeroscopeDecoder.from_options(PUBLISHED)
    decoder.unet.save_pretrained(folder / "unet")
    decoder.autoencoder.vae.save_pretrained(folder / "vae")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": "epsilon"}))
    return decoder


def test_reads_the_published_layout(tmp_path: Path) -> None:
    written = _publish(tmp_path)
    decoder = ZeroscopeDecoder.from_options(PUBLISHED, weights=str(tmp_path), gradient_checkpointing=True)
    decoder.load_weights()
    for name, tensor in written.unet.state_dict().items():
        assert torch.equal(tensor, decoder.unet.state_dict()[name])
    assert decoder.autoencoder.latent_std.tolist() == pytest.approx([1 / 0.18215] * 4)
    assert not any(p.requires_grad for p in decoder.parameters())
    assert "forward" in vars(decoder.unet.mid_block.resnets[0])


def test_published_weights_load_into_a_decoder_with_a_reference(tmp_path: Path) -> None:
    written = _publish(tmp_path)
    decoder = ZeroscopeDecoder.from_options(PUBLISHED, weights=str(tmp_path), reference=True)
    decoder.load_weights()
    features, noisy = torch.randn(1, 2, 8), torch.randn(1, *decoder.latent_shape)
    beside = torch.cat([noisy, torch.randn_like(noisy)], 1)
    expected = written.denoise(noisy, torch.tensor([3]), features)
    torch.testing.assert_close(decoder.denoise(beside, torch.tensor([3]), features), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prediction": "v_prediction"}, "predicts 'epsilon'"),
        ({"unet": {**TINY["unet"], "layers_per_block": 2}}, "differ from the configured sizes"),
    ],
)
def test_published_weights_that_do_not_fit_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    _publish(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        ZeroscopeDecoder.from_options({**PUBLISHED, "weights": str(tmp_path), **options}).load_weights()
