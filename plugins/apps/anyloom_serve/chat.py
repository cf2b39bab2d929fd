"""Answers of ``/v1/chat/completions``: whole, or as server-sent events."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool

from anyloom.conversation import Message
from anyloom.errors import AnyloomError
from anyloom.generation.events import Event, Finished, MediumBegun, TextMade
from anyloom_serve.errors import error_body
from anyloom_serve.jobs import MadeSoFar
from anyloom_serve.noting import Note
from anyloom_serve.wire import message_parts

__all__ = ["Shape", "message_body"]


def message_body(message: Message) -> dict[str, Any]:
    """An answer as OpenAI's clients read it, with everything in order under ``parts``.

    >>> message_body(Message("assistant", "yes?"))["content"]
    'yes?'
    """
    parts = message_parts(message)
    body: dict[str, Any] = {"role": "assistant", "content": message.text or None, "parts": parts}
    if pictures := [p for p in parts if p["type"] == "image_url"]:
        body["images"] = pictures
    if clips := [p for p in parts if p["type"] == "video_url"]:
        body["videos"] = clips
    sound = next((p["input_audio"]["data"] for p in parts if p["type"] == "input_audio"), None)
    if sound is not None:
        body["audio"] = {"id": f"audio-{secrets.token_hex(8)}", "data": sound, "expires_at": 0, "transcript": ""}
    return body


class Shape:
    """One response: what its pieces have in common.

    Args:
        model: Name of the model.
        prompt_tokens: Positions of the prompt.
        seed: Of the first answer, so that it can be asked for again.
        note: Has media say what made them.
        more: What else the response says.
    """

    def __init__(self, model: str, prompt_tokens: int, seed: int, note: Note, more: Mapping[str, Any]) -> None:
        self.seed, self.note = seed, note
        self.head: dict[str, Any] = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }
        self.head |= {"system_fingerprint": f"seed-{seed}", **more}
        self.prompt_tokens = prompt_tokens

    def usage(self, completion_tokens: int) -> dict[str, int]:
        """Positions of prompt and answer."""
        total = self.prompt_tokens + completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": total,
        }

    def whole(self, messages: list[Message]) -> dict[str, Any]:
        """The response of a request that does not stream."""
        choices = [
            {"index": n, "message": message_body(m), "finish_reason": "stop", "logprobs": None}
            for n, m in enumerate([self.note(m, self.seed + n) for n, m in enumerate(messages)])
        ]
        usage = self.usage(sum(map(tokens_of, messages)))
        return {**self.head, "object": "chat.completion", "choices": choices, "usage": usage}

    async def stream(self, events: AsyncIterator[Event], *, usage: bool) -> AsyncIterator[str]:
        """The pieces of a streamed response; an answer that breaks off ends with an error instead of ``[DONE]``."""
        yield self._piece({"role": "assistant", "content": ""})
        tokens = 0
        try:
            async for event in events:
                if isinstance(event, TextMade):
                    yield self._piece({"content": event.text})
                elif isinstance(event, MediumBegun):
                    yield self._piece({"begun": event.modality})
                elif isinstance(event, MadeSoFar):
                    noted = await run_in_threadpool(self.note, event.so_far, self.seed)
                    parts = await run_in_threadpool(message_parts, Message("assistant", noted.segments[-1:]))
                    if parts:
                        kind = {"image_url": "images", "video_url": "videos", "input_audio": "sounds"}
                        yield self._piece({kind[parts[0]["type"]]: parts})
                elif isinstance(event, Finished):
                    tokens = tokens_of(event.message)
        except AnyloomError as error:
            yield f"data: {json.dumps(error_body(error))}\n\n"
            return
        yield self._piece({}, finish="stop")
        if usage:
            yield self._event({"choices": [], "usage": self.usage(tokens)})
        yield "data: [DONE]\n\n"

    def _piece(self, delta: dict[str, Any], finish: str | None = None) -> str:
        return self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]})

    def _event(self, body: dict[str, Any]) -> str:
        return f"data: {json.dumps({**self.head, 'object': 'chat.completion.chunk', **body})}\n\n"


def tokens_of(message: Message) -> int:
    """Text tokens of an answer.

    >>> from anyloom.conversation import Text
    >>> tokens_of(Message("assistant", [Text("yes?", tokens=(5, 6))]))
    2
    """
    return sum(len(getattr(segment, "tokens", None) or ()) for segment in message.segments)
