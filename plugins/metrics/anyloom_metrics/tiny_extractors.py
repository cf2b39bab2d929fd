"""Tiny forms of the extractors, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from anyloom.conversation import Media
from anyloom.testing import EncoderCase

__all__ = ["WORDS", "clap", "clip", "cnn14", "dino", "inception", "vggish", "write_clap", "write_clip"]

WORDS = ("a", "photo", "depicts", "of", "the", "cat", "dog", "bell", "red", "blue", "in", "snow", "rain", "with")
"""The whole vocabulary of the tiny tokenizers."""


def pictures() -> list[Media]:
    """Pictures of several sizes."""
    return [Media("image", torch.rand(3, 20 + 9 * n, 40)) for n in range(3)]


def sounds(rate: float = 16000.0) -> list[Media]:
    """Sounds of several lengths."""
    waves = [torch.randn(1, 9000 * (n + 1)) * 0.1 for n in range(3)]
    return [Media("audio", wave, meta={"sample_rate": rate}) for wave in waves]


def cnn14(folder: Path) -> EncoderCase:
    """Cnn14, thinned."""
    del folder
    return EncoderCase("cnn14", options={"thin": 32, "seconds": 1.0}, media=sounds())


def vggish(folder: Path) -> EncoderCase:
    """VGGish, thinned."""
    del folder
    return EncoderCase("vggish", options={"thin": 32, "seconds": 2.0}, media=sounds())


def inception(folder: Path) -> EncoderCase:
    """Inception, thinned."""
    del folder
    return EncoderCase("inception-fid", options={"thin": 16}, media=pictures())


def dino(folder: Path) -> EncoderCase:
    """A small vision transformer."""
    del folder
    return EncoderCase("dino", options={"hidden_size": 12, "layers": 1, "heads": 2}, media=pictures())


def clip(folder: Path) -> EncoderCase:
    """CLIP from a folder."""
    return EncoderCase("clip-joint", options={"weights": str(write_clip(folder / "clip"))}, media=pictures())


def clap(folder: Path) -> EncoderCase:
    """CLAP from a folder."""
    return EncoderCase("clap-joint", options={"weights": str(write_clap(folder / "clap"))}, media=sounds())


def write_clip(folder: Path) -> Path:
    """Write a folder with a tiny random CLIP, its tokenizer and its preprocessing numbers; return it."""
    from transformers import CLIPConfig, CLIPModel

    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 2}
    text = {**sizes, **ends, "vocab_size": len(WORDS) + 4, "max_position_embeddings": 16}
    config = CLIPConfig(text_config=text, vision_config={**sizes, "image_size": 16, "patch_size": 8}, projection_dim=8)
    _save(CLIPModel(config), folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    return folder


def write_clap(folder: Path) -> Path:
    """Write a folder with a tiny random CLAP, its tokenizer and its preprocessing numbers; return it."""
    from transformers import ClapConfig, ClapModel

    text = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": len(WORDS) + 4, "max_position_embeddings": 16, "pad_token_id": 2, "projection_dim": 8}
    sound = {"window_size": 4, "num_mel_bins": 16, "spec_size": 64, "depths": [1, 1], "num_attention_heads": [2, 2]}
    sound |= {"patch_embeds_hidden_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "projection_dim": 8}
    _save(ClapModel(ClapConfig(text_config=text, audio_config=sound, projection_dim=8)), folder)
    numbers: dict[str, Any] = {
        "feature_size": 16,
        "sampling_rate": 16000,
        "hop_length": 80,
        "max_length_s": 1,
        "fft_window_size": 512,
    }
    numbers |= {"padding": "repeatpad", "truncation": "rand_trunc", "frequency_max": 7000}
    (folder / "preprocessor_config.json").write_text(json.dumps(numbers))
    return folder


def _save(model: Any, folder: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    marks = ("<s>", "</s>", "<pad>", "<unk>")
    tokenizer = Tokenizer(WordLevel({w: n for n, w in enumerate((*marks, *WORDS))}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    model.save_pretrained(folder)
