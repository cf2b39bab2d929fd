"""What packages of plugins hold: their folders, recipes and shipped models. Nothing is imported to find them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from anyloom.config.saved import is_saved_model
from anyloom.discovery import get_registry
from anyloom.errors import ConfigError, nearest
from anyloom.options import checked_path

__all__ = ["model_folder", "package_folder", "recipe_path", "shipped_weights"]


def recipe_path(name: str) -> Path:
    """Return the file of a recipe that a plugin ships.

    Raises:
        anyloom.errors.ConfigError: No plugin ships a recipe of that name.
    """
    recipes = get_registry().recipes
    if name not in recipes:
        raise ConfigError(
            f"neither a file nor a recipe is called {name!r}",
            where="config",
            fix=nearest(name, recipes) or f"recipes: {', '.join(recipes) or 'none'}",
        )
    return package_folder(recipes[name].package) / recipes[name].path


def shipped_weights(recipe: str | None = None) -> Path | None:
    """Return the folder of a saved model that ships with a recipe, or with any; None if there is none."""
    for name, spec in get_registry().recipes.items():
        if spec.weights and recipe in (None, name):
            folder = package_folder(spec.package) / spec.weights
            if is_saved_model(folder):
                return folder
    return None


def model_folder(folder: str | Path) -> Path:
    """Return a folder as it is, or that of the model that ships with a recipe of this name; what exists wins.

    >>> model_folder("runs/mine").name
    'mine'
    """
    path = checked_path(folder, where="model", what="model's folder")
    named = not os.path.exists(path) and path.parent == Path()
    return (shipped_weights(path.name) if named else None) or path


def package_folder(package: str, *, where: str = "config") -> Path:
    """Return the folder of a plugin's package.

    The name may come from a config of a stranger. So it must begin with a package behind an installed plugin, and what
    follows is looked for on disk: :func:`importlib.util.find_spec` would import the parents of ``a.b.c``.

    Args:
        package: Such as ``anyloom_tiny``, or ``anyloom_tiny.weights``.
        where: YAML key, for errors.

    Raises:
        anyloom.errors.ConfigError: It is not the package of an installed plugin, or has no such folder.

    >>> package_folder("anyloom").name
    'anyloom'
    >>> try:
    ...     package_folder("json")
    ... except ConfigError as error:
    ...     print(error.what)
    'json' is not the package of an installed plugin
    """
    top, *inner = package.split(".")
    known = get_registry().packages
    if top not in known:
        fix = nearest(top, known) or f"packages of plugins: {', '.join(known)}"
        raise ConfigError(f"{package!r} is not the package of an installed plugin", where=where, fix=fix)
    spec = importlib.util.find_spec(top)
    places = [Path(place).joinpath(*inner) for place in (spec.submodule_search_locations or [])] if spec else []
    folder = next((place for place in places if os.path.isdir(place) and all(inner)), None)
    if folder is None:
        raise ConfigError(f"the package {package!r} has no folder", where=where, fix="check the name")
    return folder
