"""Conversations: messages of text and media. Data only; reading and writing them is :mod:`anyloom.media`."""

from anyloom.conversation.medium import Media, MediaFiles
from anyloom.conversation.segments import Conversation, Message, Segment, Text

__all__ = ["Conversation", "Media", "MediaFiles", "Message", "Segment", "Text"]
