"""The model as lmms-eval asks it: text from conversations with pictures, sounds and clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from anyloom.cli.model_argument import placed
from anyloom.errors import AnyloomError, ConfigError
from anyloom.model.model import AnyToAnyModel
from anyloom.sequence.seeds import seed_of
from anyloom_suites.lmms.prompts import cut, options_of, prompt_of

try:
    from lmms_eval.api.model import lmms
except ImportError:  # lmms-eval alone asks for the class; others only read this file
    lmms = object

__all__ = ["AnyloomChat"]


class AnyloomChat(lmms):  # type: ignore[misc]
    """Answers lmms-eval's requests.

    Args:
        pretrained: Folder of a saved model, ``OWNER/NAME`` on the hub, or a recipe that ships with weights.
        batch_size: Requests answered together; no answer depends on it.
        device: As torch names it, or ``auto`` for an accelerator if there is one.
        max_batch_size: Not used: lmms-eval gives it to every model.
        dtype: ``float32``, ``bfloat16`` or ``float16``; None leaves it.
        seed: Of answers that are sampled.
        trust: Import the classes that the model names by path.
        download: Fetch the model from the hub.

    Raises:
        anyloom.errors.AnyloomError: There is no such model or device, or an option is wrong.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        batch_size: int | str = 1,
        device: str = "auto",
        max_batch_size: int | None = None,
        dtype: str | None = None,
        seed: int = 0,
        trust: bool = False,
        download: bool = False,
    ) -> None:
        super().__init__()
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise ConfigError(f"{batch_size!r} is no number of requests", where="--batch_size", fix="give 1 or more")
        self.batch_size, self.seed = int(batch_size), seed
        model = AnyToAnyModel.from_pretrained(str(pretrained), trust=trust, download=download)
        self.model = placed(model, device, dtype)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer requests with text, in their order.

        Args:
            requests: lmms-eval's instances. One that is asked again, as tasks with ``repeats`` do, draws anew.

        Raises:
            anyloom.errors.AnyloomError: A request cannot be read.
        """
        texts: list[str] = []
        asked: Counter[str] = Counter()
        for start in range(0, len(requests), self.batch_size):
            batch = [request.args for request in requests[start : start + self.batch_size]]
            names = [f"{task}/{split}/{document}" for _, _, _, document, task, split in batch]
            seeds = []
            for name in names:
                seeds.append(seed_of(self.seed, name, asked[name]))
                asked[name] += 1
            prompts = [
                prompt_of(messages(self.task_dict[task][split][document]), name)
                for name, (_, messages, _, document, task, split) in zip(names, batch)
            ]
            options = [options_of(wanted, self.model.config.modalities) for _, _, wanted, *_ in batch]
            for answer, (context, _, wanted, *_) in zip(self.model.answer(prompts, seeds, options), batch):
                texts.append(cut(answer.text, wanted.get("until")))
                self.cache_hook.add_partial("generate_until", (context, wanted), texts[-1])
        return texts

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refused: such a task gives the answers, and the model is not asked how likely they are."""
        raise _no("tasks of loglikelihood")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refused: a round after the first would need the medium that the one before it made."""
        raise _no("tasks of several rounds")


def _no(what: str) -> AnyloomError:
    return AnyloomError(f"{what} are not answered", where="lmms-eval --model anyloom", fix="take a task that generates")
