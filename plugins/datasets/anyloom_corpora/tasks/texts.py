"""Text-only instructions, plain and repurposed, and conversations that are complete already.

Fields: ``instruction``, ``input`` (may be empty) and ``output`` (Alpaca); or ``conversation``; or ``instruction``,
``images`` and ``output`` (MIMIC-IT), whose related records are its in-context set.
"""

from __future__ import annotations

from anyloom.conversation import Conversation, Media
from anyloom.interfaces import Sample
from anyloom_corpora.tasks.noun_phrases import noun_phrases
from anyloom_corpora.tasks.view import Parts, UnfitRecord, View
from anyloom_corpora.text_feature import text_feature

__all__ = ["as_it_is", "ask", "follow_instruction", "question_in_context", "repurpose_text"]


def follow_instruction(view: View) -> Sample:
    """An instruction, with its input if there is one; the output is the target."""
    return view.sample([_question(view)], [view.text("output")])


def repurpose_text(view: View, most: int = 4) -> Sample:
    """An instruction and its output in which noun phrases stand as features of the text encoder.

    "A bee typically has six legs" becomes "[text0] typically has [text1]" (paper, section 4), by the rule of
    :func:`noun_phrases`. At most ``most`` phrases of each side are taken, drawn by chance.
    """
    user, answer = (_with_features(view, text, most) for text in (_question(view), view.text("output")))
    if not any(isinstance(part, Media) for part in (*user, *answer)):
        raise UnfitRecord("no target", view.where, "it holds no noun phrase")
    return view.sample(user, answer)


def question_in_context(view: View, most: int = 4) -> Sample:
    """A question about pictures, after up to ``most`` answered ones of its in-context set; the answer is the target.

    A record without an in-context set is a question alone.
    """
    related = view.related(0, most) if hasattr(view.source, "related") else []
    rounds: list[tuple[Parts, Parts]] = [_answered(example) for example in related]
    return view.dialogue([*rounds, _answered(view)], shots=len(related))


def as_it_is(view: View) -> Sample:
    """A whole conversation as the data set has it; the assistant's last message is the target."""
    conversation = view.record.get("conversation")
    if not isinstance(conversation, Conversation):
        raise UnfitRecord("bad row", view.where, "there is no conversation")
    return view.conversation(conversation)


def _question(view: View) -> str:
    given = view.record.get("input")
    instruction = view.text("instruction")
    return f"{instruction}\n\n{given.strip()}" if isinstance(given, str) and given.strip() else instruction


def _answered(view: View) -> tuple[Parts, Parts]:
    pictures = [media for media in view.record.get("images") or () if isinstance(media, Media)]
    return [*pictures, view.text("instruction")], [view.text("output")]


def _with_features(view: View, text: str, most: int) -> list[str | Media]:
    """Return a text with some noun phrases in the form of the text encoder's features."""
    spans = noun_phrases(text)
    chosen = sorted(view.rng.sample(spans, min(most, len(spans))))
    parts: list[str | Media] = []
    at = 0
    for start, end in chosen:
        parts += [text[at:start]] if start > at else []
        parts.append(text_feature(text[start:end]))
        at = end
    return parts + ([text[at:]] if at < len(text) else [])


def ask(view: View) -> Sample:
    """A prompt, with a medium if it has one; what the answer consists of is known, and nothing else of it."""
    given = view.record.get("given")
    user: list[str | Media] = [given] if isinstance(given, Media) else []
    facts = {
        name: value for name in ("family", "caption", "edited_caption", "subject") if (value := view.record.get(name))
    }
    wanted = [Media(modality, key=f"{view.key}/{modality}") for modality in view.record["modalities"]]
    return view.sample([*user, view.text("prompt")], wanted, prompt=view.text("prompt"), **facts)
