"""Reads a tokenizer's own chat template message by message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from anyloom.errors import ConversationError

__all__ = ["PLAIN_TEMPLATE", "chat_texts"]

PLAIN_TEMPLATE: Final = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
)
"""For tokenizers without a chat template of their own."""


def chat_texts(tokenizer: Any, roles: Sequence[str], template: str | None) -> list[tuple[str, str]]:
    """Text before and after each message, read off the rendered template.

    The template is rendered with a marker in place of every message's content; what stands between the markers is
    chat markup. After an assistant message, markup up to the end-of-sequence token belongs to that message,
    the rest to the next one.

    Raises:
        anyloom.errors.ConversationError: The template refuses this order of roles.
    """
    marks = [f"\x02{i}\x03" for i in range(len(roles))]
    messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks)]
    template = template or tokenizer.chat_template or PLAIN_TEMPLATE
    try:
        text: str = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)
    except Exception as error:
        raise ConversationError(
            f"the chat template refuses the roles {', '.join(roles)} ({error})", fix="start with user, then alternate"
        ) from error
    between = []
    for mark in marks:
        markup, found, text = text.partition(mark)
        if not found or "\x02" in markup:
            raise ConversationError(
                f"the chat template moves or drops messages of the roles {', '.join(roles)}",
                fix="set 'chat_template' to one that keeps messages in their order",
            )
        between.append(markup)
    return _share(between, text, roles, tokenizer.eos_token)


def _share(between: list[str], rest: str, roles: Sequence[str], eos: str) -> list[tuple[str, str]]:
    prefixes, suffixes = [between[0]], []
    for index, markup in enumerate([*between[1:], rest]):
        last = index == len(roles) - 1
        if roles[index] == "assistant":
            head, found, tail = markup.partition(eos)
            suffixes.append(head + eos if found else eos)
            prefixes.append(tail if found else markup)
        else:
            suffixes.append("")
            prefixes.append(markup)
        if last and roles[index] != "assistant":
            suffixes[-1], prefixes[-1] = markup, ""
    return list(zip(prefixes[: len(roles)], suffixes))
