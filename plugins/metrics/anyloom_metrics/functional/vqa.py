"""VQA accuracy: answers to questions about pictures, compared with those of ten people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from anyloom.errors import MediaError

__all__ = ["normalised_answer", "vqa_accuracy"]

_PUNCTUATION: Final = ';/[]"{}()=+\\_->' + "<@`,?!"
_NUMBERS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS: Final = {"none": "0"} | {word: str(n) for n, word in enumerate(_NUMBERS)}
_ARTICLES: Final = frozenset({"a", "an", "the"})
_COMMA_IN_NUMBER: Final = re.compile(r"(?<=\d),+(?=\d)")
_FULL_STOP: Final = re.compile(r"\.(?!\d)")
_MOST_FULL_STOPS: Final = 32  # the reference hands a flag of that value to the parameter for the count

# The spelling table of the official evaluation, as whole words; a word without its apostrophes is spelt with them.
# Words that end in 've after another apostrophe are also known with one of the two missing.
_SPELT: Final = """
    ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll
    how's isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't
    should've shouldn't somebody'll somebody's someone'd someone'll someone's something'd something'll that's
    there'd there're there's they'd they'll they're they've 'twas wasn't we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'll who's who've why'll why're why's won't would've
    wouldn't y'all you'd you'll you're you've
"""
_SPELT_TWICE: Final = """
    couldn't've hadn't've he'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've
    something'd've there'd've they'd've we'd've who'd've wouldn't've you'd've y'all'll
"""


def _spellings() -> dict[str, str]:
    table = {word.replace("'", ""): word for word in _SPELT.split()}
    for word in _SPELT_TWICE.split():
        table |= {word[:i] + word[i + 1 :]: word for i, letter in enumerate(word) if letter == "'"}
    # entries that follow no rule, the reference's own slips among them
    table["somebody'd"] = "somebodyd"
    table |= dict.fromkeys(("ow's'at", "'ows'at", "'ow'sat"), "'ow's'at")
    table |= dict.fromkeys(("yall'd've", "y'alld've", "y'all'dve"), "y'all'd've")
    return table


_SPELLINGS: Final = _spellings()


def normalised_answer(answer: str) -> str:
    """An answer without punctuation and articles, numbers as digits, apostrophes put right, in lower case.

    The normalisation of the VQA evaluation (Antol et al., arXiv 1505.00468) as lmms-eval's ``vqav2`` applies it.

    >>> normalised_answer("The two dogs, dont bark!")
    "2 dogs don't bark"
    """
    text = answer
    for mark in _PUNCTUATION:
        beside_a_space = f"{mark} " in answer or f" {mark}" in answer
        text = text.replace(mark, "" if beside_a_space or _COMMA_IN_NUMBER.search(answer) else " ")
    text = _FULL_STOP.sub("", text, count=_MOST_FULL_STOPS)
    words = [_DIGITS.get(word, word) for word in text.lower().split()]
    return " ".join(_SPELLINGS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(predicted: str, answers: Sequence[str]) -> float:
    """Mean over people of ``min(1, matches among the others / 3)``; higher is better.

    Args:
        predicted: The answer.
        answers: What people answered, usually ten.

    Raises:
        anyloom.errors.MediaError: There are fewer than two answers.

    >>> vqa_accuracy("Yes", ["yes"] * 3 + ["no"] * 7)
    0.9
    """
    if len(answers) < 2:
        raise MediaError(f"{len(answers)} answers are too few for VQA accuracy", where="answers", fix="give ten")
    given = normalised_answer(predicted)
    matches = [normalised_answer(a) == given for a in answers]
    total = sum(matches)
    return sum(min(1.0, (total - match) / 3) for match in matches) / len(answers)
