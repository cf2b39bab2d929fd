"""Answers: text beside transformers' generate, the cache, sessions, and requests together."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import torch
from measure import Row, Rows, in_turns, versions
from tokens import QUICK, model_of

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.config.packages import shipped_weights
from anyloom.generation.events import Finished
from anyloom.generation.options import GenerationOptions
from anyloom_serve.jobs import Failed
from anyloom_serve.worker import Worker

REQUESTS = 16


@torch.no_grad()
def text(quick: bool) -> Rows:
    """Greedy text of a fixed length; the token that ends a turn cannot come.

    Sixteen prompts are answered together, as a server does; transformers' generate takes them one after another, and
    also as one batch of equal lengths, which is the same sums again.
    """
    tokens = 8 if quick else 48
    with tempfile.TemporaryDirectory() as folder:
        model = model_of(Path(folder), **(QUICK if quick else {})).eval()
        prompt = Conversation([Message("user", "make it blue " * 6)])
        ids = model.interleaver()(prompt, open_answer=True).ids
        lm = model.llm.lm
        known = lm.get_input_embeddings().weight.shape[0]
        ways = (("1 prompt", 1, 1, 1.0), ("16 prompts", 16, 1, 4.0), ("16 prompts, as one batch", 16, 16, None))
        for name, count, batch, goal in ways:
            stacked = ids.clamp(max=known - 1)[None].expand(batch, -1).contiguous()
            made: dict[str, int] = {}

            def ours(count: int = count, made: dict[str, int] = made) -> None:
                options = {"max_new_tokens": tokens, "temperature": 0.0}
                answers = model.generate([prompt] * count, **options)
                assert isinstance(answers, list)
                made["ours"] = sum(len(s.tokens or ()) for a in answers for s in a.segments if hasattr(s, "tokens"))

            def theirs(
                stacked: torch.Tensor = stacked, calls: int = count // batch, made: dict[str, int] = made
            ) -> None:
                made["theirs"] = 0
                for _ in range(calls):
                    out = lm.generate(
                        stacked, attention_mask=torch.ones_like(stacked), max_new_tokens=tokens, do_sample=False,
                        pad_token_id=0, eos_token_id=[],
                    )  # fmt: skip
                    made["theirs"] += out[:, stacked.shape[1] :].numel()

            found = in_turns(ours, theirs, 1 if quick else 7)
            if not made["ours"]:
                continue
            per_token = found * made["ours"] / made["theirs"]
            yield Row(
                f"greedy text, {name}",
                "transformers generate" + ", one after another" * (batch < count),
                per_token,
                goal,
                note=f"tokens per CPU second; {made['ours']} and {made['theirs']} tokens",
                versions=versions("transformers"),
            )


def asked(model: AnyToAnyModel, prompt: Conversation, options: GenerationOptions, together: int) -> None:
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
        worker.submit(prompt, options, seed, emit)
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


def rows(quick: bool) -> Rows:
    """All of them."""
    yield from text(quick)
    rounds = 1 if quick else 5
    model = AnyToAnyModel.from_pretrained(shipped_weights("mini") or "", trust=True).eval()
    prompt = Conversation([Message("user", "Draw this: red apple, noto style.")])
    words = GenerationOptions(plan=("text",), max_new_tokens=32, temperature=1.0)
    for name, options in (("32 tokens of text", words), ("a picture", GenerationOptions(plan=("image",)))):
        found = in_turns(
            lambda o=options: asked(model, prompt, o, REQUESTS),  # type: ignore[misc]
            lambda o=options: asked(model, prompt, o, 1),  # type: ignore[misc]
            rounds,
        )
        yield Row(f"{REQUESTS} requests together: {name}", "one after another", found, 3.0)
    found = in_turns(lambda: turns(model, again=False), lambda: turns(model, again=True), rounds)
    yield Row("six turns of a session, a picture in each", "reading everything again", found, 1.0)
