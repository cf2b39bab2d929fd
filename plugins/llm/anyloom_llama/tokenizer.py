"""A tokenizer of transformers as the framework's Tokenizer: plain text in, chat markup from the template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anyloom.interfaces import Tokenizer
from anyloom_llama.chat import chat_texts

__all__ = ["ChatTokenizer"]


class ChatTokenizer(Tokenizer):
    """Wraps a transformers tokenizer.

    Args:
        backend: The transformers tokenizer.
        chat_template: Jinja template that replaces the tokenizer's own.
    """

    def __init__(self, backend: Any, chat_template: str | None = None) -> None:
        self.backend, self.chat_template = backend, chat_template
        self.size: int = len(backend)
        self.eos_id: int = backend.eos_token_id
        self.pad_id: int = self.eos_id if backend.pad_token_id is None else backend.pad_token_id
        self._texts: dict[str, list[int]] = {}
        self._chats: dict[tuple[str, ...], list[tuple[list[int], list[int]]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_texts": {}, "_chats": {}}

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; spellings of special tokens are split into ordinary ones."""
        if text not in self._texts:
            if len(self._texts) > 10_000:
                self._texts.clear()
            self._texts[text] = self.backend(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return list(self._texts[text])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; added and special tokens are left out."""
        return str(self.backend.decode([i for i in ids if i < self.size], skip_special_tokens=True))

    def chat_parts(self, roles: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        """Markup ids around each message, from the chat template."""
        key = tuple(roles)
        if key not in self._chats:
            texts = chat_texts(self.backend, roles, self.chat_template)
            self._chats[key] = [(self._markup(before), self._markup(after)) for before, after in texts]
        return self._chats[key]

    def _markup(self, text: str) -> list[int]:
        return list(self.backend(text, add_special_tokens=False)["input_ids"]) if text else []

    def special_ids(self) -> list[int]:
        """Special tokens of the tokenizer but the end of sequence."""
        return [i for i in self.backend.all_special_ids if i != self.eos_id]
