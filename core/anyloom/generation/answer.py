"""One answer in the making: text so far, media so far, and what comes next.

Shape legend: L features per medium, D feature dim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.errors import ConversationError
from anyloom.generation.options import GenerationOptions, PlannedMedium
from anyloom.sequence.interleave import Tags

__all__ = ["Answer", "MadeMedium", "Run"]


@dataclass
class MadeMedium:
    """A medium of an answer before it is decoded.

    Args:
        modality: Its modality.
        reference: The medium it edits, if any; None if that is made in the same answer or there is none.
        reference_segment: Number of the segment of the same answer that it edits; None if there is none.
        named: Number of the reference among the media of the conversation, as the data would name it.
        features: ``(L, D)``, None until its run is over.

    >>> MadeMedium("picture", named=0).features is None
    True
    """

    modality: str
    reference: Media | None = None
    reference_segment: int | None = None
    named: int | None = None
    features: Tensor | None = None


@dataclass
class Run:
    """The run of positions that an answer is in.

    Args:
        modality: Of the medium.
        state: Of the representation.
        positions: Positions that have been fed.
    """

    modality: str
    state: Any
    positions: int = 0


@dataclass
class Answer:
    """State of one answer.

    Args:
        options: How to answer.
        seed: Of text, and with the number of a segment of its media.
        tags: The model's tags by modality.
        stops: Ids that end an answer.
        media: The media of the conversation so far, for references.
        before: Features ``(L, D)`` of the last medium of each modality that the model has read.
        segments: What it is so far: ids of text, and media.
        run: The run of positions it is in, if any.
        fed: Ids that were read after the prompt; positions of media hold the pad id.
        tokens: Text tokens so far.
        done: Whether it is over.
        room: Positions that the model has for it when it begins, None if there is no limit.

    >>> answer = Answer(GenerationOptions(), seed=1, tags={"picture": Tags(300, 301, 4, 4)}, stops=[2])
    >>> answer.take(17), answer.segments
    (17, [[17]])
    >>> answer.take(2), answer.done
    (2, True)
    """

    options: GenerationOptions
    seed: int
    tags: Mapping[str, Tags]
    stops: Sequence[int]
    media: list[Media] = field(default_factory=list)
    before: dict[str, Tensor] = field(default_factory=dict)
    segments: list[list[int] | MadeMedium] = field(default_factory=list)
    run: Run | None = None
    fed: list[int] = field(default_factory=list)
    tokens: int = 0
    done: bool = False
    room: int | None = None

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)
        self._plan = self.options.segments
        self._forced = self.options.forced
        self._names = {tags.begin: name for name, tags in self.tags.items()}

    @property
    def made(self) -> int:
        """Media begun so far."""
        return sum(isinstance(s, MadeMedium) for s in self.segments)

    def fits(self, positions: int) -> bool:
        """Whether the model has so many positions left."""
        return self.room is None or len(self.fed) + positions <= self.room

    def must(self) -> PlannedMedium | int | None:
        """What has to come next: a medium, the id that ends the answer, or None where a token is sampled."""
        if not self.fits(1):
            return self.stops[0]
        if self._plan is not None:
            if not self._plan:
                return self.stops[0]
            if self._plan[0] is not None:
                return self._plan[0]
            return self._leave_text() if self.tokens >= self.options.max_new_tokens else None
        if self._forced:
            return self._forced[0]
        return self.stops[0] if self.tokens >= self.options.max_new_tokens else None

    def banned(self) -> list[int]:
        """Begin tags that may not be sampled now."""
        if self._plan is not None:
            return []
        if self.made >= self.options.max_media:
            return list(self._names)
        return [
            begin
            for begin, name in self._names.items()
            if self.options.media.get(name) == "forbid" or not self.fits(self.tags[name].made + 2)
        ]

    def take(self, token: int) -> int:
        """Go on with a sampled token; returns the id that is read next."""
        if self._plan is not None and (token in self.stops or token in self._names):
            left = self._leave_text()
            return self.begin(left) if isinstance(left, PlannedMedium) else self.end(left)
        if token in self.stops:
            return self.end(token)
        if token in self._names:
            return self.begin(PlannedMedium(modality=self._names[token]))
        if not self.segments or isinstance(self.segments[-1], MadeMedium):
            self.segments.append([])
        text = self.segments[-1]
        assert isinstance(text, list)
        text.append(token)
        self.tokens += 1
        return token

    def _leave_text(self) -> PlannedMedium | int:
        """End the plan's text segment; returns what comes after it."""
        assert self._plan is not None
        while self._plan and self._plan[0] is None:
            self._plan.pop(0)
        following = self._plan[0] if self._plan else None
        return self.stops[0] if following is None else following

    def end(self, token: int) -> int:
        """End the answer with one of its stop ids."""
        self.done = True
        return token

    def begin(self, medium: PlannedMedium) -> int:
        """Begin a medium; returns its begin tag. The caller gives the run its state.

        Raises:
            anyloom.errors.ConversationError: The model has no positions left for it.
        """
        if not self.fits(self.tags[medium.modality].made + 2):
            raise ConversationError(
                f"no room is left for the {medium.modality} that was asked for: the model has no more positions",
                where="generate",
                fix="shorten the conversation, or ask for fewer media",
            )
        if self._plan is not None:
            self._plan.pop(0)
        elif self._forced:
            self._forced.pop(0)
        self.segments.append(self._placed(medium))
        self.run = Run(medium.modality, None)
        return self.tags[medium.modality].begin

    def _placed(self, medium: PlannedMedium) -> MadeMedium:
        """A medium with its reference: the one that was named, or by the model's rule."""
        if medium.reference is not None and medium.reference < len(self.media):
            return MadeMedium(medium.modality, self.media[medium.reference], named=medium.reference)
        if self.tags[medium.modality].reference == "named":
            return MadeMedium(medium.modality)
        own = [n for n, s in enumerate(self.segments) if isinstance(s, MadeMedium) and s.modality == medium.modality]
        if own:
            return MadeMedium(medium.modality, reference_segment=own[-1])
        earlier = [n for n, m in enumerate(self.media) if m.modality == medium.modality]
        return (
            MadeMedium(medium.modality, self.media[earlier[-1]], named=earlier[-1])
            if earlier
            else MadeMedium(medium.modality)
        )

    def finish(self, features: Tensor, *, readable: bool) -> int:
        """End the run with the medium's features ``(L, D)``; returns the end tag.

        Args:
            features: What was predicted.
            readable: Whether these are of the space that the model reads, so that they are what comes before the next.
        """
        assert self.run is not None
        medium = self.segments[-1]
        assert isinstance(medium, MadeMedium)
        medium.features = features
        if readable:
            self.before[medium.modality] = features
        end = self.tags[self.run.modality].end
        self.run = None
        return end
