"""Tiny form of the language model, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from anyloom.testing import LLMCase

__all__ = ["ARCHITECTURE", "llm"]

ARCHITECTURE: Final[dict[str, Any]] = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
_SPECIAL: Final = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>"]
_TEMPLATE: Final = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)


def llm(folder: Path) -> LLMCase:
    """Llama with one layer and a byte-level tokenizer that is trained on one sentence."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=280, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(["make it blue and tell me what it is"], trainer)
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, additional_special_tokens=_SPECIAL[3:], chat_template=_TEMPLATE, **names
    )
    tokenizer.save_pretrained(folder / "tokenizer")
    return LLMCase("causal-lm", options={"architecture": ARCHITECTURE, "tokenizer": str(folder / "tokenizer")})
