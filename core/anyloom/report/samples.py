"""Samples side by side: what was asked, what was wanted, what came out."""

from __future__ import annotations

from html import escape

from anyloom.conversation.segments import Conversation, Media, Message, Segment
from anyloom.media.files import io_for
from anyloom.report.contents import SampleGroup, SampleRow

__all__ = ["media_html", "message_html", "sample_group"]


def media_html(media: Media) -> str:
    """Show one media item through its modality, or say why it cannot be shown.

    >>> media_html(Media("picture", key="a"))
    '<span class="soft">(a feature only: nothing decoded it)</span>'
    """
    if media.data is None and media.loader is None:
        return '<span class="soft">(a feature only: nothing decoded it)</span>'
    try:
        return f'<span class="media">{io_for(media.modality).to_html(media)}</span>'
    except Exception as error:  # a plugin's; a page of many parts must not be lost for one of them
        return f'<span class="soft">({escape(media.modality)}: {escape(str(error))})</span>'


def _segment(segment: Segment) -> str:
    return media_html(segment) if isinstance(segment, Media) else escape(segment.text)


def message_html(message: Message, *, who: bool = False) -> str:
    """One message, its segments in order; text is escaped.

    Args:
        message: The message.
        who: Begin with the role.

    >>> message_html(Message("user", "1 < 2"), who=True)
    '<div class="turn"><span class="who">user: </span>1 &lt; 2</div>'
    """
    inside = "".join(_segment(s) for s in message.segments) or '<span class="soft">(empty)</span>'
    role = f'<span class="who">{escape(message.role)}: </span>' if who else ""
    return f'<div class="turn">{role}{inside}</div>'


def _prompt(conversation: Conversation) -> str:
    """The messages, each answer beside its question."""
    exchanges: list[list[Message]] = []
    for message in conversation.messages:
        if message.role == "assistant" and exchanges:
            exchanges[-1].append(message)
        else:
            exchanges.append([message])
    several = len(conversation.messages) > 1
    turns = ["".join(message_html(m, who=several) for m in exchange) for exchange in exchanges]
    return "".join(f'<div class="exchange">{turn}</div>' for turn in turns)


def _row(row: SampleRow) -> str:
    note = f'<div class="note soft">{escape(row.note)}</div>' if row.note else ""
    answer = "" if row.output is None else f"<div><h4>Model's answer</h4>{message_html(row.output)}</div>"
    read = f'<pre class="note">{escape(row.reading)}</pre>' if row.reading else ""
    return (
        f'<div class="sample"><div class="prompt"><h4>Prompt</h4>{_prompt(row.prompt)}</div>'
        f"<div><h4>Target</h4>{message_html(row.target)}</div>{answer}{note}{read}</div>"
    )


def sample_group(group: SampleGroup) -> str:
    """A heading, an explanation and the samples of one task."""
    rows = "".join(_row(r) for r in group.rows)
    return f"<h3>{escape(group.title)}</h3><p>{escape(group.explanation)}</p>{rows}"
