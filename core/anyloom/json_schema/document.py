"""The whole schema of a configuration file (JSON Schema, draft 2020-12)."""

from __future__ import annotations

from typing import Any

from anyloom.config.schema import ProjectConfig
from anyloom.discovery import Registry, get_registry
from anyloom.json_schema.components import component_definitions
from anyloom.json_schema.options import BASICS, PARTIAL, definitions, reference, with_interpolation
from anyloom.json_schema.trainer import trainer_definition
from anyloom.network.config import ModelConfig

__all__ = ["config_schema"]

_DEFAULTS = {
    "description": "Configs that this one changes, first to last: files beside it, names of recipes, saved models",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}


def config_schema(registry: Registry | None = None) -> dict[str, Any]:
    """Return the schema of configs with everything that is installed.

    A file with ``defaults:`` changes another one, so that nothing is required in it; the same holds for stages. A
    component that cannot be imported takes any options. What depends on several values (feature spaces that do not
    fit, references between sections) is left to ``anyloom check``.

    Args:
        registry: Where components come from; by default what is installed.
    """
    registry = registry or get_registry()
    names, made = definitions([ProjectConfig, ModelConfig])
    made |= component_definitions(registry) | BASICS
    made["trainer"] = trainer_definition()
    modalities = [spec.name for spec in registry.components("modality")]
    for suffix in ("", PARTIAL):
        partial = bool(suffix)
        section = made[names[ModelConfig] + suffix]["properties"]["modalities"]
        _offer(section, modalities)
        project = made[names[ProjectConfig] + suffix]
        properties: dict[str, Any] = project["properties"]
        properties["model"] = _noted(properties["model"], reference(names[ModelConfig], partial=partial))
        properties["trainer"] = _noted(properties["trainer"], {"$ref": "#/$defs/trainer"})
        properties["variables"] = {"description": "Values of your own, for ${variables.x}", "type": "object"}
        stage = {**project, "properties": {k: v for k, v in properties.items() if k != "stages"}}
        made[f"stage{suffix}"] = stage
        one_stage = {"$ref": f"#/$defs/stage{PARTIAL}"}  # null takes a stage of the file's defaults out
        properties["stages"] = {
            "description": properties["stages"].get("description", ""),
            "anyOf": [
                {"type": "object", "additionalProperties": {"anyOf": [one_stage, {"type": "null"}]}},
                {"type": "null"},
            ],
        }
        properties["defaults"] = _DEFAULTS
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "anyloom configuration",
        "type": "object",
        "if": {"required": ["defaults"]},
        "then": reference(names[ProjectConfig], partial=True),
        "else": reference(names[ProjectConfig], partial=False),
        "$defs": made,
    }


def _noted(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A section's new schema with the old one's description."""
    return {"description": old.get("description", ""), **with_interpolation(new)}


def _offer(section: dict[str, Any], names: list[str]) -> None:
    """Let an editor complete the names of installed modalities; others are allowed."""
    for branch in section.get("anyOf", [section]):
        if "additionalProperties" in branch:
            branch["properties"] = dict.fromkeys(names, branch["additionalProperties"])
