"""``anyloom generate``: one conversation in, one answer out, media as files on both sides."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyloom.cli.arguments import split_sources
from anyloom.cli.model_argument import HELP, load_named_model, placed
from anyloom.errors import ConfigError, ConversationError

if TYPE_CHECKING:
    from anyloom.conversation import Conversation

__all__ = ["main"]


class _InOrder(argparse.Action):
    """Appends ``(option, value)`` to one list, so that the order across several options is kept."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        kind = (option or "").lstrip("-")
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), (kind, values)])


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom generate`` with the words after it."""
    options = _parser().parse_intermixed_args(list(arguments))
    if not options.segments and options.conversation is None:
        raise ConversationError("nothing is asked", where="generate", fix="give --text, --media or --conversation")
    conversation = _conversation(options)
    sources, overrides = split_sources(options)
    if len(sources) > 1:
        raise ConfigError(f"{len(sources)} models are named, one can answer", where=" ".join(sources))
    named = load_named_model(sources[0] if sources else None, overrides)
    model = placed(named.model, options.device)
    media = {name: how for how, name in options.how}
    for name, how in media.items():
        if how == "force" and name in model.config.modalities and model.decoder(name) is None:
            raise ConversationError(
                f"the model has no decoder for {name!r}", where="--force", fix="set one in model.modalities"
            )
    chosen = ("max_new_tokens", "max_media", "temperature", "top_p", "steps", "guidance", "source_guidance")
    given = {k: getattr(options, k) for k in chosen if getattr(options, k) is not None}
    answer = model.generate(conversation, media=media, seed=options.seed, **given)
    _write(conversation, answer, options.output)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anyloom generate",
        description="Answer one conversation. --text and --media may be mixed; their order is the message's order.",
    )
    parser.add_argument("sources", nargs="*", metavar="MODEL|KEY=VALUE", help=f"{HELP}; overrides for a config")
    message = parser.add_argument_group("what is asked")
    message.add_argument("--text", action=_InOrder, dest="segments", help="a piece of the user's message")
    message.add_argument("--media", action=_InOrder, dest="segments", metavar="FILE", help="a file in the message")
    message.add_argument("--conversation", type=Path, metavar="FILE", help="earlier messages, as chat JSON")
    answer = parser.add_argument_group("how it is answered")
    for how, text in (
        ("force", "begin the answer with one of this modality"),
        ("forbid", "no media of this modality"),
    ):
        answer.add_argument(
            f"--{how}", action=_InOrder, dest="how", default=[], metavar="MODALITY", help=f"{text}; may be repeated"
        )
    answer.add_argument("--seed", type=int, default=0, help="default: 0")
    answer.add_argument("--max-new-tokens", type=int, metavar="N", help="text tokens, at most")
    answer.add_argument("--max-media", type=int, metavar="N", help="media, at most")
    answer.add_argument("--temperature", type=float, help="of text sampling; 0 takes the likeliest token")
    answer.add_argument("--top-p", type=float, help="nucleus of text sampling")
    answer.add_argument("--steps", type=int, help="denoising steps of the decoders")
    answer.add_argument("--guidance", type=float, help="classifier-free guidance of the decoders")
    answer.add_argument("--source-guidance", type=float, help="guidance by the medium that is edited")
    answer.add_argument("--device", default="cpu", help="where the model runs, such as cuda; default: cpu")
    answer.add_argument("--output", type=Path, default=Path("generated"), metavar="FOLDER", help="default: generated")
    return parser


def _conversation(options: argparse.Namespace) -> Conversation:
    """The messages of ``--conversation``, then one of ``--text`` and ``--media``."""
    from anyloom.conversation import Conversation, Message, Text
    from anyloom.media import conversation_from_json, read_media

    messages: list[Message] = []
    if options.conversation is not None:
        file: Path = options.conversation
        if not file.is_file():
            raise ConversationError("there is no such file", where=str(file), fix="check the path")
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConversationError(f"not JSON ({error})", where=str(file)) from error
        messages += conversation_from_json(value, root=file.parent, where=str(file)).messages
    if options.segments:
        parts = [Text(value) if kind == "text" else read_media(value) for kind, value in options.segments]
        messages.append(Message("user", parts))
    if messages[-1].role == "assistant":
        raise ConversationError(
            "the conversation ends with an answer", where="--conversation", fix="ask something with --text or --media"
        )
    return Conversation(messages)


def _write(conversation: Conversation, answer: Any, folder: Path) -> None:
    """Write files, then print the answer's text and paths in order."""
    from anyloom.media.answers import answer_json

    value, left_out = answer_json(conversation, answer, folder, "answer")
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    (folder / "conversation.json").write_text(text, encoding="utf-8")
    for part in value["messages"][-1]["content"]:
        print(part["text"] if part["type"] == "text" else f"{part['type']}: {folder / part['path']}")
    for name in left_out:
        print(f"note: {name} was predicted, but the model has no decoder for it", file=sys.stderr)
    print(f"conversation: {folder / 'conversation.json'}")
