"""Answers of an evaluation, kept on disk until its results are written, so that a run that was cut off goes on.

A file for each call of the model, named by a hash of everything that the answer depends on: the weights, the questions
with their media, the seeds and the options. So an answer can never be taken for that of another question.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyloom.conversation import Conversation, Media, Message, Text
from anyloom.errors import AnyloomError
from anyloom.storage.json_text import json_value

if TYPE_CHECKING:
    from anyloom.generation.options import GenerationOptions
    from anyloom.model.model import AnyToAnyModel

__all__ = ["KeptAnswers"]

_FOLDER: Final = "answers.kept"


class KeptAnswers:
    """Stands in for a model's ``answer``.

    Args:
        model: The model.
        folder: Of the evaluation; the answers are kept below it.
        identity: What tells this model from others, such as hashes of its weights and its precision.

    Attributes:
        found: How many calls were answered from disk.
    """

    def __init__(self, model: AnyToAnyModel, folder: Path, identity: Mapping[str, str]) -> None:
        self.folder = folder / _FOLDER
        self.identity = dict(identity)
        self.found = 0
        self._answer = model.answer
        vars(model)["answer"] = self  # an attribute of its own comes before its class's method

    def __call__(
        self, conversations: Sequence[Conversation], seeds: Sequence[int], options: Sequence[GenerationOptions]
    ) -> list[Message]:
        """Answer as the model does, from disk where it has answered before."""
        file = self.folder / f"{self._name(conversations, seeds, options)}.safetensors"
        answers = _read(file) if file.is_file() else None
        if answers is not None and len(answers) == len(conversations):
            self.found += 1
            return answers
        made = self._answer(conversations, seeds, options)
        _write(file, made)
        return _read(file) or made  # how tensors lie in memory decides how sums over them are rounded

    def remove(self) -> None:
        """Delete the answers; the results are written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _name(self, asked: Sequence[Conversation], seeds: Sequence[int], options: Sequence[GenerationOptions]) -> str:
        questions = [[[m.role, [_content(s) for s in m.segments]] for m in c.messages] for c in asked]
        chosen = [repr(o) for o in options]
        text = json.dumps([self.identity, questions, list(seeds), chosen], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def _content(segment: Text | Media) -> list[Any]:
    """What a segment says, in a form that can be hashed."""
    if isinstance(segment, Text):
        return ["text", segment.text]
    if segment.key:
        return [segment.modality, segment.key, dict(segment.meta)]
    tensor = segment.tensor().detach().cpu().contiguous()
    digest = hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
    return [segment.modality, digest, list(tensor.shape), dict(segment.meta)]


def _write(file: Path, answers: Sequence[Message]) -> None:
    from anyloom.storage.tensors import write_tensors

    tensors: dict[str, Any] = {}
    described = []
    for number, answer in enumerate(answers):
        parts: list[dict[str, Any]] = []
        for place, segment in enumerate(answer.segments):
            if isinstance(segment, Text):
                parts.append({"text": segment.text})
                continue
            parts.append({"modality": segment.modality, "key": segment.key, "meta": dict(segment.meta)})
            for name, value in (("data", segment.data), ("features", segment.features)):
                if value is not None:
                    tensors[f"{number}.{place}.{name}"] = value.detach().cpu()
        described.append({"role": answer.role, "parts": parts})
    write_tensors(tensors, file, {"answers": json.dumps(described)})


def _read(file: Path) -> list[Message] | None:
    """The answers of a file, or None if it is damaged: they are made again then."""
    from safetensors import SafetensorError, safe_open

    from anyloom.storage.tensors import read_tensors

    try:
        tensors = read_tensors(file)
        with safe_open(file, "pt") as opened:
            described = json_value(opened.metadata()["answers"])
        return [_message(number, value, tensors) for number, value in enumerate(described)]
    except (AnyloomError, SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None


def _message(number: int, value: Mapping[str, Any], tensors: Mapping[str, Any]) -> Message:
    segments: list[Text | Media] = []
    for place, part in enumerate(value["parts"]):
        if "text" in part:
            segments.append(Text(part["text"]))
            continue
        data, features = (tensors.get(f"{number}.{place}.{name}") for name in ("data", "features"))
        segments.append(Media(part["modality"], data, key=part["key"], meta=part["meta"], features=features))
    return Message(value["role"], segments)
