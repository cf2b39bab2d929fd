"""Reading and writing media files, and conversations in their JSON form."""

from anyloom.media.chat_json import conversation_from_json, conversation_to_json
from anyloom.media.files import io_for, read_media, write_media

__all__ = ["conversation_from_json", "conversation_to_json", "io_for", "read_media", "write_media"]
