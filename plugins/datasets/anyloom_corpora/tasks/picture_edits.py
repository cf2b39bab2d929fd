"""Instructed, exemplar and multi-round editing of pictures.

Fields: ``before``, ``after`` and ``edit``, the instruction between them. Records of one group (:class:`RelatedSource`)
share their edit: the seeds of one InstructPix2Pix prompt, or rows with the same instruction. A record may also bring
``pairs`` of its own edit.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.interfaces import Sample
from anyloom_corpora.tasks.derived import derived_image
from anyloom_corpora.tasks.view import Parts, View

__all__ = ["edit_picture", "exemplar_picture", "picture_rounds", "picture_turns"]

_GIVEN: Final = (
    "Given the transformation between each first and second picture, apply the same editing to this one:",
    "Find out what was changed from the first picture to the second. Change this picture likewise:",
)


def edit_picture(view: View) -> Sample:
    """A picture and an instruction; the edited picture is the target (zero-shot editing)."""
    before = view.media("before")
    user: Parts = [before, _sentence(view.text("edit"))]
    captions = {name: str(text) for name in ("caption", "edited_caption") if (text := view.record.get(name))}
    return view.sample(user, [view.media("after")], reference=before.key, operation=view.text("edit"), **captions)


def exemplar_picture(view: View, shots: tuple[int, ...] = (1, 2, 4)) -> Sample:
    """Pairs of pictures that share an edit, and one more picture; that picture after the same edit is the target.

    If the group is smaller than the number of pairs drawn, all of it is shown; one pair at least.
    """
    examples = _examples(view, view.choose(shots))
    user: list[str | Media] = []
    for first, second in examples:
        user += ["From ", first, " to ", second, ". "]
    before = view.media("before")
    user += [f"{view.choose(_GIVEN)} ", before]
    edit = str(view.record.get("edit") or "")
    return view.sample(user, [view.media("after")], reference=before.key, operation=edit, shots=len(examples))


def picture_rounds(view: View) -> Sample:
    """Two rounds: the data set's edit, then an edit of that answer (grey, mirrored, darker, upside down).

    No published set has chains of edits, so the second one is an operation on pixels whose result is exact.
    """
    before, after = view.media("before"), view.media("after")
    name = view.choose(list(_PIXELS))
    result = derived_image(name, _Pixels(name), after)
    second = view.choose(_PIXELS[name][0])
    first: tuple[Parts, Parts] = ([before, _sentence(view.text("edit"))], [after])
    return view.dialogue([first, ([second], [result])], reference=after.key, operation=name)


def picture_turns(view: View, turns: int = 2) -> Sample:
    """Several rounds: the data set's edit, then operations on pixels, each another one, on the answer before.

    Their order is the record's, so fewer turns are the first of more. The last answer counts, and the earlier ones are
    to be the model's own when it is evaluated. ``real`` is the picture that the user gave.
    """
    before, state = view.media("before"), view.media("after")
    rounds: list[tuple[Parts, Parts]] = [([before, _sentence(view.text("edit"))], [state])]
    order = random.Random(view.key).sample(list(_PIXELS), len(_PIXELS))
    for name in order[: turns - 1]:
        state = derived_image(name, _Pixels(name), state)
        rounds.append(([_PIXELS[name][0][0]], [state]))
    operation = order[turns - 2] if turns > 1 else view.text("edit")
    return view.dialogue(rounds, own_history=True, turns=turns, real=(before,), operation=operation)


def _examples(view: View, count: int) -> list[tuple[Media, Media]]:
    """Return pairs with the record's edit: its own (``pairs``), else those of its group."""
    own = list(view.record.get("pairs") or ())
    if own:
        return view.rng.sample(own, min(count, len(own)))
    return [(other.media("before"), other.media("after")) for other in view.related(1, count)]


@dataclass(frozen=True)
class _Pixels:
    name: str

    def __call__(self, media: Media) -> Tensor:
        data = media.tensor()
        values = data.float() / 255 if data.dtype == torch.uint8 else data
        return _PIXELS[self.name][1](values)


def _grey(pixels: Tensor) -> Tensor:
    """Take the luma of ITU-R BT.601 in all three channels."""
    luma = (pixels * pixels.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    return luma.expand_as(pixels).contiguous()


def _mirrored(pixels: Tensor) -> Tensor:
    return pixels.flip(-1)


def _darker(pixels: Tensor) -> Tensor:
    return pixels * 0.5


def _upside_down(pixels: Tensor) -> Tensor:
    return pixels.flip(-1, -2)


_PIXELS: Final[MappingProxyType[str, tuple[tuple[str, ...], Callable[[Tensor], Tensor]]]] = MappingProxyType(
    {
        "grey": (("Now make it black and white.", "Take the colours out of it."), _grey),
        "mirror": (("Now mirror it left to right.", "Swap its left and right."), _mirrored),
        "darker": (("Now make it half as bright.", "Darken it by half."), _darker),
        "upside-down": (("Now turn it upside down.", "Rotate it by half a turn."), _upside_down),
    }
)


def _sentence(instruction: str) -> str:
    """Return an instruction with a capital letter and a full stop.

    >>> _sentence("make it snow")
    'Make it snow.'
    """
    text = instruction[0].upper() + instruction[1:]
    return text if text[-1] in ".!?" else f"{text}."
