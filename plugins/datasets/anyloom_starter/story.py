"""The data set ``starter-story``: three rounds about one held-out subject, each beside the same question alone.

A picture is edited as an example shows, the answer is edited again in words, and a sound is asked for. The rounds are
tasks: ``story-show``, ``story-again``, ``story-hear``; ``...-alone`` asks the same without what came before it: without
the example, about the first picture, without the pictures. Earlier answers are the model's own (``own_history``).
Nothing is drawn by chance: subjects, examples and sounds come in the order of their names, edits take turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from pydantic import Field

from anyloom.conversation import Conversation, Media, Message
from anyloom.errors import ConfigError
from anyloom.interfaces import DatasetBuilder, Sample
from anyloom.interfaces.component import ComponentConfig
from anyloom_starter.candidates import candidates
from anyloom_starter.captions import sound_caption
from anyloom_starter.edits import phrasings
from anyloom_starter.media import media_of_key, picture_media, sound_media
from anyloom_starter.pack import Picture, Sound, load_pack
from anyloom_starter.picture_edits import exemplar_sample
from anyloom_starter.pool import Pair
from anyloom_starter.tasks import instruction

__all__ = ["StoryBuilder"]

_STYLE: Final = "noto"
_HEAR: Final = "Let me hear {}."


class StoryBuilder(DatasetBuilder):
    """Stories of three rounds, six samples each.

    ``test`` is about subjects that no training has seen, ``val`` about others.

    >>> samples = StoryBuilder(StoryBuilder.Config(num_stories=1)).build("test")
    >>> [sample.task for sample in map(samples.__getitem__, range(len(samples)))]
    ['story-show', 'story-show-alone', 'story-again', 'story-again-alone', 'story-hear', 'story-hear-alone']
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            num_stories: How many subjects, from the first in the order of their names.
            first: Edits that the example shows; they take turns.
            second: Edits that are asked for in words after it; they take turns, and none is of the same family.
        """

        num_stories: int = Field(40, ge=1)
        first: tuple[str, ...] = Field(("geometry/upside-down", "geometry/mirror"), min_length=1)
        second: tuple[str, ...] = Field(("colour/opposite", "colour/dark", "colour/shift-third"), min_length=1)

    config: Config

    def build(self, split: str, epoch: int = 0) -> list[Sample]:
        """Return the samples, story by story.

        Raises:
            anyloom.errors.ConfigError: The split does not exist.
        """
        del epoch
        if split not in ("val", "test"):
            raise ConfigError(f"there is no split {split!r}", where="starter-story", fix="use val or test")
        subjects = _subjects("train" if split == "val" else "test", (*self.config.first, *self.config.second))
        count = min(self.config.num_stories, len(subjects))
        return [sample for n in range(count) for sample in self._story(split, subjects[n], n, count)]

    def media(self, key: str) -> Media:
        """Return the medium of a key, as in the provenance of samples."""
        return media_of_key(key)

    def _story(self, split: str, picture: Picture, number: int, count: int) -> list[Sample]:
        first = self.config.first[number % len(self.config.first)]
        second = self.config.second[number % len(self.config.second)]
        shown = next(p for p in _from(_subjects("train", (first,)), number) if p.subject != picture.subject)
        sounds = _named_sounds()
        sound = sounds[number * len(sounds) // count]
        before, once, twice = (
            picture_media(picture),
            picture_media(picture, first),
            picture_media(picture, first, second),
        )
        query, pair = _pair(picture, first), _pair(shown, first)
        again, hear = instruction(phrasings(second)[0]), _HEAR.format(sound_caption(sound))
        facts = {"split": split, "query": number, "subjects": (picture.subject,), "operation": f"{first}+{second}"}
        edit = {**facts, "path": (before.key, once.key, twice.key), "source": once.key}
        near = tuple(dict.fromkeys(s.key for s in (sound_media(other) for other in sounds)))
        ask = exemplar_sample(query, [pair]).conversation.messages
        plain = exemplar_sample(query, []).conversation.messages
        told = [*ask, Message("user", [again]), Message("assistant", [twice])]
        heard = [Message("user", [hear]), Message("assistant", [sound_media(sound)])]
        edit_shown = {**facts, "operation": first, "source": before.key}
        pairs = {"examples": ((pair.source.key, pair.target.key),)}
        whole = {"own_history": True}
        rounds: list[tuple[str, Sequence[Message], dict[str, Any]]] = [
            ("show", ask, {**edit_shown, **pairs}),
            ("show-alone", plain, edit_shown),
            ("again", told, {**edit, **whole}),
            ("again-alone", [Message("user", [before, again]), told[-1]], edit),
            ("hear", [*told, *heard], {**facts, **whole, "candidates": near}),
            ("hear-alone", heard, {**facts, "candidates": near}),
        ]  # fmt: skip
        return [_sample(name, messages, more) for name, messages, more in rounds]


def _sample(name: str, messages: Sequence[Message], facts: dict[str, Any]) -> Sample:
    """One round, its candidates those of the editing task that it is."""
    target = tuple(medium.key for medium in messages[-1].media)
    facts = {**facts, "target": target, "names": (f"story/{name}/{facts['query']}",)}
    task = "exemplar" if name.startswith("show") else "rounds"
    found = Sample(Conversation(list(messages)), task, facts)
    near = facts.get("candidates") or candidates(found, None)  # type: ignore[arg-type]  # of edits: no pool is asked
    return Sample(found.conversation, f"story-{name}", {**facts, "candidates": near})


def _pair(picture: Picture, operation: str) -> Pair:
    return Pair(operation, picture_media(picture), picture_media(picture, operation), (picture, picture))


def _from(pictures: Sequence[Picture], start: int) -> list[Picture]:
    """All pictures, beginning with number ``start``, round and round."""
    start %= len(pictures)
    return [*pictures[start:], *pictures[:start]]


@cache
def _subjects(split: str, edits: tuple[str, ...]) -> tuple[Picture, ...]:
    """The first drawing of every subject that all edits change, in the order of the subjects' names."""
    found: dict[str, Picture] = {}
    for picture in load_pack().pictures:
        if picture.split == split and picture.style == _STYLE and not set(edits) & set(picture.unchanged):
            found.setdefault(picture.subject, picture)
    return tuple(found[subject] for subject in sorted(found))


def _named_sounds() -> tuple[Sound, ...]:
    """The sounds that training has heard by name."""
    return tuple(sorted((s for s in load_pack().sounds if s.split == "train"), key=lambda sound: sound.key))
