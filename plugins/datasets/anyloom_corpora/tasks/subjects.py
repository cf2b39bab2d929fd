"""Composition, concept learning and subject-driven generation.

Fields: ``image``; ``parts``, a word and the picture of that object alone, or several to draw one of; ``caption`` or
``relation``;
``subject``, the class word of what a picture shows. Records of one group show one subject.
"""

from __future__ import annotations

import re
from typing import Final

from anyloom.conversation import Media
from anyloom.interfaces import Sample
from anyloom_corpora.tasks.view import UnfitRecord, View

__all__ = ["compose", "learn_concept", "place_subject"]

_CONCEPT: Final = (
    "These pictures show one and the same thing. Make another picture of it.",
    "Learn what these pictures have in common and draw it once more.",
)
_SUBJECT: Final = ("Draw {}", "Make a picture: {}")
_SLOT: Final = "\0"


def compose(view: View) -> Sample:
    """Pictures of objects in place of their words, "[image0] on [image1]"; the whole picture is the target.

    The words come from ``relation`` (a pattern such as ``{0} on {1}``), else from the caption, where the first whole
    word or phrase that names a part, in whatever case, gives way to its picture. A part that the caption does not name
    is left out; with none left there is no sample.
    """
    parts = _parts(view)
    pattern = view.record.get("relation")
    if isinstance(pattern, str):
        user, used = _filled(pattern, parts)
    else:
        user, used = _replaced(view.text("caption"), parts)
    if not used:
        raise UnfitRecord("bad row", view.where, "the caption names none of its parts")
    return view.sample(user, [view.media("image")], words=tuple(parts[n][0] for n in used))


def learn_concept(view: View, shown: tuple[int, ...] = (2, 3, 4)) -> Sample:
    """Several pictures of one concept; another one of it is the target."""
    examples = view.related(1, view.choose(shown))
    user: list[str | Media] = [example.media("image") for example in examples]
    user.append(view.choose(_CONCEPT))
    return view.sample(user, [view.media("image")], subject=str(view.record.get("subject", "")), shots=len(examples))


def place_subject(view: View, shown: tuple[int, ...] = (1, 2)) -> Sample:
    """A picture of a subject in a sentence in place of its word; a picture of it as the sentence says is the target.

    The sentence is ``prompt``, with ``{}`` for the subject, else the caption, in which the class word gives way. A
    record may bring ``subject_images`` (and ``real_images``, what an answer
    is compared with); else pictures of other records of its group show the subject.
    """
    own = [media for media in view.record.get("subject_images") or () if isinstance(media, Media)]
    pictures = own or [other.media("image") for other in view.related(1, view.choose(shown))]
    prompt = view.record.get("prompt")
    if not isinstance(prompt, str):
        prompt, found = _slotted(view.text("caption"), view.text("subject"))
        prompt = prompt.replace(_SLOT, "{}") if found else f"{{}}. {prompt}"
    before, _, after = prompt.partition("{}")
    sentence = view.choose(_SUBJECT).format(before)
    user: list[str | Media] = [*_nonempty(sentence), *pictures, *_nonempty(after)]
    keys = tuple(picture.key for picture in pictures)
    facts = {"subject": view.text("subject"), "reference": keys[0], "subject_keys": keys}
    if view.record.get("real_images"):  # a benchmark: what an answer is compared with
        facts |= {"real": tuple(view.record["real_images"]), "prompt": view.text("caption")}
    return view.sample(user, [view.media("image")], **facts)


def _parts(view: View) -> list[tuple[str, Media]]:
    parts: list[tuple[str, Media]] = []
    for word, *pictures in view.record.get("parts") or ():
        usable = [picture for picture in pictures if isinstance(picture, Media)]
        if usable:
            parts.append((word, view.choose(usable)))
    if not parts:
        raise UnfitRecord("bad row", view.where, "there are no parts to compose")
    return parts


def _filled(pattern: str, parts: list[tuple[str, Media]]) -> tuple[list[str | Media], list[int]]:
    """Put parts into a pattern such as ``{0} on {1}``."""
    user: list[str | Media] = []
    used: list[int] = []
    for text, number in re.findall(r"([^{]*)(?:\{(\d+)\})?", pattern):
        user += _nonempty(text)
        if number and int(number) < len(parts):
            user.append(parts[int(number)][1])
            used.append(int(number))
    return user, used


def _replaced(caption: str, parts: list[tuple[str, Media]]) -> tuple[list[str | Media], list[int]]:
    """Put parts into a caption in place of the words that name them, longer words first."""
    order = sorted(range(len(parts)), key=lambda n: -len(parts[n][0]))
    named: list[int] = []
    for number in order:
        caption, found = _slotted(caption, parts[number][0], f"{_SLOT}{number}{_SLOT}")
        named += [number] if found else []
    user: list[str | Media] = []
    used: list[int] = []
    for place, piece in enumerate(caption.split(_SLOT)):
        if place % 2:
            user.append(parts[int(piece)][1])
            used.append(int(piece))
        else:
            user += _nonempty(piece)
    return user, used


def _slotted(sentence: str, word: str, slot: str = _SLOT) -> tuple[str, bool]:
    """Replace the first occurrence of a word or phrase, with the article before it, by a slot.

    >>> _slotted("A dog on the red chair", "red chair", "_")
    ('A dog on _', True)
    """
    pattern = rf"\b(?:(?:a|an|the)\s+)?{re.escape(word)}\b"
    result, count = re.subn(pattern, lambda _: slot, sentence, count=1, flags=re.IGNORECASE)
    return result, bool(count)


def _nonempty(text: str) -> list[str | Media]:
    return [text] if text.strip() else []
