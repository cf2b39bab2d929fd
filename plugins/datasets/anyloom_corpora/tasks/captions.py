"""Caption to media and media to caption.

Fields: ``image``, ``audio`` or ``video``, and ``caption`` (one or several).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from anyloom.interfaces import Sample
from anyloom_corpora.tasks.view import View

__all__ = ["caption_to_media", "media_to_caption"]

_ASK: Final = MappingProxyType(
    {
        "image": ("What does this picture show?", "Describe this picture.", "Put this picture into words."),
        "audio": ("What do you hear?", "Describe this sound.", "Put this sound into words."),
        "video": ("What happens in this clip?", "Describe this clip.", "Put this clip into words."),
    }
)
_MAKE: Final = MappingProxyType(
    {
        "image": ("Make a picture: {}", "Show me this: {}", "Draw what these words say: {}"),
        "audio": ("Make a sound: {}", "Let me hear this: {}", "Play what these words say: {}"),
        "video": ("Make a clip: {}", "Film this: {}", "Show me in motion: {}"),
    }
)


def media_to_caption(view: View, modality: str = "image") -> Sample:
    """A media item; its caption is the target."""
    return view.sample([view.media(modality), view.choose(_ASK[modality])], [view.text("caption")])


def caption_to_media(view: View, modality: str = "image") -> Sample:
    """A caption; the media item is the target."""
    caption = view.text("caption")
    return view.sample([view.choose(_MAKE[modality]).format(caption)], [view.media(modality)], caption=caption)
