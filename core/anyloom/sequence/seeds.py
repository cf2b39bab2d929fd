"""Seeds that come from what a sample is, never from where it stands in a batch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from anyloom.conversation.segments import Conversation, Text
from anyloom.interfaces.dataset import Sample

__all__ = ["sample_name", "seed_of"]


def sample_name(sample: Sample) -> str:
    """The sample's key; where its source gives none, its content stands for it.

    >>> from anyloom.conversation import Message
    >>> talk = Conversation([Message("user", "hello"), Message("assistant", "yes?")])
    >>> sample_name(Sample(talk, "chat", key="line-3"))
    'line-3'
    >>> sample_name(Sample(talk, "chat")) == sample_name(Sample(talk, "chat"))
    True
    """
    return sample.key or hashlib.blake2b("\0".join(_content(sample.conversation)).encode(), digest_size=16).hexdigest()


def seed_of(seed: int, name: str, segment: int) -> int:
    """Seed ``0 <= n < 2**63`` of one segment of one sample's answer.

    Args:
        seed: Of the run.
        name: Of the sample, see :func:`sample_name`. Of a file's whole path only the last part counts: a project that
            is moved to another folder keeps its seeds.
        segment: Number of the segment in the answer.

    >>> seed_of(0, "a", 0) == seed_of(0, "a", 0), seed_of(0, "a", 0) == seed_of(0, "a", 1)
    (True, False)
    >>> seed_of(0, "/a/val.jsonl:3", 0) == seed_of(0, "/b/val.jsonl:3", 0)
    True
    """
    if os.path.isabs(name):
        name = os.path.basename(name)
    digest = hashlib.blake2b(f"{seed}/{segment}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _content(conversation: Conversation) -> Iterator[str]:
    for message in conversation.messages:
        yield message.role
        for segment in message.segments:
            yield segment.text if isinstance(segment, Text) else f"{segment.modality}:{segment.key or segment.path}"
