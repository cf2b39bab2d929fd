"""``anyloom export MODEL --to peft|merged|hub``: what other programs read of a saved model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyloom.cli.arguments import add_trust_arguments, split_sources
from anyloom.cli.model_argument import HELP, load_named_model
from anyloom.errors import CheckpointError, ConfigError
from anyloom.storage.folder import replacing_folder

if TYPE_CHECKING:
    from anyloom.model.model import AnyToAnyModel
    from anyloom_llama.llm import CausalLM

__all__ = ["main"]

_FORMS: Final = {
    "peft": "the low-rank adapters of the language model, for peft",
    "merged": "the language model with its adapters merged in, for transformers",
    "hub": "the whole model with all its weights and a card, for from_pretrained from anywhere",
}


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom export`` with the words after it."""
    options = _parser().parse_intermixed_args(list(arguments))
    folder: Path = options.output
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already", where="--output", fix="give a new folder")
    if options.push and options.to != "hub":
        raise ConfigError("only a whole model is pushed", where="--push", fix="use --to hub")
    from anyloom.model.hub import push

    model = load_named_model(split_sources(options)).model
    with replacing_folder(folder, last="adapter_config.json" if options.to == "peft" else "config.json") as draft:
        _WRITERS[options.to](model, draft)
    sys.stdout.write(f"{folder}: {_FORMS[options.to]}\n")
    if options.push:
        sys.stdout.write(f"{push(folder, options.push, private=not options.public)}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anyloom export",
        description="Write what other programs read of a trained model.",
        epilog="\n".join(f"{name:8}{what}" for name, what in _FORMS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sources", nargs="*", metavar="MODEL|KEY=VALUE", help=f"{HELP}; overrides for a config")
    parser.add_argument("--to", choices=list(_FORMS), required=True, help="what is written; see below")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="a new folder")
    text = "with --to hub: put it into this repository of the Hugging Face hub, made private if it is new"
    parser.add_argument("--push", metavar="OWNER/NAME", help=text)
    parser.add_argument("--public", action="store_true", help="make the repository public if it is new")
    add_trust_arguments(parser)
    return parser


def _adapter(model: AnyToAnyModel, folder: Path) -> None:
    from anyloom_llama.merging import write_adapter

    write_adapter(_language_model(model), folder)


def _merged(model: AnyToAnyModel, folder: Path) -> None:
    from anyloom_llama.merging import write_merged

    write_merged(_language_model(model), folder)


def _hub(model: AnyToAnyModel, folder: Path) -> None:
    left_out = [p.key for p in model.parts.components() if not p.component.portable]
    if left_out:
        raise CheckpointError(
            f"the weights of {', '.join(left_out)} are in few bits, which a saved model cannot hold",
            where="--to hub",
            fix="use --to peft",
        )
    from anyloom.model.card import card

    model.save_pretrained(folder)
    (folder / "README.md").write_text(card(model), encoding="utf-8")


def _language_model(model: AnyToAnyModel) -> CausalLM:
    from anyloom_llama.llm import CausalLM

    if not isinstance(model.llm, CausalLM):
        raise CheckpointError(
            f"its language model is a {type(model.llm).__name__}, not one of transformers",
            where="--to",
            fix="use --to hub",
        )
    return model.llm


_WRITERS: Final[Mapping[str, Callable[[AnyToAnyModel, Path], None]]] = {
    "peft": _adapter,
    "merged": _merged,
    "hub": _hub,
}
