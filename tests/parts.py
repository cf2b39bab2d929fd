"""Small real parts for tests: a trained byte-level tokenizer, a linear encoder, tiny published-class configs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anyloom.conversation import Media
from anyloom.interfaces import Encoder, FeatureSpace

DIM = 8
WORDS = [
    "turn it upside down", "make it blue", "a waving hand with dark skin", "what is this?", "a red heart",
    "given the transformation between", "and", "apply the same editing to", "the sound of a bell", "hello there",
]  # fmt: skip


class PatchEncoder(Encoder):
    """A linear map of the media's average-pooled values to ``tokens`` features; handles pictures and sounds."""

    class Config(Encoder.Config):
        tokens: int = 1
        space: str = "patch"
        scale: str = "raw"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.linear = nn.Linear(48, DIM * config.tokens)

    def feature_space(self, modality: str) -> FeatureSpace:
        return FeatureSpace(
            name=f"{self.config.space}-{modality}", dim=DIM, tokens=self.config.tokens, scale=self.config.scale
        )

    def preprocess(self, media: Media) -> Tensor:
        x = media.tensor().float()
        return nn.functional.adaptive_avg_pool1d(x.flatten()[None, None], 48)[0, 0]

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        return self.linear(inputs.to(self.linear.weight.dtype)).unflatten(-1, (self.config.tokens, DIM))

    def example(self, modality: str) -> Tensor:
        return torch.zeros(1, 48)


def save_tokenizer(folder: Path) -> Path:
    """Train a byte-level BPE on a few sentences and save it as transformers would."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(WORDS * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=special[3:],
        chat_template=(
            "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
            "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
        ),
    )
    tokenizer.save_pretrained(folder)
    return folder


def llm_options(tokenizer: Path, **more: Any) -> dict[str, Any]:
    architecture = {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
    }
    return {"name": "llama", "tokenizer": str(tokenizer), "architecture": architecture, "attention": "eager", **more}


def image_decoder_options(**more: Any) -> dict[str, Any]:
    tiny = copy.deepcopy(TINY_IMAGE)
    return {"name": "sd-unclip", "space": "patch-image", "dim": DIM, "picture_size": 16, **tiny, **more}


TINY_IMAGE: dict[str, Any] = {
    "autoencoder": {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4},
    "unet": {
        "block_out_channels": [8, 8],
        "layers_per_block": 1,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    },
    "context_tokens": 1,
    "denoising_steps": 2,
}


def model_options(tokenizer: Path, modalities: tuple[str, ...] = ("image", "audio"), **more: Any) -> dict[str, Any]:
    """A model without decoders."""
    return {
        "llm": llm_options(tokenizer),
        "encoders": {"eye": {"class_path": "parts.PatchEncoder"}},
        "modalities": {m: {"encoder": "eye"} for m in modalities},
        **more,
    }


def picture(seed: int) -> Media:
    return Media("image", torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(seed)), key=f"picture-{seed}")


def sound(seed: int) -> Media:
    wave = torch.randn(1, 800, generator=torch.Generator().manual_seed(seed))
    return Media("audio", wave, key=f"sound-{seed}", meta={"sample_rate": 16000.0})
