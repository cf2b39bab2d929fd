"""Reading and writing media files, and conversations in their JSON form."""

from anyloom.conversation import Conversation, Media, Message, Text
from anyloom.media.answers import FilesOfMedia, save_answer
from anyloom.media.chat_json import conversation_from_json, conversation_to_json
from anyloom.media.claims import modality_of, split_modality
from anyloom.media.files import io_for, note_of, read_media, write_media
from anyloom.media.isolated import Isolation
from anyloom.media.shipped import sample

__all__ = [
    "Conversation",
    "Isolation",
    "Media",
    "Message",
    "Text",
    "conversation_from_json",
    "conversation_to_json",
    "io_for",
    "modality_of",
    "note_of",
    "read_media",
    "sample",
    "save_answer",
    "split_modality",
    "write_media",
]

Media.files = FilesOfMedia()  # the room of conversations stands below this one and cannot import it
