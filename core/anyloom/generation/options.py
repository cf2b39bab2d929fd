"""How to answer: what may be made, in which order, and how tokens and media are sampled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from anyloom.conversation.segments import Conversation
from anyloom.errors import ConfigError, ConversationError
from anyloom.options import Section

__all__ = ["GenerationOptions", "PlannedMedium", "checked_conversations", "checked_seeds"]


class PlannedMedium(Section):
    """One medium of a plan.

    Args:
        modality: Its modality.
        reference: Number, among the media of the conversation, of the one it edits; None leaves it to the model's
            rule (``model.modalities.<m>.reference``).

    >>> GenerationOptions(plan=("text", PlannedMedium(modality="picture", reference=0))).segments
    [None, PlannedMedium(modality='picture', reference=0)]
    """

    modality: str
    reference: NonNegativeInt | None = None


class GenerationOptions(Section):
    """How to answer.

    Args:
        media: By modality: ``force`` (the answer begins with one, in the order given), ``allow`` (the default:
            when the model begins one) or ``forbid``. Not together with a plan.
        plan: The segments of the answer in order: ``"text"``, or a medium as its modality or a
            :class:`PlannedMedium`. A text segment ends where the model would end it or begin a medium.
        max_new_tokens: Text tokens per answer, at most.
        max_media: Media per answer, at most; a plan has its own number.
        temperature: Of text sampling; 0 takes the likeliest token.
        top_p: Nucleus of text sampling.
        decode: Make media from predicted features. If False, media carry features only.
        sampling: Options of the decoders, by modality; see each decoder's ``Sampling``.

    >>> GenerationOptions(temperature=0.7, max_new_tokens=8).top_p
    1.0
    >>> len(GenerationOptions(plan=("text", "picture")).segments)
    2
    """

    media: dict[str, Literal["force", "allow", "forbid"]] = Field(default_factory=dict)
    plan: tuple[str | PlannedMedium, ...] | None = None
    max_new_tokens: NonNegativeInt = 64
    max_media: NonNegativeInt = 4
    temperature: NonNegativeFloat = 0.0
    top_p: float = Field(1.0, gt=0, le=1)
    decode: bool = True
    sampling: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def check(self, modalities: Iterable[str]) -> None:
        """Refuse what a model of some modalities cannot do.

        Raises:
            anyloom.errors.ConversationError: A modality is not one of the model's, or plan and media are both given.
        """
        known = list(modalities)
        planned = [_modality(item) for item in self.plan or ()]
        for where, names in (("media", list(self.media)), ("plan", planned), ("sampling", list(self.sampling))):
            for name in names:
                if name not in known and not (where == "plan" and name == "text"):
                    raise ConversationError(
                        f"the model does not make {name!r}",
                        where=f"generate.{where}",
                        fix=f"it makes {', '.join(known)}",
                    )
        if self.plan is not None and self.media:
            raise ConversationError(
                "a plan already says which media come", where="generate.media", fix="give either a plan or media"
            )

    @property
    def forced(self) -> list[PlannedMedium]:
        """The media the answer begins with, where there is no plan."""
        return [PlannedMedium(modality=name) for name, how in self.media.items() if how == "force"]

    @property
    def segments(self) -> list[PlannedMedium | None] | None:
        """The plan's segments, None standing for text; None without a plan."""
        if self.plan is None:
            return None
        return [None if item == "text" else _planned(item) for item in self.plan]


def checked_conversations(given: Any) -> list[Conversation]:
    """Return what a caller gave as conversations as a list.

    Args:
        given: A conversation, or a list of them.

    Raises:
        anyloom.errors.ConversationError: It is something else.

    >>> from anyloom.conversation import Message
    >>> len(checked_conversations(Conversation([Message("user", "hello")])))
    1
    >>> try:
    ...     checked_conversations("hello")
    ... except ConversationError as error:
    ...     print(error.fix)
    give anyloom.Conversation([anyloom.Message("user", "hello")]), or a list of them
    """
    fix = 'give anyloom.Conversation([anyloom.Message("user", "hello")]), or a list of them'
    if isinstance(given, Conversation):
        return [given]
    if not isinstance(given, list | tuple):
        raise ConversationError(f"expected a conversation, got {type(given).__name__}", where="generate", fix=fix)
    for n, one in enumerate(given):
        if not isinstance(one, Conversation):
            what = f"conversation {n} is of type {type(one).__name__}"
            raise ConversationError(what, where="generate", fix=fix)
    return list(given)


def checked_seeds(seed: Any, count: int) -> list[int]:
    """Return a seed for each of some conversations.

    Args:
        seed: One for the first, from which the others count on, or one for each.
        count: Number of conversations.

    Raises:
        anyloom.errors.ConfigError: They are not as many, or no numbers that random generators take.

    >>> checked_seeds(7, 3), checked_seeds([1, 5], 2)
    ([7, 8, 9], [1, 5])
    """
    one = isinstance(seed, Integral) and not isinstance(seed, bool)  # numpy's whole numbers are such too
    seeds = [int(seed) + i for i in range(count)] if one else list(seed) if isinstance(seed, list | tuple) else [seed]
    for value in seeds:
        if not isinstance(value, Integral) or isinstance(value, bool) or not -(2**63) <= int(value) < 2**64:
            fix = "give a whole number below 2**64, or a list of them"
            raise ConfigError(f"{value!r:.40} is no seed", where="generate.seed", fix=fix)
    if len(seeds) != count:
        raise ConfigError(f"{len(seeds)} seeds for {count} conversations", where="generate.seed", fix="give one each")
    return [int(value) for value in seeds]


def _modality(item: str | PlannedMedium) -> str:
    return item if isinstance(item, str) else item.modality


def _planned(item: str | PlannedMedium) -> PlannedMedium:
    return PlannedMedium(modality=item) if isinstance(item, str) else item


def sampling_of(options: Mapping[str, Mapping[str, Any]], modality: str) -> dict[str, Any]:
    """The decoder options of a modality.

    >>> sampling_of({"picture": {"denoising_steps": 4}}, "picture")
    {'denoising_steps': 4}
    """
    return dict(options.get(modality, {}))
