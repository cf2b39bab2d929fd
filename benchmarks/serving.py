"""What a client of the server waits for, under the names that vllm-omni uses, at 1 and at 16 requests.

TTFT is the time to the first piece of text, TPOT the time between tokens after it, "time to first medium" that to the
first medium that is there, the real-time factor the time per second of sound. The clock is the CPU time of the process,
so that what else the machine does is not measured. Values that nobody set a goal for have none.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator

from generation import REQUESTS
from measure import Row, Rows

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.config.packages import shipped_weights
from anyloom.generation.events import Finished, MediumMade, TextMade
from anyloom.generation.options import GenerationOptions
from anyloom_serve.jobs import Failed
from anyloom_serve.worker import Worker

TOKENS = 32


class Client:
    """Hears the events of one request; times are CPU seconds since it was sent."""

    def __init__(self) -> None:
        self.sent = time.process_time()
        self.text: list[float] = []
        self.media: list[float] = []
        self.seconds = 0.0
        self.end = 0.0
        self.done = threading.Event()
        self.error: Exception | None = None

    def __call__(self, event: object) -> None:
        now = time.process_time() - self.sent
        if isinstance(event, TextMade):
            self.text.append(now)
        elif isinstance(event, MediumMade):
            self.media.append(now)
            self.seconds += event.media.tensor().shape[-1] / float(event.media.meta.get("sample_rate", 1))
        elif isinstance(event, Finished | Failed):
            self.end = now
            self.error = event.error if isinstance(event, Failed) else None
            self.done.set()


def answered(model: AnyToAnyModel, words: str, options: GenerationOptions, seeds: range, together: int) -> list[Client]:
    """Clients of requests with these seeds, so many of them sent at one moment."""
    worker, heard = Worker(model, together=together, waiting=together), list[Client]()
    worker.start()
    for first in range(0, len(seeds), together):
        clients = []
        for seed in seeds[first : first + together]:
            clients.append(Client())
            worker.submit(Conversation([Message("user", words)]), options, seed, clients[-1])
        for client in clients:
            client.done.wait()
            if client.error is not None:
                raise client.error
        heard += clients
    worker.close()
    return heard


def p95(values: list[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def rows(quick: bool) -> Rows:
    """All of them."""
    model = AnyToAnyModel.from_pretrained(shipped_weights("mini") or "", trust=True).eval()
    counts = (8, REQUESTS) if quick else (4 * REQUESTS, 4 * REQUESTS)
    words = GenerationOptions(plan=("text",), max_new_tokens=TOKENS, temperature=1.0)
    picture, sound = (GenerationOptions(plan=(name,)) for name in ("image", "audio"))
    yield from _rows(model, "hello", words, counts, f"up to {TOKENS} tokens", _text)
    yield from _rows(model, "Draw this: red apple, noto style.", picture, counts, "a picture", _first_medium)
    yield from _rows(model, "Play this: crow cawing.", sound, counts, "a sound", _sound)


Values = Callable[[list[Client]], Iterator[tuple[str, float, str]]]


def _rows(
    model: AnyToAnyModel, words: str, options: GenerationOptions, counts: tuple[int, int], what: str, values: Values
) -> Rows:
    """Rows of so many requests alone, and so many of which :data:`REQUESTS` are sent at a time."""
    answered(model, words, options, range(1), 1)  # what is only done once
    alone, together = (answered(model, words, options, range(n), m) for n, m in zip(counts, (1, REQUESTS)))
    for clients, how in ((alone, "alone"), (together, f"{REQUESTS} together")):
        for name, value, unit in values(clients):
            yield Row(f"{name}, {what}, {how}", "", value, None, "lower", unit)
    ratio = p95([c.end for c in together]) / p95([c.end for c in alone])
    note = "latency from being sent to being whole; all are sent at one moment to one thread"
    yield Row(f"p95 of {REQUESTS} requests together: {what}", "alone", ratio, 2.0, "lower", note=note)


def _text(clients: list[Client]) -> Iterator[tuple[str, float, str]]:
    """Answers that end at once have no text and are left out."""
    yield "TTFT", _milliseconds([c.text[0] for c in clients if c.text]), "CPU ms"
    between = [(c.text[-1] - c.text[0]) / (len(c.text) - 1) for c in clients if len(c.text) > 1]
    yield "TPOT", _milliseconds(between), "CPU ms"


def _first_medium(clients: list[Client]) -> Iterator[tuple[str, float, str]]:
    yield "time to first medium", _milliseconds([c.media[0] for c in clients]), "CPU ms"


def _sound(clients: list[Client]) -> Iterator[tuple[str, float, str]]:
    yield from _first_medium(clients)
    yield "real-time factor", statistics.median(c.end / c.seconds for c in clients), "CPU s per s"


def _milliseconds(values: list[float]) -> float:
    return 1000 * statistics.median(values)
