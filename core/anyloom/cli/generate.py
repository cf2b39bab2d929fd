"""``anyloom generate``: a conversation in, an answer out, media as files on both sides; or a file of conversations."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyloom.cli.arguments import (
    add_device_arguments,
    add_download_argument,
    add_isolation_argument,
    add_trust_arguments,
    split_sources,
)
from anyloom.cli.asking import InOrder, chat_value, choices_of, conversation_of, media_rules, seed_number
from anyloom.cli.console import note
from anyloom.cli.model_argument import HELP, UNTRAINED_HELP, load_named_model, nothing_collected, placed
from anyloom.cli.outputs import free_file, ready_folder
from anyloom.errors import ConversationError
from anyloom.storage.atomic import write_text

if TYPE_CHECKING:
    from anyloom.conversation import Conversation, Message

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom generate`` with the words after it."""
    options = _parser().parse_intermixed_args(list(arguments))
    with nothing_collected():
        from anyloom.media.isolated import Isolation, reading_apart

    with reading_apart(Isolation() if options.isolate else None):
        return _answered(options)


def _answered(options: argparse.Namespace) -> int:
    """Answer what the words ask."""
    if options.jsonl is not None:
        from anyloom.cli.generate_lines import answer_lines

        return answer_lines(options)
    if not options.segments and options.conversation is None:
        fix = "give --text, --media, --conversation or --jsonl"
        raise ConversationError("nothing is asked", where="generate", fix=fix)
    conversation = conversation_of(options)
    folder = ready_folder(options.output)
    sources = split_sources(options)
    named = load_named_model(sources, untrained=options.untrained)
    model = placed(named.model, options.device, options.dtype, offload=options.offload)
    rules = media_rules(options, model)
    chosen = {"media": rules, **choices_of(options, model)}
    answer = model.generate(conversation, seed=options.seed, **chosen)
    assert not isinstance(answer, list)
    if options.metadata:
        from anyloom.replay.noting import with_notes
        from anyloom.replay.record import made_by

        maker = made_by(model, named.recipe or named.name, named.folder, sources.overrides)
        answer = with_notes(conversation, answer, maker, options.seed, **chosen)
    _write(conversation, answer, folder, options.conversation)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anyloom generate",
        description="Answer one conversation. --text and --media may be mixed; their order is the message's order.",
    )
    parser.add_argument("sources", nargs="*", metavar="MODEL|KEY=VALUE", help=f"{HELP}; overrides for a config")
    message = parser.add_argument_group("what is asked")
    message.add_argument("--text", action=InOrder, dest="segments", help="a piece of the user's message")
    message.add_argument(
        "--media", action=InOrder, dest="segments", metavar="[MODALITY:]FILE", help="a file in the message"
    )
    message.add_argument("--conversation", type=Path, metavar="FILE", help="earlier messages, as chat JSON")
    text = "read files of a conversation that lie outside its folder, too"
    message.add_argument("--anywhere", action="store_true", help=text)
    text = "answer each line's conversation; a run that was cut off goes on"
    message.add_argument("--jsonl", type=Path, metavar="FILE", help=text)
    add_isolation_argument(message)
    answer = parser.add_argument_group("how it is answered")
    for how, text in (
        ("force", "begin the answer with one of this modality"),
        ("forbid", "no media of this modality"),
    ):
        answer.add_argument(
            f"--{how}", action=InOrder, dest="how", default=[], metavar="MODALITY", help=f"{text}; may be repeated"
        )
    answer.add_argument("--seed", type=seed_number, default=0, help="default: 0")
    answer.add_argument("--max-new-tokens", type=int, metavar="N", help="text tokens, at most")
    answer.add_argument("--max-media", type=int, metavar="N", help="media, at most")
    answer.add_argument("--temperature", type=float, help="of text sampling; 0 takes the likeliest token")
    answer.add_argument("--top-p", type=float, help="nucleus of text sampling")
    answer.add_argument("--steps", type=int, help="denoising steps of the decoders")
    answer.add_argument("--guidance", type=float, help="classifier-free guidance of the decoders")
    answer.add_argument("--reference-guidance", type=float, help="guidance by the medium that is edited")
    answer.add_argument(
        "--set", action="append", default=[], metavar="MODALITY.OPTION=VALUE", help="an option of one decoder"
    )
    answer.add_argument("--untrained", action="store_true", help=UNTRAINED_HELP)
    add_download_argument(answer)
    add_device_arguments(answer)
    answer.add_argument(
        "--output",
        type=Path,
        default=Path("generated"),
        metavar="FOLDER",
        help="earlier answers in it stay; default: generated",
    )
    text = "do not write into media what made them (see 'anyloom show FILE' and 'anyloom replay FILE')"
    answer.add_argument("--no-metadata", dest="metadata", action="store_false", help=text)
    add_trust_arguments(parser)
    return parser


def _write(conversation: Conversation, answer: Message, folder: Path, earlier: Path | None) -> None:
    """Write files, then print the answer's text and paths in order."""
    from anyloom.media.answers import answer_json

    value, left_out = answer_json(conversation, answer, folder, "answer")
    file, more = _place(folder, earlier)
    write_text(file, json.dumps({**more, **value}, indent=1, ensure_ascii=False) + "\n")
    for part in value["messages"][-1]["content"]:
        print(part["text"] if part["type"] == "text" else f"{part['type']}: {folder / part['path']}")
    for name in left_out:
        note(f"note: {name} was predicted, but the model has no decoder for it")
    print(f"conversation: {file}")


def _place(folder: Path, earlier: Path | None) -> tuple[Path, Mapping[str, Any]]:
    """The file of the conversation, and what else stands in it.

    A conversation that goes on in its own folder grows in its own file: nothing in it is lost. Any other run gets a
    file of its own.
    """
    if earlier is not None and earlier.resolve().parent == folder.resolve():
        value = chat_value(earlier)
        if isinstance(value, Mapping):
            return earlier, value
    return free_file(folder, "conversation", ".json"), {}
