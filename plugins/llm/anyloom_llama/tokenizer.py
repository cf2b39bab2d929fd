"""A tokenizer of transformers as the framework's Tokenizer: plain text in, chat markup from the template.

Pieces are tokenised one by one, because media may stand between them. Tokenizers in the manner of SentencePiece
(Llama 1 and 2) put a space before whatever they get: text takes that space in place of its own or the markup's, and
markup inside a conversation is read without it. So a conversation of text gives the ids of the whole rendered template.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from anyloom.interfaces import Tokenizer
from anyloom_llama.chat import chat_texts

__all__ = ["ChatTokenizer"]

_SPACE: Final = "\u2581"
_ANCHOR: Final = "\n"
"""Text that merges with nothing after it."""


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
        first = backend.convert_ids_to_tokens(self._ids("a"))[:1]
        self._adds_space = bool(first) and first[0].startswith(_SPACE)
        self._texts: dict[str, list[int]] = {}
        self._chats: dict[tuple[str, ...], list[tuple[list[int], list[int]]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_texts": {}, "_chats": {}}

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; spellings of special tokens are split into ordinary ones."""
        if text not in self._texts:
            if len(self._texts) > 10_000:
                self._texts.clear()
            piece = text.removeprefix(" ") if self._adds_space else text
            self._texts[text] = self._ids(piece, split_special_tokens=True)
        return list(self._texts[text])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; added and special tokens are left out."""
        return str(self.backend.decode([i for i in ids if i < self.size], skip_special_tokens=True))

    def chat_parts(self, roles: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        """Markup ids around each message, from the chat template."""
        key = tuple(roles)
        if key not in self._chats:
            texts = chat_texts(self.backend, roles, self.chat_template)
            self._chats[key] = [
                (self._markup(before, opening=index == 0), self._markup(after))
                for index, (before, after) in enumerate(texts)
            ]
        return self._chats[key]

    def _markup(self, text: str, *, opening: bool = False) -> list[int]:
        if not self._adds_space:
            return self._ids(text)
        text = text.removesuffix(" ")
        anchor = [] if opening else self._ids(_ANCHOR)
        return self._ids(text if opening else _ANCHOR + text)[len(anchor) :]

    def _ids(self, text: str, **options: Any) -> list[int]:
        return list(self.backend(text, add_special_tokens=False, **options)["input_ids"]) if text else []

    def special_ids(self) -> list[int]:
        """Special tokens of the tokenizer but the end of sequence."""
        return [i for i in self.backend.all_special_ids if i != self.eos_id]
