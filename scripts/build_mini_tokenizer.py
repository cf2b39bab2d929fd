"""Train the mini model's tokenizer on the texts of the starter pack's conversations.

    python scripts/build_mini_tokenizer.py

Writes a byte-level BPE of 1,024 entries with a chat template into the recipes' package. The same data set gives the
same files.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import anyloom

FOLDER = Path(__file__).parent.parent / "plugins" / "models" / "anyloom_mini" / "tokenizer"
SPECIAL = ["<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)


def texts(count: int = 20_000) -> list[str]:
    """Every text of so many training conversations."""
    samples = anyloom.build("dataset", "starter", {"num_samples": count}).build("train")
    return [m.text for i in range(count) for m in samples[i].conversation.messages if m.text]


def main() -> None:
    """Train and save."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts(),
        trainers.BpeTrainer(vocab_size=1024, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=SPECIAL[3:],
        chat_template=TEMPLATE,
    )
    tokenizer.save_pretrained(FOLDER)
    print(f"wrote {len(tokenizer)} entries to {FOLDER}")


if __name__ == "__main__":
    main()
