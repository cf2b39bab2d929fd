"""Noun phrases by a rule that needs no model.

A phrase begins with a determiner (article, possessive, demonstrative, quantifier or number) and goes on over the words
behind it, five at most, up to the first that cannot belong to it: punctuation, another determiner, a word of a closed
class (pronoun, preposition, conjunction, auxiliary, common verb), an adverb in -ly, or, from the second word on, a word
in -ed or -ing, or one in -s behind a determiner for one thing. The determiner is no part of the phrase unless it is a
number.

The rule misses bare plurals and names, and takes a wrong word now and then ("the dog barks"). What it takes is always a
stretch of the text itself, so nothing of the text is lost.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["noun_phrases"]

_TOKEN: Final = re.compile(r"[A-Za-z]+(?:[-'’][A-Za-z]+)*|\d+(?:[.,]\d+)*|[^\sA-Za-z\d]")
_LONGEST: Final = 5

_ONE_THING: Final = "a an one this each every another"
_NUMBER_WORDS: Final = "one two three four five six seven eight nine ten eleven twelve hundred thousand"
_DETERMINER_WORDS: Final = """
    a an the this these those each every another some any no all both many few several most
    my your his her its our their
"""
_CLOSED_CLASSES: Final = """
    i you he she it we they me him us them who whom whose which what where when why how there here not never always
    often of in on at by for with from to into onto over under above below between among through during before after
    about against without within along across behind beyond near off out up down upon around toward towards per via as
    than and or but nor so yet if because although while unless until since though that whether
    is are was were be been being am has have had having do does did can could will would shall should may might must
    very too also just only then now even still again either neither typically usually more less least
    make makes made take takes took give gives gave get gets got go goes went come comes came see sees saw say says said
    know knows use uses find finds help helps keep keeps let lets put puts show shows mean means become becomes include
    includes contain contains need needs want wants like likes run runs ran eat eats ate live lives left
"""

_SINGULAR: Final = frozenset(_ONE_THING.split())
_NUMBERS: Final = frozenset(_NUMBER_WORDS.split())
_DETERMINERS: Final = frozenset(_DETERMINER_WORDS.split())
_CLOSED: Final = frozenset(_CLOSED_CLASSES.split())


def noun_phrases(text: str) -> list[tuple[int, int]]:
    """Return where noun phrases of a text begin and end, in order, not overlapping.

    >>> text = "A honey bee typically has six legs."
    >>> [text[start:end] for start, end in noun_phrases(text)]
    ['honey bee', 'six legs']
    """
    tokens = [(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text)]
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(tokens):
        word = tokens[at][0].lower()
        at += 1
        if not (word in _DETERMINERS or _is_number(word)):
            continue
        first = at
        while at < len(tokens) and at - first < _LONGEST and _continues(tokens[at][0], word, at - first):
            at += 1
        if at > first:
            begin = first - 1 if _is_number(word) else first
            found.append((tokens[begin][1], tokens[at - 1][2]))
    return found


def _is_number(word: str) -> bool:
    return word in _NUMBERS or word[0].isdigit()


def _continues(token: str, determiner: str, words_before: int) -> bool:
    """Whether a token goes on with the phrase that a determiner began, behind so many words of it."""
    word = token.lower()
    if not token[0].isalpha() or word in _DETERMINERS or word in _CLOSED or word.endswith("ly"):
        return False
    if words_before == 0:
        return True
    is_plural_or_verb = word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return not (word.endswith(("ed", "ing")) or (determiner in _SINGULAR and is_plural_or_verb))
