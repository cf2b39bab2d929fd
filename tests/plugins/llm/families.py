"""Tokenizers in the manner of published families, trained on a few words, with chat templates of the same form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["FAMILIES", "WORDS"]

WORDS: Final = [
    "make it blue and tell me what it is, please",
    "be brief and friendly",
    "a red heart, a bell and a bicycle that leans on the wall",
    "user assistant system INST SYS model\n\nwhat is this? hello there!",
]

LLAMA_2: Final = (
    "{% set given = messages[0].role == 'system' %}{% for m in messages[1 if given else 0:] %}"
    "{% if m.role == 'user' %}{% set words = m.content %}{% if given and loop.first %}"
    "{% set words = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' + words %}{% endif %}"
    "{{ bos_token + '[INST] ' + words.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA_3: Final = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML: Final = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GEMMA: Final = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}"
    "{{ m.content | trim }}{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL: Final = (  # the system's words stand before the LAST user message
    "{% if messages[0].role == 'system' %}{% set words, turns = messages[0].content, messages[1:] %}"
    "{% else %}{% set words, turns = '', messages %}{% endif %}{{ bos_token }}{% for m in turns %}"
    "{% if m.role == 'user' %}{{ '[INST] ' }}{% if loop.last or loop.index == loop.length - 1 %}"
    "{% if words %}{{ words + '\n\n' }}{% endif %}{% endif %}{{ m.content + '[/INST]' }}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)


def _backend(core: Any, folder: Path, template: str | None, **names: Any) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(tokenizer_object=core, chat_template=template, **names)
    made.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def sentencepiece(folder: Path, template: str | None, prepend: str = "each") -> Any:
    """BPE as SentencePiece makes it, with byte fallback.

    Args:
        folder: Where it is saved.
        template: Chat template.
        prepend: Texts that get a space in front: ``each`` (Llama 2 as published), ``first`` or ``none`` (Gemma).
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False)
    core.train_from_iterator(WORDS * 4, trainer)
    trained = json.loads(core.to_str())["model"]
    merges = [tuple(pair) for pair in trained["merges"]]
    # As in a tokenizer.model: bytes are pieces of the vocabulary that text cannot spell, not tokens of their own.
    core = Tokenizer(models.BPE(trained["vocab"], merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    if prepend == "first":
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        steps = [normalizers.Prepend("\u2581")] if prepend == "each" else []
        core.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "\u2581")])
    ends = [decoders.Strip(" ", 1, 0)] if prepend != "none" else []
    core.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), *ends])
    names: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    if template == GEMMA:
        names["additional_special_tokens"] = ["<start_of_turn>", "<end_of_turn>"]
    return _backend(core, folder, template, **names)


def unigram(folder: Path, template: str | None) -> Any:
    """A Unigram model, SentencePiece's other kind."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False
    )
    core.train_from_iterator([*WORDS * 4, "[]/<>_.:|`~#"], trainer)
    return _backend(core, folder, template, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def byte_level(folder: Path, template: str | None, eos: str, *special: str, bos: str | None = None) -> Any:
    """Byte-level BPE as GPT-2 and Llama 3 have it."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    words = r"'s|'t|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    own = [token for token in (bos, eos, *special) if token]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=360, special_tokens=own, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(WORDS * 4, trainer)
    return _backend(core, folder, template, eos_token=eos, bos_token=bos, additional_special_tokens=list(special))


FAMILIES: Final[dict[str, tuple[Callable[[Path], Any], str]]] = {
    "llama 2": (lambda folder: sentencepiece(folder, LLAMA_2), "</s>"),
    "llama 2, space in front of the first text alone": (lambda folder: sentencepiece(folder, LLAMA_2, "first"), "</s>"),
    "llama 2, unigram": (lambda folder: unigram(folder, LLAMA_2), "</s>"),
    "llama 3": (
        lambda folder: byte_level(
            folder,
            LLAMA_3,
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
            bos="<|begin_of_text|>",
        ),
        "<|eot_id|>",
    ),
    "chatml": (
        lambda folder: byte_level(folder, CHATML, "<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        "<|im_end|>",
    ),
    "gemma": (lambda folder: sentencepiece(folder, GEMMA, "none"), "<end_of_turn>"),
    "mistral": (lambda folder: sentencepiece(folder, MISTRAL), "</s>"),
    "base": (lambda folder: byte_level(folder, None, "<|endoftext|>"), "<|endoftext|>"),
    "base, sentencepiece": (lambda folder: sentencepiece(folder, None), "</s>"),
}
"""Maker of each, and the token that ends an answer."""
