"""Requests together against one after another, and turn n of a session against reading everything again.

    python benchmarks/serving.py

One thread, CPU time, A B A B; medians of the pairs' ratios. The model is the small one that ships.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.config.packages import shipped_weights
from anyloom.generation.events import Finished
from anyloom.generation.options import GenerationOptions
from anyloom_serve.jobs import Failed
from anyloom_serve.worker import Worker

ROUNDS = 5
REQUESTS = 16
PROMPT = Conversation([Message("user", "Draw this: red apple, noto style.")])


def cpu(work: Callable[[], None]) -> float:
    """CPU seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def asked(model: AnyToAnyModel, options: GenerationOptions, together: int) -> None:
    """Answer 16 requests, so many at a time."""
    worker = Worker(model, together=together, waiting=REQUESTS)
    worker.start()
    done = threading.Semaphore(0)

    def emit(event: object) -> None:
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Finished):
            done.release()

    for seed in range(REQUESTS):
        worker.submit(PROMPT, options, seed, emit)
    for _ in range(REQUESTS):
        done.acquire()
    worker.close()


def turns(model: AnyToAnyModel, *, again: bool) -> None:
    """Six turns with one picture made in each, read on or read again from the beginning."""
    session = model.session(plan=("image",), decode=False)
    for n in range(6):
        if again:
            session = model.session(session.messages, plan=("image",), decode=False)
        session.say(f"Draw this: red apple {n}, noto style.")


def ratio(one: Callable[[], None], other: Callable[[], None]) -> float:
    """Median of CPU time of the first over that of the second, taken in turns."""
    one(), other()
    return statistics.median(cpu(one) / cpu(other) for _ in range(ROUNDS))


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    model = AnyToAnyModel.from_pretrained(shipped_weights() or "", trust=True).eval()
    text = GenerationOptions(plan=("text",), max_new_tokens=32, temperature=1.0)
    picture = GenerationOptions(plan=("image",))
    for name, options in (("32 tokens of text", text), ("a picture", picture)):
        found = ratio(lambda o=options: asked(model, o, 1), lambda o=options: asked(model, o, REQUESTS))  # type: ignore[misc]
        print(f"{REQUESTS} requests for {name}: one after another costs {found:.2f} x together (goal 3)", flush=True)
    found = ratio(lambda: turns(model, again=True), lambda: turns(model, again=False))
    print(f"six turns with a picture each: reading everything again costs {found:.2f} x reading on")


if __name__ == "__main__":
    main()
