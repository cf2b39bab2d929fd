"""What happens while an answer is made, for whoever watches."""

from __future__ import annotations

from dataclasses import dataclass

from anyloom.conversation.segments import Media, Message

__all__ = ["Event", "Finished", "MediumBegun", "MediumMade", "MediumPreviewed", "TextMade"]


@dataclass(frozen=True)
class TextMade:
    """A piece of text.

    Args:
        segment: Number of the segment it belongs to.
        text: What has been added to it.

    >>> TextMade(segment=0, text="a red")
    TextMade(segment=0, text='a red')
    """

    segment: int
    text: str


@dataclass(frozen=True)
class MediumBegun:
    """The model has begun a medium.

    Args:
        segment: Number of the segment.
        modality: Of the medium.

    >>> MediumBegun(segment=1, modality="picture")
    MediumBegun(segment=1, modality='picture')
    """

    segment: int
    modality: str


@dataclass(frozen=True)
class MediumPreviewed:
    """A cheap look at a medium that is being made; see ``previews`` of a session's stream.

    Args:
        segment: Number of the segment.
        media: What it looks like so far, small.
        done: Steps that are over.
        total: Of how many.
    """

    segment: int
    media: Media
    done: int
    total: int


@dataclass(frozen=True)
class MediumMade:
    """A medium is there.

    Args:
        segment: Number of the segment.
        media: The medium.

    >>> MediumMade(1, Media("picture", key="a")).media.key
    'a'
    """

    segment: int
    media: Media


@dataclass(frozen=True)
class Finished:
    """The answer is over.

    Args:
        message: All of it.

    >>> Finished(Message("assistant", "yes?")).message.text
    'yes?'
    """

    message: Message


Event = TextMade | MediumBegun | MediumPreviewed | MediumMade | Finished
