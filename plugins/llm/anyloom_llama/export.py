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

__all__ = ["main", "push_to_hub"]

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
    model = load_named_model(split_sources(options)).model
    with replacing_folder(folder, last="adapter_config.json" if options.to == "peft" else "config.json") as draft:
        _WRITERS[options.to](model, draft)
    sys.stdout.write(f"{folder}: {_FORMS[options.to]}\n")
    if options.push:
        sys.stdout.write(f"{push_to_hub(folder, options.push, private=not options.public)}\n")
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


def push_to_hub(folder: Path, repository: str, *, private: bool = True) -> str:
    """Put a folder of a model into a repository of the Hugging Face hub, as one commit.

    Token and address are those of huggingface_hub (``hf auth login``, ``HF_TOKEN``, ``HF_ENDPOINT``).

    Args:
        folder: As ``--to hub`` writes it, with its card.
        repository: ``owner/name``.
        private: Make it private if it is new.

    Returns:
        The address of the commit.

    Raises:
        anyloom.errors.ConfigError: The hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="anyloom")
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        return str(
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Model of anyloom").commit_url
        )
    except (OSError, ValueError) as error:  # what huggingface_hub raises is one of them
        reason = str(error).strip().splitlines()[0]
        fix = "look at the name, 'hf auth whoami' and the network; the folder stays for another try"
        raise ConfigError(f"the hub did not take it: {reason}", where=f"--push {repository}", fix=fix) from error


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
    model.save_pretrained(folder)
    (folder / "README.md").write_text(_card(model), encoding="utf-8")


def _card(model: AnyToAnyModel) -> str:
    """A model card in the hub's form, with the licence of every part as its plugin states it."""
    from anyloom.discovery import get_registry
    from anyloom.discovery.targets import is_class_path

    lines = ["---", "library_name: anyloom", "pipeline_tag: any-to-any", "---", "", "# Any-to-any model", ""]
    lines += [
        f"It reads and makes text and {', '.join(sorted(model.tags)) or 'nothing else'}.",
        "",
        "```python",
        "import anyloom",
        'model = anyloom.AnyToAnyModel.from_pretrained("this folder")',
        "```",
        "",
        "| part | component | licence |",
        "|---|---|---|",
    ]
    for key, kind, name in _names(model):
        spec = None if is_class_path(name) else get_registry().find(kind, name, where=key)
        lines.append(f"| {key} | {name} | {spec.licence if spec else ''} |")
    return "\n".join(lines) + "\n"


def _names(model: AnyToAnyModel) -> list[tuple[str, str, str]]:
    """Key, kind and name of the parts that a config names."""
    config = model.config
    found = [("llm", "llm", config.llm)]
    found += [(f"encoders.{key}", "encoder", options) for key, options in config.encoders.items()]
    found += [(f"decoders.{key}", "decoder", options) for key, options in config.decoders.items()]
    return [(key, kind, str(options.get("name") or options.get("class_path"))) for key, kind, options in found]


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
