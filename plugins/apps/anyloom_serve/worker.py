"""The thread that owns the model: it advances all answers together, one position at a time.

Requests join while others run and leave when they are done or nobody waits any more. Media that are predicted at about
the same time are decoded together. A request that makes a step fail is found by going on with each alone, so that it
fails alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

import torch

from anyloom.conversation import Conversation
from anyloom.errors import AnyloomError, ConversationError
from anyloom.generation.decoding import decode
from anyloom.generation.engine import Engine
from anyloom.generation.events import Event
from anyloom.generation.generate import check_options, new_answer
from anyloom.generation.options import GenerationOptions, PlannedMedium
from anyloom.generation.reading import read
from anyloom.interfaces.progress import watching_progress
from anyloom.network.network import Network
from anyloom_serve.jobs import Failed, Job

__all__ = ["ServerFullError", "Worker"]

_PATIENCE = 16
"""Steps that a predicted medium waits at most for others to be decoded with."""


class ServerFullError(AnyloomError):
    """Too many requests wait; come back later."""


class _NobodyWaitsError(Exception):
    """All who asked for what is being decoded have left."""


class Worker:
    """Answers jobs in a thread of its own, from :meth:`start` to :meth:`close`.

    Args:
        network: The model; nobody else may use it meanwhile.
        together: Answers that are made at the same time.
        waiting: Jobs that may wait for a place.
    """

    def __init__(self, network: Network, *, together: int = 16, waiting: int = 64) -> None:
        self.network, self.together, self.waiting = network.eval(), together, waiting
        self.steps = 0
        self._queue: deque[Job] = deque()
        self._running: list[Job] = []
        self._read: list[Job] = []
        """Jobs whose prompts are being read: no more in the queue, and not running yet."""
        self._engine = Engine(network)
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="anyloom-worker", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(
        self,
        conversation: Conversation,
        options: GenerationOptions,
        seed: int,
        emit: Callable[[Event | Failed], None],
    ) -> Job:
        """Take a job in.

        Args:
            conversation: The prompt.
            options: How to answer.
            seed: Of the answer.
            emit: Called from the worker's thread with each event.

        Raises:
            ServerFullError: Too many wait already, or the server is going down.
            anyloom.errors.AnyloomError: The options are wrong for the model.
        """
        check_options(self.network, options)
        job = Job(conversation, options, seed, emit)
        with self._wake:
            if self._closing:
                raise ServerFullError("the server is going down", fix="ask another one")
            if len(self._queue) >= self.waiting + max(self.together - len(self._running), 0):
                raise ServerFullError(
                    f"{len(self._queue)} requests are waiting already", fix="try again in some seconds"
                )
            self._queue.append(job)
            self._wake.notify()
        return job

    @property
    def load(self) -> tuple[int, int]:
        """Answers in the making, and requests that wait."""
        return len(self._running) + len(self._read), len(self._queue)

    def close(self, seconds: float = 30.0) -> bool:
        """Take nothing in any more and finish what has been taken; what is not done in time fails.

        Returns:
            Whether all was finished.
        """
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(seconds)
        done = not self._thread.is_alive()
        for job in [*self._running, *self._queue]:
            if not job.over:
                job.cancel()
                job.fail(ServerFullError("the server has gone down", fix="ask again"))
        self._thread.join(seconds)
        return done

    def _run(self) -> None:
        with torch.no_grad():
            while self._wait():
                self._forget_those_left()
                self._admit()
                if self._running:
                    self._step()

    def _wait(self) -> bool:
        """Sleep until there is something to do; False when all is done and the worker is to end."""
        with self._wake:
            while not self._running and not self._queue:
                if self._closing:
                    return False
                self._wake.wait()
        return True

    def _forget_those_left(self) -> None:
        with self._wake:
            self._queue = deque(job for job in self._queue if not job.left.is_set())
        for job in [j for j in self._running if j.left.is_set()]:
            self._leave(job)

    def _leave(self, job: Job) -> None:
        self._running = [j for j in self._running if j is not job]
        if any(answer is job.answer for answer in self._engine.answers):
            assert job.answer is not None
            self._engine.drop(job.answer)

    def _admit(self) -> None:
        """Read the prompts of waiting jobs for which there are places, together; of those that fail each alone."""
        with self._wake:
            places = self.together - len(self._running)
            jobs = self._read = [self._queue.popleft() for _ in range(min(places, len(self._queue)))]
        if jobs:
            self._begin_or_fail(jobs)
        self._read = []

    def _begin_or_fail(self, jobs: list[Job]) -> None:
        try:
            self._begin(self._engine, jobs)
        except Exception:
            for job in jobs:
                try:
                    self._begin(self._engine, [job])
                except Exception as error:  # told to whoever asked; the others go on
                    job.fail(error)
                else:
                    self._running.append(job)
        else:
            self._running += jobs

    def _begin(self, engine: Engine, jobs: Sequence[Job]) -> None:
        """Read prompts in one pass; nothing of the engine changes where that fails."""
        interleave = self.network.interleaver()
        prompts = [interleave(job.conversation, open_answer=True) for job in jobs]
        reading = read(self.network, prompts)
        answers = []
        for job in jobs:
            job.answer = new_answer(self.network, job.conversation, job.seed, job.options)
            job.made, job.age = {}, 0
            answers.append(job.answer)
        engine.add(answers, reading)

    def _step(self) -> None:
        for job in [j for j in self._running if _has_no_room(j)]:
            self._leave(job)
            job.fail(ConversationError("the model has no positions left for the medium", where="generate"))
        try:
            if self._engine.answers:
                self._engine.step()
                self.steps += 1
        except Exception:
            self._one_by_one()
            return
        self._engine.finished.clear()
        self._tell(self._running)

    def _tell(self, jobs: Sequence[Job]) -> None:
        """Decode what is due, send what is new, and let go of what is done."""
        waiting = [job for job in jobs if job.undecoded]
        for job in waiting:
            job.age += 1
        in_runs = any(job.answer is not None and job.answer.run is not None for job in jobs)
        due = [j for j in waiting if j.age > _PATIENCE or (j.answer is not None and j.answer.done)]
        if waiting and (due or not in_runs):
            self._decode(waiting)
        for job in list(jobs):
            if job.over:
                continue
            job.tell(self.network)
            if job.answer is not None and job.answer.done and not job.undecoded:
                self._running = [j for j in self._running if j is not job]
                job.finish(self.network)

    def _decode(self, jobs: Sequence[Job]) -> None:
        """Make the media of several answers; coupled media of an answer wait until it is over.

        A decoder that works in steps breaks off when nobody waits for any of them.
        """
        ready = [j for j in jobs if j.answer is not None and (j.answer.done or not self.network.config.couple)]
        if not ready:
            return

        def watch(done: int, total: int) -> None:
            if all(job.left.is_set() for job in ready):
                raise _NobodyWaitsError

        try:
            with watching_progress(watch):
                made = decode(self.network, [j.answer for j in ready if j.answer], [j.made for j in ready])
        except _NobodyWaitsError:  # they are forgotten before the next step
            return
        except Exception as error:
            if len(ready) > 1:
                for job in ready:
                    self._decode([job])
                return
            self._leave(ready[0])
            ready[0].fail(error)
            return
        for job, own in zip(ready, made):
            job.made, job.age = own, 0

    def _one_by_one(self) -> None:
        """Begin all answers again, each alone: the one whose step fails fails alone, the others come as they would."""
        jobs, self._running, self._engine = self._running, [], Engine(self.network)
        for job in jobs:
            engine = Engine(self.network)
            try:
                self._begin(engine, [job])
                while engine.answers and not job.left.is_set():
                    engine.step()
                    self._tell([job])
            except Exception as error:
                job.fail(error)


def _has_no_room(job: Job) -> bool:
    """Whether an answer is about to begin a medium for which the model has no positions left."""
    answer = job.answer
    if answer is None or answer.done or answer.run is not None:
        return False
    must = answer.must()
    return isinstance(must, PlannedMedium) and not answer.fits(answer.tags[must.modality].made + 2)
