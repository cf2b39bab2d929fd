"""The data set ``starter-inference``: what do the examples have in common? Built as CoBSAT is, from the starter pack.

A prompt has words, each with the picture of the word under a hidden theme, and one word more (CoBSAT, arXiv
2402.01293): ``carrot: [upside down] cat: [upside down] trophy:``. In ``attribute-inference`` the words name things and
the attribute is hidden; in ``object-inference`` the words name attributes and the thing is hidden.

Things and attributes were all seen in training; prompts of this form were not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import Field

from anyloom.conversation import Conversation, Media, Message
from anyloom.errors import ConfigError
from anyloom.interfaces import DatasetBuilder, Sample
from anyloom.interfaces.component import ComponentConfig
from anyloom_starter.media import media_of_key
from anyloom_starter.pack import load_pack

__all__ = ["THEMES", "InferenceBuilder"]

_HANDS: Final = (
    "waving hand",
    "ok hand",
    "thumbs up",
    "thumbs down",
    "clapping hands",
    "flexed biceps",
    "victory hand",
    "raised hand",
    "ear",
    "nose",
)
_THINGS: Final = (
    "butterfly",
    "snake",
    "carrot",
    "potato",
    "watermelon",
    "cat",
    "dog",
    "umbrella",
    "trophy",
    "banana",
)
_TONES: Final = ("light", "medium-light", "medium", "medium-dark", "dark")
_COLOURS: Final = MappingProxyType({w: w for w in ("grey", "pale", "dark", "opposite")})
_TURNS: Final = MappingProxyType(
    {"mirrored": "mirror", "upside down": "upside-down", "turned left": "turn-left", "turned right": "turn-right"}
)

# theme -> (words for things, words for attributes)
THEMES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = MappingProxyType(
    {"tone": (_HANDS, _TONES), "colour": (_THINGS, tuple(_COLOURS)), "turn": (_THINGS, tuple(_TURNS))}
)
_HIDDEN: Final = ("attribute", "object")
_STYLE: Final = "noto"

Count = Annotated[int, Field(ge=0, le=16)]


class InferenceBuilder(DatasetBuilder):
    """Prompts of CoBSAT's form about pictures of the starter pack.

    ``val`` and ``test`` are fixed and differ in their prompts: choose on the first, report the second. There is no
    ``train``: the form is new to a model. Each prompt comes once with each number of examples, the fewer being the
    first of the more.

    >>> data = InferenceBuilder(InferenceBuilder.Config(themes=["colour"], examples=[2], num_queries=3))
    >>> samples = data.build("test")
    >>> [getattr(part, "text", "<picture>") for part in samples[0].conversation.messages[0].segments]
    ['cat: ', '<picture>', 'potato: ', '<picture>', 'butterfly: ']
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            themes: ``tone``, ``colour``, ``turn``.
            examples: Numbers of examples that each prompt comes with.
            num_queries: Prompts per theme and kind of inference.
            seed: Source of chance.
        """

        themes: tuple[str, ...] = Field(tuple(THEMES), min_length=1)
        examples: tuple[Count, ...] = Field((0, 1, 2, 4, 8), min_length=1)
        num_queries: int = Field(100, ge=1)
        seed: int = 0

    config: Config

    def build(self, split: str, epoch: int = 0) -> list[Sample]:
        """Return the samples of a split, one prompt of every kind before the second of any.

        Raises:
            anyloom.errors.ConfigError: The split or a theme does not exist.
        """
        del epoch
        if split not in ("val", "test"):
            raise ConfigError(f"there is no split {split!r}", where="starter-inference", fix="use val or test")
        for theme in self.config.themes:
            if theme not in THEMES:
                fix = f"themes are {', '.join(THEMES)}"
                raise ConfigError(f"there is no theme {theme!r}", where="starter-inference.themes", fix=fix)
        return [
            sample
            for query in range(self.config.num_queries)
            for theme in self.config.themes
            for hidden in _HIDDEN
            for sample in self._prompts(split, theme, hidden, query)
        ]

    def media(self, key: str) -> Media:
        """Return the picture of a key, as in the provenance of samples."""
        return media_of_key(key)

    def _prompts(self, split: str, theme: str, hidden: str, query: int) -> list[Sample]:
        """One prompt with each number of examples."""
        rng = random.Random(f"starter-inference/{self.config.seed}/{split}/{theme}/{hidden}/{query}")
        things, attributes = THEMES[theme]
        shown, concealed = (things, attributes) if hidden == "attribute" else (attributes, things)
        asked, right = rng.randrange(len(shown)), rng.randrange(len(concealed))
        words = _others(rng, len(shown), asked, max(self.config.examples))

        def key(word: int, theta: int) -> str:
            thing, attribute = (word, theta) if hidden == "attribute" else (theta, word)
            return _key(theme, things[thing], attributes[attribute])

        facts: dict[str, Any] = {
            "family": theme,
            "split": split,
            "query": query,
            "choices": {"given": list(shown), "inferred": list(concealed)},
            "chosen": {"given": asked, "inferred": right},
            "grid": tuple(tuple(key(g, i) for i in range(len(concealed))) for g in range(len(shown))),
            "target": (key(asked, right),),
        }
        task = f"{hidden}-inference"
        return [
            Sample(
                _conversation(shown, words[:k], asked, lambda word: key(word, right)),
                task,
                {**facts, "k": k, "names": (f"{task}/{theme}/{query}/k{k}",)},
            )
            for k in self.config.examples
        ]


def _others(rng: random.Random, count: int, asked: int, wanted: int) -> list[int]:
    """Numbers below ``count`` but ``asked``: all of them before any comes again."""
    rest = [n for n in range(count) if n != asked]
    found: list[int] = []
    while len(found) < wanted:
        found += rng.sample(rest, len(rest))
    return found[:wanted]


def _conversation(words: Sequence[str], examples: Sequence[int], asked: int, key: Callable[[int], str]) -> Conversation:
    user: list[str | Media] = []
    for word in examples:
        user += [f"{words[word]}: ", media_of_key(key(word))]
    user.append(f"{words[asked]}: ")
    return Conversation([Message("user", user), Message("assistant", [media_of_key(key(asked))])])


@cache
def _key(theme: str, thing: str, attribute: str) -> str:
    """Key of a thing under an attribute."""
    tone = attribute if theme == "tone" else "none"
    drawing = next(p for p in load_pack().pictures if (p.name, p.style, p.tone) == (thing, _STYLE, tone))
    edit = {"tone": {}, "colour": _COLOURS, "turn": _TURNS}[theme].get(attribute)
    return drawing.key if edit is None else f"{drawing.key}@{edit}"
