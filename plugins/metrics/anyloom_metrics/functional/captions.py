"""BLEU, ROUGE-L and CIDEr of captions, as COCO's evaluation computes them (package pycocoevalcap)."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from typing import NamedTuple

from anyloom.errors import MediaError

__all__ = ["CaptionScores", "caption_scores", "caption_words"]

_DROPPED = re.compile(r"[^\w\s'.-]|_|(?<!\w)['.-]+|['.-]+(?!\w)")
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|re|ve|ll|d|m))(?!\w)")


class CaptionScores(NamedTuple):
    """Scores of a data set and of each caption; higher is better.

    Args:
        bleu: BLEU-1 to BLEU-4 over the data set.
        rouge_l: Mean.
        cider: Mean. Depends on all references of the data set; with a single picture it is 0.
        bleu4_each: BLEU-4 of each caption, with its own smoothing; their mean is not ``bleu[3]``.
        rouge_l_each: ROUGE-L of each caption.
        cider_each: CIDEr of each caption.
    """

    bleu: tuple[float, float, float, float]
    rouge_l: float
    cider: float
    bleu4_each: tuple[float, ...]
    rouge_l_each: tuple[float, ...]
    cider_each: tuple[float, ...]


def caption_words(caption: str) -> str:
    """A caption in lower case, without punctuation, clitics apart, words between single spaces.

    Follows the Penn Treebank rules that matter for captions and needs no Java. Brackets, abbreviations and numbers
    with signs can differ from the Stanford tokeniser that published COCO numbers went through.

    >>> caption_words("A man's dog isn't running; it's sitting.")
    "a man 's dog is n't running it 's sitting"
    """
    plain = _DROPPED.sub(" ", caption.lower())
    return " ".join(_CLITIC.sub(r" \1", plain).split())


def caption_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScores:
    """Score captions; both sides must be tokenised already (:func:`caption_words`).

    Args:
        captions: One per picture.
        references: At least one per picture.

    Raises:
        anyloom.errors.MediaError: There are no captions, or a picture has no reference.
    """
    if not captions or len(captions) != len(references):
        raise MediaError(f"{len(captions)} captions do not pair with {len(references)} lists of references")
    if bare := [i for i, texts in enumerate(references) if not texts]:
        raise MediaError(f"{len(bare)} pictures have no reference caption, the first is number {bare[0]}")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    numbers = range(len(captions))
    given, wanted = {i: [captions[i]] for i in numbers}, {i: list(references[i]) for i in numbers}
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints lengths
        bleu, bleu_each = Bleu(4).compute_score(wanted, given)
        rouge, rouge_each = Rouge().compute_score(wanted, given)
        cider, cider_each = Cider().compute_score(wanted, given)
    return CaptionScores(
        tuple(float(b) for b in bleu),  # type: ignore[arg-type]
        float(rouge),
        float(cider),
        tuple(float(b) for b in bleu_each[3]),
        tuple(float(r) for r in rouge_each),
        tuple(float(c) for c in cider_each),
    )
