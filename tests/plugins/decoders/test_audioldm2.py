from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anyloom.conversation import Media
from anyloom.diffusion.sound import MelOptions, filters, log_mel, to_wave
from anyloom.errors import CheckpointError, MediaError
from anyloom.interfaces import Condition
from anyloom.signal.mel import mel_filters, mel_inverse, mel_to_magnitude, spectrogram
from anyloom_audioldm2.decoder import AudioLDM2Decoder
from latent_reference_contract import LatentReferenceContract

TINY: dict[str, Any] = {
    "space": "tiny",
    "dim": 8,
    "tokens": 2,
    "prediction": "v_prediction",
    "mel": {"frames": 16, "num_mels": 16, "fft_size": 256, "hop": 64},
    "autoencoder": {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4},
    "unet": {"block_out_channels": [8, 16], "layers_per_block": 1, "attention_head_dim": 4, "norm_num_groups": 4},
    "lm_tokens": 2,
    "lm_dim": 8,
    "schedule": {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"},
}
RATE = 16000


def tone(hz: float, seconds: float = 0.5, level: float = 0.3) -> torch.Tensor:
    return level * torch.sin(2 * math.pi * hz * torch.arange(int(RATE * seconds)) / RATE)


class TestAudioLDM2(LatentReferenceContract):
    decoder_class = AudioLDM2Decoder
    options = TINY

    def media(self, number: int) -> Media:
        return Media("audio", tone(300.0 * (number + 1))[None], meta={"sample_rate": RATE})


def test_generates_sounds() -> None:
    decoder = AudioLDM2Decoder.from_options(TINY, denoising_steps=1)
    sound = decoder.generate(Condition(torch.randn(1, 2, 8)), seeds=[0])[0]
    assert sound.tensor().shape == (1, 16 * 64)
    assert sound.tensor().dtype == torch.float32
    assert sound.meta == {"sample_rate": 16000.0}
    assert sound.tensor().abs().max() <= 1


@pytest.mark.parametrize(("scale", "norm"), [("slaney", "slaney"), ("htk", None)])
def test_mel_filters_equal_the_reference(scale: Any, norm: str | None) -> None:
    from transformers.audio_utils import mel_filter_bank

    reference = mel_filter_bank(
        num_frequency_bins=257,
        num_mel_filters=40,
        min_frequency=50.0,
        max_frequency=7000.0,
        sampling_rate=RATE,
        norm=norm,
        mel_scale=scale,
    )
    mine = mel_filters(40, 512, RATE, 50.0, 7000.0, scale)
    np.testing.assert_allclose(mine.numpy(), reference.T, atol=1e-6)


@pytest.mark.parametrize("hz", [200.0, 1000.0, 4000.0])
def test_a_tone_peaks_in_the_band_that_holds_it(hz: float) -> None:
    mel = MelOptions(frames=40)
    values = log_mel(tone(hz)[None], RATE, mel)[0, 20]
    bins = torch.linspace(0, RATE / 2, mel.fft_size // 2 + 1)
    weights = filters(mel)[:, (bins - hz).abs().argmin()]
    assert int(values.argmax()) == int(weights.argmax())


def test_the_spectrum_of_a_tone_has_the_height_of_the_closed_form() -> None:
    hz = 32 * RATE / 1024
    magnitudes = spectrogram(tone(hz), 1024, 160).abs()[:, 20]
    assert int(magnitudes.argmax()) == 32
    assert float(magnitudes.max()) == pytest.approx(0.3 * 1024 / 4, rel=1e-3)


def test_frames_that_do_not_overlap_and_sounds_shorter_than_a_transform_are_refused() -> None:
    with pytest.raises(ValueError, match="hop: must be smaller than fft_size"):
        MelOptions(hop=512, fft_size=512)
    with pytest.raises(ValueError, match=r"frames: 3 of 160 samples are no longer than half a transform \(512\)"):
        MelOptions(frames=3)
    assert torch.isfinite(to_wave(torch.zeros(1, 4, 64), MelOptions(frames=4), seed=0)).all()


def test_silence_is_the_floor_of_log_mel() -> None:
    silence = log_mel(torch.zeros(1, 100), RATE, MelOptions(frames=50))
    assert silence.shape == (1, 50, 64)
    assert silence.unique().tolist() == pytest.approx([math.log(1e-5)])


def test_magnitudes_from_mel_are_non_negative_and_reproduce_it() -> None:
    bank = mel_filters(64, 1024, RATE)
    magnitudes = spectrogram(torch.randn(8000), 1024, 160).abs()
    mel = bank @ magnitudes
    back = mel_to_magnitude(mel, bank)
    assert back.min() >= 0
    assert float((bank @ back - mel).norm() / mel.norm()) < 0.02
    assert torch.equal(mel_to_magnitude(mel, bank, inverse=mel_inverse(64, 1024, RATE)), back)


def test_the_inverse_of_the_filters_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mel = MelOptions(frames=20)
    bands = torch.zeros(1, 20, 64)
    first = to_wave(bands, mel, seed=0)
    monkeypatch.setattr(torch.linalg, "pinv", None)
    assert torch.equal(to_wave(bands, mel, seed=0), first)


@pytest.mark.parametrize("kind", ["noise", "chord"])
def test_mel_to_wave_to_mel_stays_close(kind: str) -> None:
    mel = MelOptions(frames=50)
    wave = 0.1 * torch.randn(8000) if kind == "noise" else tone(440.0) + tone(1320.0, level=0.2)
    before = log_mel(wave[None], RATE, mel)
    after = log_mel(to_wave(before, mel, seed=0), RATE, mel)
    loud = before > before.max() - 5
    bound = {"noise": 0.2, "chord": 0.6}[kind]
    assert float((before - after)[loud].abs().mean()) < bound


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (Media("audio", torch.zeros(1, 9)), "no sample rate"),
        (Media("audio", torch.zeros(1, 9), meta={"sample_rate": 44100}), "44100 samples per second"),
        (Media("audio", torch.zeros(9), meta={"sample_rate": RATE}), r"\(1, T\)"),
    ],
)
def test_a_sound_that_does_not_fit_is_refused(media: Media, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        AudioLDM2Decoder.from_options(TINY).preprocess(media)


def test_full_size_on_the_meta_device_is_the_published_model() -> None:
    with torch.device("meta"):
        decoder = AudioLDM2Decoder.from_options()
    assert round(sum(p.numel() for p in decoder.unet.parameters()) / 1e6) == 347
    assert decoder.latent_shape == (8, 250, 16)


def _publish(folder: Path) -> AudioLDM2Decoder:
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    decoder = AudioLDM2Decoder.from_options(TINY)
    decoder.unet.save_pretrained(folder / "unet")
    decoder.autoencoder.vae.save_pretrained(folder / "vae")
    config = SpeechT5HifiGanConfig(
        model_in_dim=16,
        upsample_initial_channel=8,
        upsample_rates=[8, 8],
        upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
    )
    SpeechT5HifiGan(config).save_pretrained(folder / "vocoder")
    return decoder


def test_reads_the_published_layout_and_uses_its_vocoder(tmp_path: Path) -> None:
    written = _publish(tmp_path / "there")
    decoder = AudioLDM2Decoder.from_options(TINY, denoising_steps=1, weights=str(tmp_path / "there"))
    decoder.load_weights()
    for name, tensor in written.unet.state_dict().items():
        assert torch.equal(tensor, decoder.unet.state_dict()[name])
    sound = decoder.generate(Condition(torch.randn(1, 2, 8)), seeds=[0])[0].tensor()
    assert sound.shape == (1, 16 * 64)
    decoder.save(tmp_path / "again")
    other = AudioLDM2Decoder.from_options(TINY, denoising_steps=1, weights=str(tmp_path / "again"))
    other.load_weights()
    assert other.vocoder is not None
    torch.manual_seed(0)
    condition = Condition(torch.randn(1, 2, 8))
    pair = [d.generate(condition, seeds=[0])[0].tensor() for d in (decoder, other)]
    torch.testing.assert_close(*pair, atol=1e-9, rtol=1e-4)


def test_published_weights_load_into_a_decoder_with_a_reference_and_do_what_they_did(tmp_path: Path) -> None:
    _publish(tmp_path)
    plain, widened = (
        AudioLDM2Decoder.from_options(TINY, reference=reference, denoising_steps=2, weights=str(tmp_path))
        for reference in (False, True)
    )
    latents = []
    for decoder in (plain, widened):
        decoder.load_weights()
        assert decoder.vocoder is not None
        reference = torch.randn(1, 1, 16, 16) if decoder.uses_reference else None
        latents.append(decoder.generate_latents(Condition(torch.ones(1, 2, 8), reference), seeds=[0]))
    assert widened.unet.config.in_channels == 2 * plain.unet.config.in_channels
    torch.testing.assert_close(*latents, atol=1e-5, rtol=1e-4)


def test_a_model_with_a_vocoder_is_saved_and_loaded_whole(tmp_path: Path) -> None:
    from anyloom import AnyToAnyModel
    from anyloom.network.config import ModelConfig
    from anyloom.options import validate
    from parts import model_options, save_tokenizer

    _publish(tmp_path / "there")
    modality = {"audio": {"encoder": "eye", "decoder": "voice"}}
    voice = {**TINY, "name": "audioldm2", "space": "patch-audio", "weights": str(tmp_path / "there")}
    voice |= {"tokens": 1, "denoising_steps": 1}
    options = model_options(save_tokenizer(tmp_path / "words"), decoders={"voice": voice}, modalities=modality)
    model = AnyToAnyModel(validate(ModelConfig, options, where="model")).eval()
    model.save_pretrained(tmp_path / "model", include_frozen=True)
    shutil.rmtree(tmp_path / "there")
    shutil.move(tmp_path / "model", tmp_path / "moved")
    again = AnyToAnyModel.from_pretrained(tmp_path / "moved", trust=True)
    condition = Condition(torch.randn(1, 1, 8))
    pair = [m.parts.decoder("voice").generate(condition, seeds=[0])[0].tensor() for m in (model, again)]
    torch.testing.assert_close(*pair, atol=1e-9, rtol=1e-4)
    again.save_pretrained(tmp_path / "third", include_frozen=True)
    shutil.rmtree(tmp_path / "moved")
    AnyToAnyModel.from_pretrained(tmp_path / "third", trust=True)


def test_a_missing_vocoder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read the vocoder"):
        AudioLDM2Decoder.from_options(TINY, vocoder=str(tmp_path / "nothing"))


def test_a_vocoder_with_another_upsampling_is_refused(tmp_path: Path) -> None:
    """Eight times four samples of each frame, where frames are 64 samples apart: sounds would be half as long."""
    _publish(tmp_path)
    file = tmp_path / "vocoder" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "upsample_rates": [8, 4]}))
    with pytest.raises(CheckpointError, match="takes 32 samples per frame, not 64"):
        AudioLDM2Decoder.from_options({**TINY, "weights": str(tmp_path)}).load_weights()


def test_a_vocoder_for_another_sample_rate_is_refused(tmp_path: Path) -> None:
    _publish(tmp_path)
    file = tmp_path / "vocoder" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "sampling_rate": 22050}))
    with pytest.raises(CheckpointError, match="takes 22050 samples per second, not 16000"):
        AudioLDM2Decoder.from_options({**TINY, "weights": str(tmp_path)}).load_weights()


def test_a_vocoder_for_other_mels_is_refused(tmp_path: Path) -> None:
    _publish(tmp_path)
    options = {**TINY, "mel": {**TINY["mel"], "num_mels": 32}, "weights": str(tmp_path)}
    with pytest.raises(CheckpointError, match="takes 16 bands, not 32"):
        AudioLDM2Decoder.from_options(options).load_weights()
