"""How much a client may ask for. Every size has a limit, and each is an option of ``anyloom serve``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Limits"]


class Limits(BaseModel):
    """Limits of one server.

    Args:
        body_bytes: Of a request.
        messages: Of a conversation.
        parts: Of all its messages together.
        media: Among them.
        medium_bytes: Of one medium as it comes, compressed.
        numbers: Of all media of a request once they are opened: pixels times channels times frames, or samples. Each
            takes four bytes, and as many requests as run and wait hold theirs.
        seconds: Of one sound or clip.
        tokens: Text tokens of an answer.
        made: Media of an answer.
        choices: Answers to one request.
        together: Answers that are made at the same time.
        waiting: Requests that may wait for a place; one more is told to come back later.
        open_seconds: Time that opening one medium may take.
        fetch_seconds: Time that fetching one address may take, where fetching is switched on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_bytes: int = Field(32 * 2**20, ge=1)
    messages: int = Field(256, ge=1)
    parts: int = Field(512, ge=1)
    media: int = Field(32, ge=0)
    medium_bytes: int = Field(16 * 2**20, ge=1)
    numbers: int = Field(30_000_000, ge=1)
    seconds: float = Field(300.0, gt=0)
    tokens: int = Field(1024, ge=1)
    made: int = Field(8, ge=0)
    choices: int = Field(8, ge=1)
    together: int = Field(16, ge=1)
    waiting: int = Field(64, ge=0)
    open_seconds: float = Field(30.0, gt=0)
    fetch_seconds: float = Field(10.0, gt=0)
