"""What pictures and sounds are called in conversations."""

from __future__ import annotations

from anyloom_starter.pack import Picture, Sound

__all__ = ["picture_caption", "picture_words", "sound_caption", "with_article"]


def picture_caption(picture: Picture) -> str:
    """Return name, skin tone if there is one, and style.

    >>> from anyloom_starter.pack import load_pack
    >>> picture_caption(load_pack().picture("noto/1f44b-1f3fe"))
    'waving hand with medium-dark skin tone, noto style'
    """
    plural = "s" if " and " in picture.tone else ""
    tone = "" if picture.tone == "none" else f" with {picture.tone} skin tone{plural}"
    return f"{picture.name}{tone}, {picture.style} style"


def picture_words(picture: Picture) -> dict[str, str]:
    """Return what a caption should name, by attribute: name, style, and tone if there is one."""
    words = {"name": picture.name, "style": picture.style, "tone": picture.tone}
    return {attribute: word for attribute, word in words.items() if word != "none"}


def sound_caption(sound: Sound) -> str:
    """Return the name of a sound.

    >>> from anyloom_starter.pack import load_pack
    >>> sound_caption(load_pack().sound("misc_crow"))
    'crow cawing'
    """
    return sound.name


def with_article(text: str, name: str) -> str:
    """Return a text that begins with a name after "a" or "an", or as it stands if the name seems to be of many.

    >>> with_article("owl, noto style", "owl"), with_article("red heart", "red heart"), with_article("lips", "lips")
    ('an owl, noto style', 'a red heart', 'lips')
    """
    if name.endswith("s") and not name.endswith(("ss", "us")):
        return text
    return f"{'an' if name[0] in 'aeiou' else 'a'} {text}"
