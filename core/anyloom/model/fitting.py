"""Makes the tensors of a saved model fit a model that has other parts: some are left out, others start new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from torch import Tensor

from anyloom.errors import CheckpointError, nearest

__all__ = ["fitted", "fitting_parts"]

_TABLES: Final = ("encoders", "decoders", "representations", "couplers", "losses")


def fitted(
    own: Mapping[str, Tensor],
    saved: Mapping[str, Tensor],
    *,
    modalities: tuple[Iterable[str], Iterable[str]],
    parts: Sequence[str] = (),
) -> tuple[dict[str, Tensor], list[str]]:
    """Return a tensor for each name of a model, saved where it can be, and the parts that start new.

    A part starts new as a whole: an encoder, decoder, representation, coupler or loss of which nothing is saved. A
    model with more modalities has more tags; the LLM's rows of a modality that was saved are the saved ones.

    Args:
        own: The model's tensors, by name.
        saved: The saved model's.
        modalities: Names of the saved model's modalities, and of this model's.
        parts: Take only these from the saved model: tables or single parts, such as ``encoders`` or ``decoders.brush``.

    Raises:
        anyloom.errors.CheckpointError: Something in ``parts`` is in neither of the models.
    """
    if parts:
        saved = _chosen(own, saved, parts)
    tensors = dict(saved)
    new: dict[str, None] = {}
    for name, tensor in own.items():
        part = part_of(name)
        if not any(part_of(other) == part for other in saved) and (parts or part.split(".")[0] in _TABLES):
            tensors[name] = tensor
            new[part] = None
        elif name in saved and name.startswith("llm.") and saved[name].shape != tensor.shape:
            tensors[name] = _with_rows(tensor, saved[name], *map(sorted, modalities))
    return tensors, list(new)


def fitting_parts(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> list[str]:
    """The parts of a model of which the saved tensors have the same names and shapes.

    >>> import torch
    >>> own = {"encoders.eye.w": torch.zeros(2), "llm.w": torch.zeros(3)}
    >>> fitting_parts(own, {"encoders.eye.w": torch.ones(2), "llm.w": torch.ones(4)})
    ['encoders.eye']
    """
    mine, theirs = ({part_of(name): dict[str, Tensor]() for name in tensors} for tensors in (own, saved))
    for tensors, table in ((own, mine), (saved, theirs)):
        for name, tensor in tensors.items():
            table[part_of(name)][name] = tensor
    return [
        part
        for part, tensors in mine.items()
        if tensors.keys() == theirs.get(part, {}).keys()
        and all(tensor.shape == theirs[part][name].shape for name, tensor in tensors.items())
    ]


def part_of(name: str) -> str:
    """The part that a tensor belongs to.

    >>> part_of("decoders.brush.unet.conv_in.weight"), part_of("llm.lm.norm.weight")
    ('decoders.brush', 'llm')
    """
    table, _, rest = name.partition(".")
    return f"{table}.{rest.partition('.')[0]}" if table in _TABLES else table


def _chosen(own: Mapping[str, Tensor], saved: Mapping[str, Tensor], parts: Sequence[str]) -> dict[str, Tensor]:
    """The saved tensors of some parts, of those that this model has."""
    known = {part_of(name) for name in own}
    known |= {part.split(".")[0] for part in known}
    for part in parts:
        for names, whose in ((known, "this model"), ({part_of(n) for n in saved}, "the saved model")):
            if not any(_within(name, part) for name in names):
                fix = nearest(part, known) or f"parts: {', '.join(sorted(known))}"
                raise CheckpointError(f"{whose} has no part {part!r}", where="module.start_from.parts", fix=fix)
    own_parts = {part_of(name) for name in own}
    return {
        name: tensor
        for name, tensor in saved.items()
        if part_of(name) in own_parts and any(_within(part_of(name), part) for part in parts)
    }


def _within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def _with_rows(own: Tensor, saved: Tensor, old: list[str], new: list[str]) -> Tensor:
    """The rows of the tags of all modalities: two of each, in the order of their sorted names.

    What has another shape for another reason is returned as it was saved; loading it will tell.
    """
    fits = own.shape[1:] == saved.shape[1:] and len(saved) == 2 * len(old) and len(own) == 2 * len(new)
    if not fits or not set(old) <= set(new):
        return saved
    rows = own.clone()
    for number, name in enumerate(old):
        place = new.index(name)
        rows[2 * place : 2 * place + 2] = saved[2 * number : 2 * number + 2].to(rows.dtype)
    return rows
