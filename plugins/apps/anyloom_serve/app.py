"""The application: routes of OpenAI's interface over one worker."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, File, Form, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

import anyloom
from anyloom.conversation import Conversation, Media
from anyloom.conversation import Message as Said
from anyloom.errors import AnyloomError, ConversationError
from anyloom.network.network import Network
from anyloom.replay.record import MadeBy
from anyloom_serve.answering import Answering, drawn_seed, options_of
from anyloom_serve.chat import Shape
from anyloom_serve.errors import error_body, status_of
from anyloom_serve.guard import Guard
from anyloom_serve.limits import Limits
from anyloom_serve.metrics import Meters
from anyloom_serve.noting import Notes, Original
from anyloom_serve.requests import ChatRequest, ImageRequest, SpeechRequest
from anyloom_serve.shapes import Completion, Health, Models, Pictures, Refusal
from anyloom_serve.wire import Reader, written
from anyloom_serve.worker import Worker

__all__ = ["make_app"]

_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"description": "The request is wrong; the error says what, where and what to do.", "model": Refusal},
    401: {"description": "The key is missing or wrong.", "model": Refusal},
    413: {"description": "The body is too large.", "model": Refusal},
    429: {"description": "Too many requests wait; Retry-After says when to come back.", "model": Refusal},
    "default": {"description": "Whatever else is wrong.", "model": Refusal},
}
_EVENTS: Final = {"schema": {"type": "string"}, "example": 'data: {"choices": [{"delta": {"content": "A"}}]}\n\n'}
_COMPLETION: Final = {"model": Completion, "content": {"text/event-stream": _EVENTS}}
_WAVE: Final = {"content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}}


def make_app(
    network: Network,
    *,
    name: str = "anyloom",
    key: str | None = None,
    limits: Limits | None = None,
    fetching: bool = False,
    apart: bool = True,
    drain_seconds: float = 30.0,
    made_by: MadeBy | None = None,
) -> FastAPI:
    """Make the application; its worker runs while the application does.

    Args:
        network: The model.
        name: What it is called to clients.
        key: Every route but ``/health`` asks for it; None asks for none.
        limits: Of sizes and numbers.
        fetching: Fetch media that are named by public addresses.
        apart: Open media in a process of its own.
        drain_seconds: Time that answers in the making have when the server goes down.
        made_by: What answers and the files of their media say made them; None says nothing.
    """
    limits = limits or Limits()
    worker = Worker(network, together=limits.together, waiting=limits.waiting)
    meters = Meters(lambda: worker.load)
    answering, notes = Answering(worker, meters), Notes(made_by, limits.together)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker.start()
        try:
            yield
        finally:
            await run_in_threadpool(worker.close, drain_seconds)

    app = FastAPI(title="anyloom", version=anyloom.__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, key=key, most_bytes=limits.body_bytes, meters=meters)
    _add_errors(app)

    # The guard asks for the key; this says so on the page.
    asks: dict[str, Any] = {"dependencies": [Depends(HTTPBearer(auto_error=False))]} if key is not None else {}

    def reader() -> Reader:
        return Reader(limits, takes=list(network.tags), fetching=fetching, apart=apart)

    def checked(model: str | None, count: int) -> None:
        if model not in (None, "", name, "anyloom"):
            raise ConversationError(f"there is no model {model!r:.60}", where="model", fix=f"it is called {name}")
        if count > limits.choices:
            raise ConversationError(f"{count} answers are more than {limits.choices}", where="n")

    async def media(
        http: Request,
        said: Conversation,
        originals: Mapping[str, Original],
        modality: str,
        count: int,
        seed: int,
        sampling: Mapping[str, Any],
    ) -> list[Media]:
        options = answering.for_one(modality, sampling)
        note = notes.of(said, originals, options, cut=False)
        messages = await answering.messages(http, said, options, seed, count)
        return [(await run_in_threadpool(note, m, seed + n)).media[0] for n, m in enumerate(messages)]

    async def pictures(
        http: Request,
        said: Conversation,
        originals: Mapping[str, Original],
        count: int,
        seed: int,
        sampling: Mapping[str, Any],
    ) -> dict[str, Any]:
        made = await media(http, said, originals, "image", count, seed, sampling)
        return {**await run_in_threadpool(_pictures, made), **notes.shown(seed)}

    @app.get("/health", response_model=Health)
    async def health() -> dict[str, Any]:
        """Whether the server answers, and how much it has to do."""
        running, waiting = worker.load
        return {"status": "ok", "running": running, "waiting": waiting}

    @app.get("/metrics", response_class=PlainTextResponse, **asks)
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return Response(meters.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models", response_model=Models, **asks)
    async def models() -> dict[str, Any]:
        """The one model there is, with what goes in and comes out."""
        makes = [m for m in network.tags if network.decoder(m) is not None]
        one = {"id": name, "object": "model", "created": 0, "owned_by": "anyloom", "modalities": ["text", *makes]}
        return {"object": "list", "data": [one]}

    @app.post("/v1/chat/completions", responses={200: _COMPLETION, **_ERRORS}, response_model=None, **asks)
    async def chat(body: ChatRequest, http: Request) -> Response:
        """Answer a conversation of text and media with text and media."""
        checked(body.model, body.n)
        if body.stream and body.n != 1:
            raise ConversationError("a stream has one answer", where="n", fix="ask for one, or without stream")
        options = options_of(body, limits, list(network.tags))
        read = reader()
        conversation = await run_in_threadpool(read.conversation, body.messages)
        prompt = await run_in_threadpool(network.interleaver(), conversation, open_answer=True)
        seed = drawn_seed(body.seed)
        note = notes.of(conversation, read.originals, options, cut=body.stream)
        shape = Shape(name, len(prompt), seed, note, notes.shown(seed))
        if body.stream:
            usage = body.stream_options is not None and body.stream_options.include_usage
            events = answering.events(http, conversation, options, seed)
            return StreamingResponse(shape.stream(events, usage=usage), media_type="text/event-stream")
        messages = [
            m
            for n in range(body.n)
            if (m := await answering.message(http, conversation, options, seed + n)) is not None
        ]
        return JSONResponse(await run_in_threadpool(shape.whole, messages))

    @app.post(
        "/v1/images/generations", responses=_ERRORS, response_model=Pictures, response_model_exclude_none=True, **asks
    )
    async def draw(body: ImageRequest, http: Request) -> dict[str, Any]:
        """Draw what is asked for."""
        checked(body.model, body.n)
        said = Conversation([Said("user", body.prompt)])
        return await pictures(http, said, {}, body.n, drawn_seed(body.seed), body.sampling)

    @app.post("/v1/images/edits", responses=_ERRORS, response_model=Pictures, response_model_exclude_none=True, **asks)
    async def edit(
        http: Request,
        prompt: Annotated[str, Form(min_length=1)],
        image: Annotated[list[UploadFile] | None, File()] = None,
        images: Annotated[list[UploadFile] | None, File(alias="image[]")] = None,
        model: Annotated[str | None, Form()] = None,
        n: Annotated[int, Form(ge=1)] = 1,
        seed: Annotated[int | None, Form(ge=0, lt=2**63)] = None,
        response_format: Annotated[str | None, Form(pattern="^b64_json$")] = None,
    ) -> dict[str, Any]:
        """Edit pictures as the words say; several (``image`` again, or ``image[]``) stand in the question in order."""
        del response_format
        checked(model, n)
        read, segments, uploads = reader(), [], [*(image or ()), *(images or ())]
        if not uploads:
            raise ConversationError("there is no picture to edit", where="image", fix="send one as a file")
        for number, upload in enumerate(uploads):
            content = await upload.read(limits.medium_bytes + 1)
            kind = (upload.content_type or "").lower()
            segments.append(await run_in_threadpool(read.medium, content, kind, "image", f"image[{number}]"))
        said = Conversation([Said("user", [*segments, prompt])])
        return await pictures(http, said, read.originals, n, drawn_seed(seed), {})

    @app.post("/v1/audio/speech", responses={200: _WAVE, **_ERRORS}, response_class=Response, **asks)
    async def play(body: SpeechRequest, http: Request) -> Response:
        """Make the sound that the words ask for, as WAV."""
        checked(body.model, 1)
        said = Conversation([Said("user", body.input)])
        made = await media(http, said, {}, "audio", 1, drawn_seed(body.seed), body.sampling)
        content, kind = await run_in_threadpool(written, made[0]) if made else (b"", "audio/wav")
        return Response(content, media_type=kind)

    app.state.worker = worker
    return app


def _pictures(media: list[Any]) -> dict[str, Any]:
    return {"created": 0, "data": [{"b64_json": base64.b64encode(written(m)[0]).decode()} for m in media]}


def _add_errors(app: FastAPI) -> None:
    """Every refusal has OpenAI's shape."""

    @app.exception_handler(AnyloomError)
    async def ours(request: Request, error: AnyloomError) -> JSONResponse:
        status = status_of(error)
        return JSONResponse(error_body(error), status, {"Retry-After": "2"} if status == 429 else None)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return JSONResponse(error_body(AnyloomError(first["msg"], where=place)), 400)

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(error_body(AnyloomError(str(error.detail))), error.status_code, error.headers)
