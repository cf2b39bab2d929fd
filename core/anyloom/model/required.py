"""Which packages a saved model's components come from, so that one that is missing is named by its real package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from anyloom.discovery import get_registry
from anyloom.errors import CheckpointError
from anyloom.network.config import ModelConfig
from anyloom.network.parts import Parts
from anyloom.options import split_name

__all__ = ["check_required", "required_packages"]

_PACKAGE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", re.ASCII)
_VERSION: Final = re.compile(r"[A-Za-z0-9.+!]{1,40}", re.ASCII)


def required_packages(parts: Parts, config: ModelConfig) -> list[dict[str, Any]]:
    """What ``requires`` of a saved model says: ``{package, version, components}``, components as ``"kind name"``.

    Classes that are named by their path belong to no package that is known.
    """
    named = {("modality", name) for name in config.modalities}
    for part in parts.components():
        options: Any = config
        for key in part.key.split(".")[1:]:
            options = options[key] if isinstance(options, Mapping) else getattr(options, key)
        named.add((part.kind, split_name(options, where=part.key)[0]))
    packages: dict[tuple[str, str], set[str]] = {}
    for spec in get_registry().components():
        if (spec.kind, spec.name) in named:
            packages.setdefault((spec.package, spec.version), set()).add(f"{spec.kind} {spec.name}")
    found = [{"package": p, "version": v, "components": sorted(packages[p, v])} for p, v in sorted(packages)]
    return [one for one in found if _is_requirement(one)]  # a checkout may have no version


def check_required(record: Mapping[str, Any], where: str) -> None:
    """Name the packages whose components nobody provides here.

    What a saved model says may come from a stranger: nothing is installed by itself, and the package's name is said to
    be the model's word.

    Args:
        record: What :func:`anyloom.config.saved.read_record` returns; models that say nothing pass.
        where: The saved model, for errors.

    Raises:
        anyloom.errors.CheckpointError: A component is missing, or what the record says has another form.

    >>> check_required({"requires": []}, "runs/mine")
    """
    required = record.get("requires", [])
    if not isinstance(required, list) or not all(_is_requirement(one) for one in required):
        raise CheckpointError("'requires' should be a list of package, version and components", where=where)
    registry, lacking = get_registry(), []
    for one in required:
        missing = [name for name in one["components"] if not registry.provides(*name.split(" "))]
        if missing:
            lacking.append((one["package"], one["version"], missing))
    if lacking:
        what = "; ".join(f"the {' and the '.join(names)} of {package} {version}" for package, version, names in lacking)
        command = " ".join(f"'{package}=={version}'" for package, version, _ in lacking)
        raise CheckpointError(
            f"this model was saved with what is not installed here: {what}",
            where=where,
            fix=f"if you trust who made the model and that package: pip install {command}",
        )


def _is_requirement(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    package, version, components = (value.get(key) for key in ("package", "version", "components"))
    return (
        isinstance(package, str)
        and isinstance(version, str)
        and isinstance(components, list)
        and _PACKAGE.fullmatch(package) is not None
        and _VERSION.fullmatch(version) is not None
        and all(isinstance(name, str) and re.fullmatch(r"[a-z]+ [\w.-]{1,100}", name, re.ASCII) for name in components)
    )
