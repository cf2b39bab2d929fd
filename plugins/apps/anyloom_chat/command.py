"""``anyloom chat``: talk to a model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from anyloom.cli.arguments import (
    add_device_arguments,
    add_download_argument,
    add_isolation_argument,
    add_trust_arguments,
    split_sources,
)
from anyloom.cli.asking import seed_number
from anyloom.cli.console import note
from anyloom.cli.model_argument import HELP, NamedModel, load_named_model, placed
from anyloom.cli.outputs import free_folder, ready_folder
from anyloom.errors import ConfigError

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom chat`` with the words after it."""
    options = _parser().parse_intermixed_args(list(arguments))
    sources = split_sources(options)
    named = load_named_model(sources, decoders_later=not options.web)  # the page answers in several threads
    named = replace(named, model=placed(named.model, options.device, options.dtype, offload=options.offload))

    from anyloom.media.isolated import Isolation, reading_apart
    from anyloom.replay.folder import FILE
    from anyloom_chat.talk import Talk
    from anyloom_chat.terminal import Terminal, reader_with_history

    if options.web:
        return _page(named, options, list(sources.overrides))
    name = f"{datetime.now():%Y-%m-%d-%H%M%S}"
    folder: Path = options.session or free_folder(Path("chats") / name, FILE)
    ready_folder(folder, "--session")
    talk = Talk(named, folder, seed=options.seed, overrides=sources.overrides, notes=options.metadata)
    state = f"{len(talk.turns)} turns stand" if talk.continued else "new"
    note(f"session: {folder} ({state}); /help lists what can be said, Ctrl-D ends")
    with reading_apart(Isolation() if options.isolate else None):
        reader = reader_with_history(Path.home() / ".cache" / "anyloom" / "chat-history")
        return Terminal(talk, reader, previews=options.previews).run()


def _page(named: NamedModel, options: argparse.Namespace, overrides: list[str]) -> int:
    """Serve the page to browsers on this computer."""
    try:
        from anyloom_chat.page import launch
        from anyloom_chat.rooms import Rooms
    except ImportError as error:
        fix = "pip install 'anyloom[chat]'"
        raise ConfigError(f"the page needs a package that is not installed ({error.name})", fix=fix) from error
    folder: Path = options.session or Path("chats")
    ready_folder(folder, "--session")
    rooms = Rooms(named, folder.absolute(), seed=options.seed, overrides=overrides, notes=options.metadata)
    note(f"http://127.0.0.1:{options.port} is the page; conversations are kept in {folder}; Ctrl-C ends it")
    try:
        launch(rooms, "127.0.0.1", options.port, inbrowser=options.open)
    except OSError as error:
        raise ConfigError(f"port {options.port} cannot be listened on", where="--port", fix="give another") from error
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anyloom chat",
        description="Talk to a model: text and media in and out, kept after every turn.",
        epilog="In the conversation, paths of files are media, and /help lists what else can be said.",
    )
    parser.add_argument("sources", nargs="*", metavar="MODEL|KEY=VALUE", help=f"{HELP}; overrides for a config")
    text = "folder of the conversation; one that is there goes on; default: a new one in chats/"
    parser.add_argument("--session", type=Path, metavar="FOLDER", help=text)
    parser.add_argument("--seed", type=seed_number, default=0, help="of a new conversation; default: 0")
    text = "do not write into media what made them"
    parser.add_argument("--no-metadata", dest="metadata", action="store_false", help=text)
    text = "show pictures in the making every so many steps, where the terminal can show pictures; default: 0, never"
    parser.add_argument("--previews", type=seed_number, default=0, metavar="STEPS", help=text)
    parser.add_argument("--web", action="store_true", help="show a page on this computer instead")
    parser.add_argument("--port", type=int, default=7860, help="of the page; default: 7860")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    add_isolation_argument(parser)
    add_download_argument(parser)
    add_device_arguments(parser)
    add_trust_arguments(parser)
    return parser
