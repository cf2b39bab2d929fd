"""Conversations and their JSON form."""

from anyloom.conversation.chat_json import conversation_from_json, conversation_to_json
from anyloom.conversation.media_files import io_for, read_media, write_media
from anyloom.conversation.segments import Conversation, Media, Message, Segment, Text

__all__ = [
    "Conversation",
    "Media",
    "Message",
    "Segment",
    "Text",
    "conversation_from_json",
    "conversation_to_json",
    "io_for",
    "read_media",
    "write_media",
]
