"""Sounds as what a decoder is trained on."""

from __future__ import annotations

import pytest
import torch

from anyloom.conversation import Media
from anyloom.diffusion.sound import MelOptions, sound_to_log_mel


def test_a_long_target_of_the_sound_decoder_is_remarked_on() -> None:
    mel = MelOptions()
    long = Media("audio", torch.zeros(1, 2 * mel.frames * mel.hop), meta={"sample_rate": float(mel.sample_rate)})
    with pytest.warns(UserWarning, match=f"made for {mel.frames * mel.hop / mel.sample_rate:g} s; a longer one is cut"):
        sound_to_log_mel(long, mel)
