"""``anyloom replay``: the answers of a session, or the medium in a file, made again and compared bit by bit."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anyloom.cli.arguments import Sources, add_device_arguments, add_trust_arguments, split_sources
from anyloom.cli.console import note
from anyloom.cli.model_argument import HELP, NamedModel, load_named_model, placed, shipped_weights
from anyloom.cli.outputs import free_file, ready_folder
from anyloom.errors import ConversationError
from anyloom_chat.showing import record_of

if TYPE_CHECKING:
    from anyloom.conversation import Media
    from anyloom.replay.record import Record

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom replay`` with the words after it; the status is 1 if an answer differs."""
    options = _parser().parse_intermixed_args(list(arguments))
    record = record_of(options.file)
    if not record.turns:
        raise ConversationError("nothing was answered in it", where=str(options.file))
    sources = split_sources(options)
    named = _named(sources, record)
    named = replace(named, model=placed(named.model, options.device, options.dtype, offload=options.offload))
    return 1 if _replayed(named, sources.overrides, record, options) else 0


def _replayed(named: NamedModel, overrides: Sequence[str], record: Record, options: argparse.Namespace) -> bool:
    """Answer again, say turn by turn what is equal, and why something may not be."""
    from anyloom.conversation import Media
    from anyloom.replay.again import differences_of_makers, replay, unpacked
    from anyloom.replay.record import made_by

    file: Path = options.file
    now = made_by(named.model, named.recipe or named.name, named.folder, overrides)
    makers = differences_of_makers(record.made_by, now)
    wrong, made = 0, list[Media]()
    with unpacked(record, file if file.is_dir() else file.parent) as root:
        for turn in replay(named.model, record, root, str(file)):
            wrong += bool(turn.differences)
            print(f"turn {turn.number}: {'; '.join(turn.differences) or 'equal'}")
            segments = [s for n, s in enumerate(turn.answer.segments) if record.segment in (None, n)]
            made = [s for s in segments if isinstance(s, Media) and s.has_data]
    if options.output is not None:
        _write(made, options.output)
    if wrong:
        print(f"{wrong} of {len(record.turns)} turns differ")
        for line in makers or ["nothing is known to be different: the same versions, weights and kind of machine"]:
            print(f"  {line}")
    else:
        print(f"all {len(record.turns)} turns are equal to the last bit")
    return wrong > 0


def _write(media: Sequence[Media], folder: Path) -> None:
    from anyloom.media import io_for, write_media

    ready_folder(folder)
    for medium in media:
        suffix = io_for(medium.modality).suffixes[0]
        print(write_media(medium, free_file(folder, "replayed", suffix)))


def _named(sources: Sources, record: Record) -> NamedModel:
    """The model that is named; or the one of the record, if that ships with an installed recipe.

    Raises:
        anyloom.errors.ConversationError: The record names another; a file may come from anybody, so what it names is
            not opened.
    """
    name = record.made_by.model
    if sources.configs:
        return load_named_model(sources)
    folder = shipped_weights(name) if name else None
    if folder is not None:
        from anyloom.model.model import AnyToAnyModel

        note(f"model: {folder}")
        model = AnyToAnyModel.from_pretrained(folder, sources.overrides, trust=not sources.safe)
        return NamedModel(model, name, folder, name)
    raise ConversationError(
        f"it was made by {name[:80]!r}, which is none of the models that ship", where="replay", fix="name the model"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anyloom replay",
        description="Make the answers of a session, or the medium in a file, again, and compare them bit by bit.",
    )
    parser.add_argument("file", type=Path, help="the folder of a session, or a picture, sound or clip")
    parser.add_argument(
        "sources", nargs="*", metavar="MODEL|KEY=VALUE", help=f"{HELP}; here the one that the file names"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write the media of the last answer there")
    add_device_arguments(parser)
    add_trust_arguments(parser)
    return parser
