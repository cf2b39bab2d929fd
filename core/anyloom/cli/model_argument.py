"""The model that a command is about: a saved folder, a recipe, or what ships with one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anyloom.config.compose import compose, package_folder
from anyloom.config.saved import is_saved_model
from anyloom.discovery import get_registry
from anyloom.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from anyloom.model.model import AnyToAnyModel

__all__ = ["HELP", "NamedModel", "load_named_model", "placed", "shipped_weights"]

HELP = "folder of a saved model, or a config file or recipe; by default the model that ships with a recipe"


@dataclass(frozen=True)
class NamedModel:
    """A loaded model and where it came from.

    Args:
        model: The model, in eval mode.
        name: What the user called it.
        folder: The saved model that was read; None if the model was built from a config.
    """

    model: AnyToAnyModel
    name: str
    folder: Path | None


def shipped_weights(recipe: str | None = None) -> Path | None:
    """Return the folder of a saved model that ships with a recipe, or with any; None if there is none."""
    for name, spec in get_registry().recipes.items():
        if spec.weights and recipe in (None, name):
            folder = package_folder(spec.package) / spec.weights
            if is_saved_model(folder):
                return folder
    return None


def load_named_model(source: str | None, overrides: Sequence[str] = ()) -> NamedModel:
    """Load a saved folder, or what a config has trained, or what ships with it, or build what it describes.

    Args:
        source: Folder, config file or recipe; None takes the model that ships with a recipe.
        overrides: For a config.

    Raises:
        anyloom.errors.ConfigError: Nothing is named and nothing ships; or the config is wrong.
        anyloom.errors.CheckpointError: A folder holds no model, or overrides are given for one.
    """
    from anyloom.model.model import AnyToAnyModel

    folder = _folder_of(source, overrides)
    if folder is not None:
        return NamedModel(AnyToAnyModel.from_pretrained(folder), source or "the weights that ship", folder)
    assert source is not None
    print("note: the config names no trained model folder; parts without weights are random", file=sys.stderr)
    return NamedModel(AnyToAnyModel.from_config(source, overrides).eval(), source, None)


def _folder_of(source: str | None, overrides: Sequence[str]) -> Path | None:
    """The saved model to read; None if one has to be built."""
    if source is None:
        shipped = shipped_weights()
        if shipped is None:
            raise ConfigError("no model is named, and none ships with a recipe", where="MODEL", fix="name a folder")
        return _said(shipped)
    if Path(source).is_dir():
        if overrides:
            raise CheckpointError("a saved model takes no overrides", where=source, fix="give its config instead")
        return Path(source)
    sections = compose([source], overrides)
    stages = [compose([source], overrides, stage=name) for name in sections.get("stages") or {}]
    results = [Path(s["result"]) for s in (sections, *reversed(stages)) if s.get("result")]
    trained = next((r for r in results if is_saved_model(r)), None) or shipped_weights(source)
    return None if trained is None or overrides else _said(trained)


def _said(folder: Path) -> Path:
    print(f"model: {folder}", file=sys.stderr)
    return folder


def placed(model: AnyToAnyModel, device: str) -> AnyToAnyModel:
    """Move a model.

    Raises:
        anyloom.errors.ConfigError: There is no such device.
    """
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:  # torch names the devices it knows, or says what it lacks
        raise ConfigError(str(error).splitlines()[0], where="--device") from error
