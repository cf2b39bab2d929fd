"""What ``anyloom generate`` is asked: files, words, options, and earlier messages."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyloom.config.yaml_text import parse_yaml
from anyloom.discovery import get_registry
from anyloom.errors import ConversationError
from anyloom.storage.json_text import read_json

if TYPE_CHECKING:
    from anyloom.conversation import Conversation, Media
    from anyloom.model.model import AnyToAnyModel

__all__ = ["InOrder", "chat_value", "choices_of", "conversation_of", "media_rules", "seed_number"]

_MOST_BYTES: Final = 32_000_000
_MOST_SEED: Final = 2**63 - 1
_CHOICES: Final = ("max_new_tokens", "max_media", "temperature", "top_p")
_SAMPLING: Final = {"steps": "denoising_steps", "guidance": "guidance", "reference_guidance": "reference_guidance"}
"""Words of the command line for options that most decoders have."""


class InOrder(argparse.Action):
    """Appends ``(option, value)`` to one list, so that the order across several options is kept.

    >>> parser = argparse.ArgumentParser()
    >>> _ = parser.add_argument("--text", action=InOrder, dest="said")
    >>> _ = parser.add_argument("--media", action=InOrder, dest="said")
    >>> parser.parse_args(["--media", "a.png", "--text", "make it red"]).said
    [('media', 'a.png'), ('text', 'make it red')]
    """

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Append one."""
        kind = (option or "").lstrip("-")
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), (kind, values)])


def seed_number(text: str) -> int:
    """A seed as random number generators take it.

    Raises:
        ValueError: It is no number, or too large for one.

    >>> seed_number("7")
    7
    """
    seed = int(text)
    if not 0 <= seed <= _MOST_SEED:
        raise ValueError(text)
    return seed


seed_number.__name__ = f"whole number from 0 to {_MOST_SEED}"  # argparse names the type in its error


def choices_of(options: argparse.Namespace, model: AnyToAnyModel) -> dict[str, Any]:
    """The options of answering that were given; those of decoders by modality.

    Raises:
        anyloom.errors.ConversationError: No decoder of the model has an option that was given.
    """
    chosen = {k: getattr(options, k) for k in _CHOICES if getattr(options, k) is not None}
    sampling = _for_all_decoders(options, model)
    for word in options.set:
        modality, name, value = _setting(word, model)
        sampling.setdefault(modality, {})[name] = value
    return {**chosen, "sampling": sampling} if sampling else chosen


def _for_all_decoders(options: argparse.Namespace, model: AnyToAnyModel) -> dict[str, dict[str, Any]]:
    """``--steps`` and the like, for every decoder that has such an option."""
    decoders = {name: decoder for name in model.tags if (decoder := model.decoder(name)) is not None}
    sampling: dict[str, dict[str, Any]] = {}
    for word, option in _SAMPLING.items():
        value = getattr(options, word)
        if value is None:
            continue
        having = [name for name, decoder in decoders.items() if option in decoder.Sampling.model_fields]
        if not having:
            where = f"--{word.replace('_', '-')}"
            raise ConversationError("no decoder of this model has such an option", where=where, fix="leave it out")
        for name in having:
            sampling.setdefault(name, {})[option] = value
    return sampling


def _setting(word: str, model: AnyToAnyModel) -> tuple[str, str, Any]:
    """``--set MODALITY.OPTION=VALUE`` in its parts."""
    key, found, text = word.partition("=")
    modality, _, name = key.partition(".")
    decoder = model.decoder(modality) if modality in model.tags else None
    if not found or decoder is None or name not in decoder.Sampling.model_fields:
        options = ((m, d.Sampling.model_fields) for m in model.tags if (d := model.decoder(m)) is not None)
        known = [f"{m}.{option}" for m, fields in options for option in fields]
        fix = f"write MODALITY.OPTION=VALUE, with one of {', '.join(known) or 'none: there is no decoder'}"
        raise ConversationError(f"no decoder has the option {key!r}", where="--set", fix=fix)
    return modality, name, parse_yaml(text, where="--set") if text else None


def media_rules(options: argparse.Namespace, model: AnyToAnyModel) -> dict[str, str]:
    """``--force`` and ``--forbid`` by modality.

    Raises:
        anyloom.errors.ConversationError: A modality is forced for which the model has no decoder.
    """
    rules = {name: how for how, name in options.how}
    for name, how in rules.items():
        if how == "force" and name in model.config.modalities and model.decoder(name) is None:
            what = f"the model has no decoder for {name!r}"
            raise ConversationError(what, where="--force", fix="set one in model.modalities")
    return rules


def conversation_of(options: argparse.Namespace) -> Conversation:
    """The messages of ``--conversation``, then one of ``--text`` and ``--media``.

    Raises:
        anyloom.errors.ConversationError: Nothing is asked, or the file holds no conversation.
        anyloom.errors.MediaError: A file cannot be read.

    >>> options = argparse.Namespace(conversation=None, segments=[("text", "hello")])
    >>> conversation_of(options).messages[0].text
    'hello'
    """
    from anyloom.conversation import Conversation, Message, Text
    from anyloom.media import conversation_from_json

    messages: list[Message] = []
    if options.conversation is not None:
        file: Path = options.conversation
        root, anywhere = file.parent, options.anywhere
        messages += conversation_from_json(chat_value(file), root=root, where=str(file), anywhere=anywhere).messages
    if options.segments:
        parts = [Text(value) if kind == "text" else _media(value) for kind, value in options.segments]
        messages.append(Message("user", parts))
    if messages[-1].role == "assistant":
        fix = "ask something with --text or --media"
        raise ConversationError("the conversation ends with an answer", where="--conversation", fix=fix)
    return Conversation(messages)


def chat_value(file: Path) -> Any:
    """The parsed JSON of a conversation file.

    Raises:
        anyloom.errors.ConversationError: It is not there, too large or not JSON.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "talk.json").write_text('{"messages": []}')
    ...     chat_value(Path(folder) / "talk.json")
    {'messages': []}
    """
    if not os.path.isfile(file):
        raise ConversationError("there is no such file", where=str(file), fix="check the path")
    return read_json(
        file, what="not JSON", fix='write {"messages": [...]}', error=ConversationError, kind=object, most=_MOST_BYTES
    )


def _media(word: str) -> Media:
    """The medium of ``FILE`` or ``MODALITY:FILE``; a file that is there wins."""
    from anyloom.media import read_media, split_modality

    kind, path = split_modality(word)
    name, _, rest = word.partition(":")
    if kind is None and rest and os.path.isfile(rest) and not path.exists():
        get_registry().find("modality", name)  # an error that names those that are installed
    return read_media(path, kind)
