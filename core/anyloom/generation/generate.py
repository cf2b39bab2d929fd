"""Answers to a batch of conversations."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from anyloom.conversation.segments import Conversation, Media, Message, Segment, Text
from anyloom.errors import ConversationError
from anyloom.generation.answer import Answer, MadeMedium
from anyloom.generation.decoding import decode
from anyloom.generation.engine import Engine
from anyloom.generation.options import GenerationOptions
from anyloom.generation.reading import read
from anyloom.network.network import Network
from anyloom.options import validate
from anyloom.storage.sharded import gathered_parameters

__all__ = ["check_options", "generate", "message_of", "new_answer", "stop_ids"]


@torch.no_grad()
def generate(
    network: Network,
    conversations: Sequence[Conversation],
    seeds: Sequence[int],
    options: GenerationOptions | Sequence[GenerationOptions],
) -> list[Message]:
    """Answer a batch of conversations. Rows are independent: the same answers one by one.

    Args:
        network: The model; in evaluation mode.
        conversations: Prompts; a last assistant message is read as part of the prompt's past.
        seeds: One per conversation; text and media of a row depend on nothing else.
        options: See :class:`GenerationOptions`; one for all, or one per conversation.

    Raises:
        anyloom.errors.ConversationError: The options name a modality that the model does not make.
        anyloom.errors.ConfigError: They are wrong for a decoder.
    """
    if not conversations:
        return []
    each = [options] * len(conversations) if isinstance(options, GenerationOptions) else list(options)
    for own in each:
        check_options(network, own)
    interleave = network.interleaver()
    prompts = [interleave(c, open_answer=True) for c in conversations]
    answers = [new_answer(network, c, s, o) for c, s, o in zip(conversations, seeds, each, strict=True)]
    with gathered_parameters(network):  # answers of other processes take another number of passes
        engine = Engine(network)
        engine.add(answers, read(network, prompts))
        engine.run()
        made = decode(network, answers)
    return [message_of(network, answer, items) for answer, items in zip(answers, made)]


def check_options(network: Network, options: GenerationOptions) -> None:
    """Refuse options before anything is read, also those of decoders that may not come to be used.

    Raises:
        anyloom.errors.ConversationError: They name a modality that the model does not make.
        anyloom.errors.ConfigError: They are wrong for a decoder.
    """
    options.check(network.tags)
    for name, sampling in options.sampling.items():
        decoder = network.decoder(name)
        if decoder is None:
            raise ConversationError(
                f"no decoder makes {name!r}", where="generate.sampling", fix=f"leave {name!r} out, or add a decoder"
            )
        validate(decoder.Sampling, sampling, where=f"generate.sampling.{name}")


def new_answer(network: Network, conversation: Conversation, seed: int, options: GenerationOptions) -> Answer:
    """An answer to a conversation that has not begun."""
    return Answer(options, seed, network.tags, stop_ids(network), list(conversation.media))


def stop_ids(network: Network) -> list[int]:
    """Ids that end an answer, the one that is forced first."""
    return list(network.llm.tokenizer.stop_ids)


def message_of(network: Network, answer: Answer, media: dict[int, Media], count: int | None = None) -> Message:
    """The message that an answer is.

    Args:
        network: Has the tokenizer.
        answer: A finished one, or one whose first segments are finished.
        media: Its media by segment.
        count: How many of its segments; all by default.
    """
    segments: list[Segment] = [
        media[n] if isinstance(segment, MadeMedium) else Text(network.llm.tokenizer.decode(segment), tuple(segment))
        for n, segment in enumerate(answer.segments[:count])
    ]
    return Message("assistant", segments)
