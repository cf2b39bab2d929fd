"""From a route to the worker and back: jobs are submitted, events are awaited, and whoever leaves is forgotten."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from fastapi import Request

from anyloom.conversation import Conversation, Message
from anyloom.errors import ConversationError
from anyloom.generation.events import Event, Finished
from anyloom.generation.options import GenerationOptions
from anyloom.options import validate
from anyloom_serve.jobs import Failed
from anyloom_serve.limits import Limits
from anyloom_serve.metrics import Meters
from anyloom_serve.requests import ChatRequest
from anyloom_serve.worker import Worker

__all__ = ["Answering", "drawn_seed", "options_of"]

_LOOK_SECONDS = 0.25
"""How often it is looked whether a client is still there."""


def drawn_seed(seed: int | None) -> int:
    """The seed that was given, or one drawn by chance.

    >>> drawn_seed(7), drawn_seed(None) >= 0
    (7, True)
    """
    return secrets.randbelow(2**31) if seed is None else seed


def options_of(request: ChatRequest, limits: Limits, known: Sequence[str]) -> GenerationOptions:
    """How a chat request is to be answered.

    Args:
        request: The request.
        limits: Of tokens and media.
        known: Modalities that the model makes.

    Raises:
        anyloom.errors.AnyloomError: An option is wrong, or more is asked for than a limit allows.
    """
    tokens = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    if tokens is not None and tokens > limits.tokens:
        raise ConversationError(f"{tokens} tokens are more than {limits.tokens}", where="max_tokens")
    media = limits.made if request.max_media is None else request.max_media
    if media > limits.made or len(request.plan or ()) > 2 * limits.made + 1:
        raise ConversationError(f"more than {limits.made} media are asked for", where="max_media")
    if request.audio is not None and request.audio.get("format", "wav") != "wav":
        raise ConversationError("sounds come as wav", where="audio.format")
    chosen: dict[str, Any] = {
        "max_new_tokens": min(limits.tokens, 256) if tokens is None else tokens,
        "max_media": media,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "sampling": request.sampling,
    }
    return validate(GenerationOptions, {**chosen, **_which(request, known)}, where="request")


def _which(request: ChatRequest, known: Sequence[str]) -> dict[str, Any]:
    """The plan, or the rules by modality."""
    if request.plan is not None:
        if request.modalities is not None:
            raise ConversationError("a plan says already which media come", where="modalities", fix="give one of them")
        return {"plan": tuple(request.plan)}
    if request.modalities is None:
        return {}
    for name in request.modalities:
        if name != "text" and name not in known:
            fix = f"it makes text, {', '.join(known)}"
            raise ConversationError(f"the model does not make {name!r:.40}", where="modalities", fix=fix)
    if "text" not in request.modalities:
        return {"plan": tuple(request.modalities)}
    return {"media": {name: "forbid" for name in known if name not in request.modalities}}


class Answering:
    """Asks the worker for routes.

    Args:
        worker: The worker.
        meters: Counts what happens.
    """

    def __init__(self, worker: Worker, meters: Meters) -> None:
        self.worker, self.meters = worker, meters

    async def events(
        self, http: Request, conversation: Conversation, options: GenerationOptions, seed: int
    ) -> AsyncIterator[Event]:
        """Events of one answer. When the client or the watcher leaves, the answer is forgotten.

        Raises:
            anyloom_serve.worker.ServerFullError: Too many wait.
            Exception: What the answer failed of.
        """
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Event | Failed]()

        def emit(event: Event | Failed) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, event)

        job = self.worker.submit(conversation, options, seed, emit)
        watch = self.meters.answer()
        try:
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), _LOOK_SECONDS)
                except TimeoutError:
                    if await http.is_disconnected():
                        watch.left()
                        return
                    continue
                if isinstance(event, Failed):
                    watch.failed()
                    raise event.error
                watch.saw(event)
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            job.cancel()

    async def message(
        self, http: Request, conversation: Conversation, options: GenerationOptions, seed: int
    ) -> Message | None:
        """The whole answer; None if the client has left."""
        async for event in self.events(http, conversation, options, seed):
            if isinstance(event, Finished):
                return event.message
        return None

    def for_one(self, modality: str, sampling: Mapping[str, Any]) -> GenerationOptions:
        """Options of answers that are one medium.

        Raises:
            anyloom.errors.ConversationError: The model has no decoder for it.
        """
        if modality not in self.worker.network.tags or self.worker.network.decoder(modality) is None:
            raise ConversationError(f"the model makes no {modality}", where="model")
        chosen = {"plan": (modality,), "max_new_tokens": 0, "sampling": {modality: dict(sampling)} if sampling else {}}
        return validate(GenerationOptions, chosen, where="request")

    async def messages(
        self, http: Request, conversation: Conversation, options: GenerationOptions, seed: int, count: int
    ) -> list[Message]:
        """Some answers to one conversation, all made together; none of those that nobody waited for."""
        asked = [asyncio.create_task(self.message(http, conversation, options, seed + n)) for n in range(count)]
        try:
            return [message for message in await asyncio.gather(*asked) if message is not None]
        finally:
            for task in asked:
                task.cancel()
