"""Conversations: messages of text and media. Data only; reading and writing them is :mod:`anyloom.media`."""

from anyloom.conversation.segments import Conversation, Media, Message, Segment, Text

__all__ = ["Conversation", "Media", "Message", "Segment", "Text"]
