"""The model that a command is about: a saved folder, what a config has trained, or what ships with a recipe."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyloom.cli.arguments import Sources, require_sections
from anyloom.cli.console import note
from anyloom.config.packages import shipped_weights
from anyloom.config.saved import is_saved_model
from anyloom.discovery import get_registry
from anyloom.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    import torch

    from anyloom.model.model import AnyToAnyModel

__all__ = [
    "HELP", "UNTRAINED_HELP", "NamedModel", "device_named", "load_named_model", "nothing_collected", "placed",
    "shipped_weights",
]  # fmt: skip

HELP: Final = (
    "folder of a saved model, OWNER/NAME of one on the hub, or a config file or recipe; "
    "by default the model that ships with a recipe"
)
UNTRAINED_HELP: Final = "answer from random weights where a config has not been trained"


@dataclass(frozen=True)
class NamedModel:
    """A loaded model and where it came from.

    Args:
        model: The model, in eval mode.
        name: What the user called it.
        folder: The saved model that was read; None if the model was built from a config.
        recipe: Name of the recipe that it ships with; empty if it does not ship.
    """

    model: AnyToAnyModel
    name: str
    folder: Path | None
    recipe: str = ""


def load_named_model(sources: Sources, *, untrained: bool = False, decoders_later: bool = False) -> NamedModel:
    """Load a saved folder, or what a config has trained, or what ships with it.

    Args:
        sources: At most one folder, config file or recipe; none takes the model that ships with a recipe. Overrides
            change the options of the trained model.
        untrained: Build what a config describes where it has not been trained.
        decoders_later: See :meth:`anyloom.AnyToAnyModel.from_pretrained`.

    Raises:
        anyloom.errors.ConfigError: Nothing is named and nothing ships; or the config is wrong.
        anyloom.errors.CheckpointError: A folder holds no model, or a config has not been trained.
    """
    with nothing_collected():
        found = _loaded(sources, untrained, decoders_later)
    _never_again()
    return found


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Modules and weights come to stay: to look for garbage among them meanwhile takes an eighth of a start."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@functools.cache
def _never_again() -> None:
    """Nor is garbage looked for in them later, which would take a fifth of a short command when it ends.

    Once in a process: a program that calls commands itself gets all later models collected as ever.
    """
    gc.freeze()


def _loaded(sources: Sources, untrained: bool, later: bool) -> NamedModel:
    from anyloom.model.model import AnyToAnyModel

    source = sources.single("be used")
    if source is None:
        return _shipped(sources, later)
    folder = _fetched(source, sources) or Path(source)
    if os.path.isdir(folder):
        if sources.overrides:
            raise CheckpointError("a saved model takes no overrides", where=source, fix="give its config instead")
        model = AnyToAnyModel.from_pretrained(folder, trust=sources.trust, decoders_later=later)
        return NamedModel(model, source, folder)
    sections = sources.compose()
    results = [Path(s["result"]) for s in (sections, *_stages(sources, sections)) if s.get("result")]
    trained = next((r for r in results if is_saved_model(r)), None) or shipped_weights(source)
    if trained is not None:
        return _trained(sources, source, trained, later)
    if not untrained:
        raise _not_trained(source, results)
    note("note: parts without weights are random")
    require_sections(sources.overrides, ("model", "variables", "files"), "generate")
    built = AnyToAnyModel.from_config(source, sources.overrides, safe=sources.safe, trust=sources.trust)
    return NamedModel(built.eval(), source, None)


def _fetched(source: str, sources: Sources) -> Path | None:
    """The folder of a repository on the hub that was fetched before, or may be fetched now."""
    from anyloom.model.hub import fetched

    if source in get_registry().recipes or source.endswith((".yaml", ".yml")):
        return None
    try:
        return fetched(source, download=sources.download)
    except CheckpointError as error:
        if sources.download:
            raise
        raise CheckpointError(
            "there is no such file or folder, and no repository of that name was fetched before",
            where=source,
            fix="check the path, or let it be fetched from the hub with --download",
        ) from error


def _shipped(sources: Sources, later: bool) -> NamedModel:
    from anyloom.model.model import AnyToAnyModel

    folder = shipped_weights()
    if folder is None:
        raise ConfigError("no model is named, and none ships with a recipe", where="MODEL", fix="name a folder")
    require_sections(sources.overrides, ("model",), "generate")
    # a plugin that is installed may name its own code
    model = AnyToAnyModel.from_pretrained(
        _said(folder), sources.overrides, trust=not sources.safe, decoders_later=later
    )
    recipe = (
        "" if sources.overrides else next(name for name in get_registry().recipes if shipped_weights(name) == folder)
    )
    return NamedModel(model, "the weights that ship", folder, recipe)


def _trained(sources: Sources, source: str, folder: Path, later: bool) -> NamedModel:
    """What a config has trained. The folder has the model section of its training; variables are resolved in it."""
    from anyloom.model.model import AnyToAnyModel

    for override in sources.overrides:
        key, _, _ = override.partition("=")
        if not key.startswith("model.") or key.endswith(".weights"):
            what = f"it changes nothing in the trained model {folder}"
            raise ConfigError(what, where=override, fix="override options of its parts, model.x.y=..., or train again")
    # a user's own config may name code, and so may what it has trained
    trust = sources.trust or not sources.safe
    model = AnyToAnyModel.from_pretrained(_said(folder), sources.overrides, trust=trust, decoders_later=later)
    return NamedModel(model, source, folder, source if folder == shipped_weights(source) else "")


def _stages(sources: Sources, sections: dict[str, object]) -> list[dict[str, object]]:
    """The sections of the stages, last first."""
    stages = sections.get("stages") or {}
    return [sources.compose(stage) for stage in reversed(list(stages))]  # type: ignore[call-overload]


def _not_trained(source: str, results: list[Path]) -> CheckpointError:
    """A config without weights would answer with noise, which looks like an answer of a bad model."""
    places = ", ".join(str(r) for r in results) or "it names no 'result' folder"
    return CheckpointError(
        f"nothing has been trained for this config yet ({places})",
        where=source,
        fix=f"run 'anyloom fit {source}' (with --stage all where it has stages), name the folder of a saved model, "
        "or give --untrained for random weights",
    )


def _said(folder: Path) -> Path:
    note(f"model: {folder}")
    return folder


def placed(model: AnyToAnyModel, device: str, dtype: str | None = None, *, offload: bool = False) -> AnyToAnyModel:
    """Move a model to a device, in a precision.

    Args:
        model: The model.
        device: As torch names it, or ``auto`` for an accelerator if there is one.
        dtype: ``float32``, ``bfloat16`` or ``float16``; None leaves it.
        offload: Leave decoders on the CPU, from where each comes to the device for its call.

    Raises:
        anyloom.errors.ConfigError: There is no such device.
    """
    import torch

    from anyloom.generation.offloading import keep_decoders_on

    if dtype is not None or offload or device != "cpu":
        model.parts.complete()
    if dtype is not None:
        model.to(getattr(torch, dtype))  # before the device holds it
    if offload:
        keep_decoders_on(model, "cpu", device_named(device))
        return model
    return model.to(device_named(device))


def device_named(name: str) -> torch.device:
    """A device that is there.

    Args:
        name: As torch names it, or ``auto`` for an accelerator if there is one.

    Raises:
        anyloom.errors.ConfigError: There is no such device.

    >>> device_named("cpu")
    device(type='cpu')
    """
    import torch

    if name == "auto":
        name = str(torch.accelerator.current_accelerator() or "cpu") if torch.accelerator.is_available() else "cpu"
        note(f"device: {name}")
    try:
        if torch.device(name).type == "meta":
            raise ConfigError("the meta device holds no numbers", where="--device", fix="use cpu, cuda or auto")
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch names the devices it knows, or says what it lacks
        raise ConfigError(str(error).splitlines()[0], where="--device", fix="use cpu, cuda or auto") from error
