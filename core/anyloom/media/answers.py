"""Writing answers: media become files, the conversation becomes JSON beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anyloom.conversation.segments import Conversation, Media, Message
from anyloom.media.chat_json import conversation_to_json

__all__ = ["answer_json"]


def answer_json(
    conversation: Conversation, answer: Message, folder: Path, prefix: str
) -> tuple[dict[str, Any], list[str]]:
    """Write an answer's media into a folder and return the whole conversation's JSON form.

    Args:
        conversation: What was asked.
        answer: What was answered.
        folder: Where media files go; made if missing.
        prefix: Beginning of their names.

    Returns:
        The JSON form, and the modalities of answered media that are left out because no decoder made them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = [s for s in answer.segments if not isinstance(s, Media) or _has_data(s)]
    left_out = [m.modality for m in answer.media if not _has_data(m)]
    whole = Conversation([*conversation.messages, Message(answer.role, kept)])
    return conversation_to_json(whole, folder=folder, prefix=prefix), left_out


def _has_data(media: Media) -> bool:
    return bool(media.path) or media.data is not None or media.loader is not None
