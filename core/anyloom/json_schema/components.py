"""Definitions of the kinds of components: their names, and the options that go with each name."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from anyloom.building import component_class
from anyloom.data.mixing import MixingOptions
from anyloom.discovery import KINDS, ComponentSpec, Registry
from anyloom.json_schema.options import PARTIAL, definitions, with_interpolation

__all__ = ["component_definitions", "importable"]

_CLASS_PATH: Final = {
    "type": "string",
    "pattern": r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
    "description": "Dotted class path",
}
_UNNAMED: Final = {"not": {"anyOf": [{"required": ["name"]}, {"required": ["class_path"]}]}}


def importable(registry: Registry) -> tuple[dict[ComponentSpec, type[BaseModel]], dict[ComponentSpec, str]]:
    """The Config of every component, and why that of others cannot be had."""
    found: dict[ComponentSpec, type[BaseModel]] = {}
    broken: dict[ComponentSpec, str] = {}
    for spec in registry.components():
        try:
            config: type[BaseModel] = component_class(spec.kind, spec.name, registry=registry).Config
            config.model_json_schema()
            found[spec] = config
        except Exception as error:  # a plugin's own; its name stays known
            broken[spec] = " ".join(str(error).split())
    return found, broken


def component_definitions(registry: Registry) -> dict[str, Any]:
    """Definitions ``kind.<kind>`` and all that they refer to, whole and partial."""
    configs, broken = importable(registry)
    names, made = definitions([*configs.values(), MixingOptions])
    for spec, config in configs.items():
        for suffix in ("", PARTIAL):
            options = made[names[config] + suffix]
            if spec.kind == "dataset":
                mixing = made[names[MixingOptions] + suffix]["properties"]
                options = {**options, "properties": {**options.get("properties", {}), **mixing}}
            made[_label(spec) + suffix] = _component(spec, options)
    for kind in KINDS:
        known = [s for s in configs if s.kind == kind]
        other = {s.name: cause for s, cause in broken.items() if s.kind == kind}
        for suffix in ("", PARTIAL):
            made[f"kind.{kind}{suffix}"] = _kind(known, other, made, suffix)
    return made


def _label(spec: ComponentSpec) -> str:
    return f"{spec.kind}.{spec.name}"


def _component(spec: ComponentSpec, options: dict[str, Any]) -> dict[str, Any]:
    properties = {"name": {"const": spec.name}, **options.get("properties", {})}
    kept = {k: v for k, v in options.items() if k not in ("description", "properties")}
    return {**kept, "description": _summary(spec), "properties": properties}


def _summary(spec: ComponentSpec) -> str:
    return f"{spec.summary}. {spec.package}, licence {spec.licence}"


def _kind(known: list[ComponentSpec], broken: dict[str, str], made: dict[str, Any], suffix: str) -> dict[str, Any]:
    """A mapping with a name, or a class path, and the options of that component."""
    names: list[Any] = [{"const": s.name, "description": _summary(s)} for s in known]
    names += [{"const": name, "description": f"Cannot be used here: {cause}"} for name, cause in broken.items()]
    unnamed: dict[str, Any] = {}
    for spec in known:
        unnamed |= {k: _note(v) for k, v in made[_label(spec) + suffix]["properties"].items()}
    rules: list[Any] = [
        {
            "if": {"properties": {"name": {"const": spec.name}}, "required": ["name"]},
            "then": {"$ref": f"#/$defs/{_label(spec)}{suffix}"},
        }
        for spec in known
    ]
    if suffix and not broken:  # options of a component that an earlier file names
        rules.append({"if": _UNNAMED, "then": {"properties": unnamed, "additionalProperties": False}})
    whole: dict[str, Any] = {} if suffix else {"anyOf": [{"required": ["name"]}, {"required": ["class_path"]}]}
    return {
        "type": "object",
        "properties": {
            "name": with_interpolation({"anyOf": [*names, _CLASS_PATH]}),
            "class_path": _CLASS_PATH,
        },
        **whole,
        **({"allOf": rules} if rules else {}),
    }


def _note(option: Any) -> Any:
    """An option of which only the name is known."""
    return {"description": option["description"]} if isinstance(option, dict) and "description" in option else True
