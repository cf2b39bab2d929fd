"""The small encoder: closed-form components, their symmetries, front ends, the stage that trains it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from anyloom import build
from anyloom.building import build_named
from anyloom.conversation import Media
from anyloom.errors import CheckpointError, ConfigError, MediaError
from anyloom_conv.frontends import picture_grid, sound_grid
from anyloom_conv.principal import components, symmetries, symmetrise

TINY = {"size": 16, "grid": 8, "layout_dim": 24, "meaning_dim": 4, "widths": [8, 8]}


def blobs(count: int, grid: int = 8) -> torch.Tensor:
    """Smooth random pictures ``(count, 3, grid, grid)``: low frequencies are strong, as in real ones."""
    coarse = torch.randn(count, 3, 3, 3)
    fine = torch.randn(count, 3, grid, grid)
    smooth = torch.nn.functional.interpolate(coarse, (grid, grid), mode="bicubic", align_corners=True)
    return smooth + 0.1 * fine


def test_symmetries_are_a_group_of_24_distinct_permutations() -> None:
    group = {tuple(p.tolist()) for p in symmetries((3, 4, 4))}
    assert len(group) == 24
    a, b = (torch.tensor(p) for p in sorted(group)[3:5])
    assert tuple(a[b].tolist()) in group


def test_a_symmetrised_moment_commutes_with_every_symmetry() -> None:
    flat = blobs(64).flatten(1)
    moment = symmetrise(flat.T @ flat / 64, (3, 8, 8), mirror_weight=0.0)
    for p in symmetries((3, 8, 8)):
        torch.testing.assert_close(moment[p][:, p], moment, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("edit", [lambda x: x.flip(-1), lambda x: x.rot90(1, (-2, -1)), lambda x: x.roll(1, 1)])
def test_edits_act_on_components_as_banded_maps(edit: object) -> None:
    assert callable(edit)
    pictures = blobs(400)
    flat = pictures.flatten(1)
    projection = components(symmetrise(flat.T @ flat / 400, (3, 8, 8)), 24)
    before, after = flat @ projection, edit(pictures).flatten(1) @ projection
    free = torch.linalg.lstsq(before, after).solution
    row, column = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    banded = free * ((row - column).abs() <= 3)
    error = (before @ banded - after).square().sum() / (before - after).square().sum()
    assert error < 0.05


def test_components_without_scaling_are_those_of_numpy() -> None:
    flat = blobs(200).flatten(1)
    moment = torch.cov(flat.T)
    ours = components(moment, 6, power=0.0)
    theirs = torch.linalg.svd(flat - flat.mean(0), full_matrices=False).Vh[:6].T
    torch.testing.assert_close((ours * theirs).sum(0).abs(), torch.ones(6), atol=1e-3, rtol=1e-3)


def test_features_are_layout_then_meaning_and_batches_equal_singles() -> None:
    encoder = build("encoder", "conv", TINY).eval()
    torch.nn.init.normal_(encoder.projection)
    media = [Media("image", torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)) for _ in range(3)]
    inputs = torch.stack([encoder.preprocess(m) for m in media])
    features = encoder(inputs, "image")
    assert features.shape == (3, 1, 28)
    assert encoder.feature_space("image").dim == 28
    alone = torch.cat([encoder(x[None], "image") for x in inputs])
    torch.testing.assert_close(features, alone, atol=1e-5, rtol=1e-4)
    with pytest.raises(ConfigError, match="for image, not audio"):
        encoder.feature_space("audio")


def test_a_tone_lights_up_its_band_and_silence_is_flat() -> None:
    time = torch.arange(16000) / 16000
    tone = Media("audio", torch.sin(2 * torch.pi * 1000 * time)[None], meta={"sample_rate": 16000.0})
    grid = sound_grid(tone, 64, 1.0, 16000)
    assert grid.shape == (1, 64, 64)
    loudest = int(grid[0].mean(1).argmax())
    top = 2595 * torch.log10(torch.tensor(1 + 8000 / 700))
    expected = 2595 * torch.log10(torch.tensor(1 + 1000 / 700)) / top * 65 - 1
    assert abs(loudest - float(expected)) <= 1
    silence = sound_grid(Media("audio", torch.zeros(1, 100), meta={"sample_rate": 16000.0}), 64, 1.0, 16000)
    torch.testing.assert_close(silence, torch.full_like(silence, -1.0), atol=1e-2, rtol=0)


def test_wrong_media_and_weights_give_clear_errors(tmp_path: Path) -> None:
    encoder = build("encoder", "conv", TINY)
    with pytest.raises(MediaError, match=r"expected a tensor \(3, H, W\)"):
        encoder.preprocess(Media("image", torch.zeros(1, 4)))
    encoder.save(tmp_path / "eye")
    again = build("encoder", "conv", {**TINY, "weights": str(tmp_path / "eye")})
    again.load_weights()
    assert all(torch.equal(a, b) for a, b in zip(encoder.state_dict().values(), again.state_dict().values()))
    other = build("encoder", "conv", {**TINY, "layout_dim": 8, "weights": str(tmp_path / "eye")})
    with pytest.raises(CheckpointError, match="shapes wrong"):
        other.load_weights()


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (Media("image", torch.full((3, 4, 4), 255.0)), r"values from 255 to 255.*divide them by 255"),
        (Media("image", torch.full((3, 4, 4), torch.nan)), "NaN or infinite"),
        (Media("image", torch.zeros(3, 0, 8)), r"expected a tensor \(3, H, W\), got \(3, 0, 8\)"),
        (Media("audio", torch.zeros(1, 100)), "sample rate is unknown"),
        (Media("audio", torch.zeros(2, 100), meta={"sample_rate": 16000}), r"got torch.float32 \(2, 100\).*mono"),
        (Media("audio", torch.full((1, 9), torch.inf), meta={"sample_rate": 16000}), "NaN or infinite"),
        (Media("audio", torch.zeros(1, 0), meta={"sample_rate": 16000}), r"expected a float tensor \(1, T\)"),
    ],
)
def test_nothing_is_guessed_about_media(media: Media, message: str) -> None:
    read = picture_grid if media.modality == "image" else sound_grid
    sizes = (8,) if media.modality == "image" else (64, 1.0, 16000)
    with pytest.raises(MediaError, match=message):
        read(media, *sizes)


def test_a_sound_that_is_longer_than_what_is_heard_is_said() -> None:
    sound = Media("audio", torch.zeros(1, 48000), meta={"sample_rate": 16000.0})
    with pytest.warns(UserWarning, match="heard for 1 s; a longer one is cut"):
        sound_grid(sound, 64, 1.0, 16000)


def test_statistics_are_taken_on_the_device_of_the_module() -> None:
    stage = build_named("module", {"name": "conv-encoder", "encoder": {"name": "conv", **TINY}}, where="m", model={})
    batches = [SimpleNamespace(inputs=torch.rand(2, 3, 16, 16)), None]
    data = SimpleNamespace(train_dataloader=lambda: batches)
    stage.to("meta").trainer = SimpleNamespace(world_size=1, datamodule=data)
    assert [x.device.type for x in stage._sample()] == ["meta"]
    assert stage.training_step(None, 0) is None


def test_the_stage_fits_components_and_learns_captions(tmp_path: Path) -> None:
    from anyloom.config.compose import compose
    from anyloom.training.run import run

    sections = {
        "module": {"name": "conv-encoder", "encoder": {"name": "conv", **TINY}, "statistics": 4},
        "data": {
            "batch_size": 32,
            "datasets": {"starter": {"name": "starter", "tasks": {"picture-to-text": 1}, "num_samples": 256}},
        },
        "trainer": {
            "accelerator": "cpu",
            "max_steps": 6,
            "limit_val_batches": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
        "result": str(tmp_path / "eye"),
    }
    run("fit", compose([sections]))
    encoder = build("encoder", "conv", {**TINY, "weights": str(tmp_path / "eye")}).eval()
    encoder.load_weights()
    samples = build("dataset", "starter", {"tasks": {"picture-to-text": 1}}).build("train", 1)
    inputs = torch.stack([encoder.preprocess(samples[i].conversation.media[0]) for i in range(200)])
    features = encoder(inputs, "image")[:, 0]
    assert 0.7 < features[:, :24].std(0).square().mean().sqrt() < 1.4
    meaning = features[:, 24:].std(0) / encoder.config.meaning_scale
    torch.testing.assert_close(meaning, torch.ones(4), atol=0.3, rtol=0)


def test_a_clip_is_seen_in_exposures_as_pictures_are() -> None:
    """A still clip has its picture's feature once for each exposure; frames of an exposure are averaged."""
    picture = build("encoder", "conv", TINY).eval()
    torch.nn.init.normal_(picture.projection)
    clips = build("encoder", "conv", {**TINY, "modality": "video", "exposures": 2}).eval()
    clips.load_state_dict(picture.state_dict())
    frames = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)

    def seen(pixels: torch.Tensor, encoder: object, modality: str) -> torch.Tensor:
        media = Media(modality, pixels)
        features: torch.Tensor = encoder(encoder.preprocess(media)[None], modality)[0]  # type: ignore[operator, attr-defined]
        return features

    assert clips.feature_space("video").tokens == 2
    still = seen(frames[:1].expand(7, -1, -1, -1), clips, "video")
    torch.testing.assert_close(still, seen(frames[0], picture, "image").expand(2, -1))
    halves = [seen((frames[n : n + 2].float() / 255).mean(0), picture, "image") for n in (0, 2)]
    torch.testing.assert_close(seen(frames, clips, "video"), torch.cat(halves), atol=1e-5, rtol=1e-4)
    long = frames.repeat_interleave(5, 0)  # the same in twenty frames
    torch.testing.assert_close(seen(long, clips, "video"), seen(frames, clips, "video"))
    assert clips.example("video").shape == (1, 2, 3, 16, 16)


def test_clips_are_no_training_material_of_the_encoder() -> None:
    options = {"name": "conv-encoder", "encoder": {"name": "conv", **TINY, "modality": "video"}}
    with pytest.raises(ConfigError, match="modality: image"):
        build_named("module", options, where="m", model={})
