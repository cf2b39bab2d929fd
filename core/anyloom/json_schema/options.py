"""From pydantic classes to definitions of a schema in which ``${...}`` may stand for any value.

Every definition comes twice: whole, and as part of a file that changes another one (``defaults:``, ``stages:``), where
nothing is required.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema, to_jsonable_python

from anyloom.discovery import KINDS
from anyloom.json_schema.descriptions import option_descriptions

__all__ = [
    "BASICS",
    "PARTIAL",
    "adapted",
    "definitions",
    "described_schema",
    "kind_of",
    "reference",
    "with_interpolation",
]

PARTIAL: Final = ".partial"
BASICS: Final[dict[str, Any]] = {
    "interpolation": {"type": "string", "pattern": r"\$\{.+\}", "description": "${...}: another value of the config"},
    "number as text": {"type": "string", "pattern": r"\$\{.+\}|^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"},
}
_KINDS_OF_TABLES: Final = {f"{kind}es" if kind.endswith("s") else f"{kind}s": kind for kind in KINDS}
_NOTES: Final = ("title", "description", "default", "examples", "deprecated")


class _WithDescriptions(GenerateJsonSchema):
    """Takes the descriptions of options from docstrings, and their defaults also where a function makes them."""

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        """Return the schema of one class."""
        made = super().model_schema(schema)
        properties: dict[str, Any] = made.get("properties", {})
        for name, text in option_descriptions(schema["cls"]).items():
            if name in properties:
                properties[name].setdefault("description", text)
        for name, option in schema["cls"].model_fields.items():
            if name in properties and option.default_factory is not None:
                default = option.get_default(call_default_factory=True, validated_data={})
                properties[name].setdefault("default", to_jsonable_python(default))
        return made


def definitions(models: Sequence[type[BaseModel]]) -> tuple[dict[Any, str], dict[str, Any]]:
    """Return the name of each class among the definitions, and all definitions, each whole and partial."""
    pairs = [(model, "validation") for model in dict.fromkeys(models)]
    refs, made = models_json_schema(pairs, ref_template="{model}", schema_generator=_WithDescriptions)  # type: ignore[arg-type]
    names = {model: str(ref["$ref"]) for (model, _), ref in refs.items()}
    every: dict[str, Any] = {}
    for name, schema in made["$defs"].items():
        every[name] = adapted(schema, partial=False)
        every[name + PARTIAL] = adapted(schema, partial=True)
    return names, every


def reference(name: str, *, partial: bool) -> dict[str, Any]:
    """Refer to a definition.

    >>> reference("kind.llm", partial=False)
    {'$ref': '#/$defs/kind.llm'}
    """
    return {"$ref": f"#/$defs/{name}{PARTIAL if partial else ''}"}


def described_schema(config: type[BaseModel]) -> dict[str, Any]:
    """Return pydantic's schema of one class, with the descriptions of its docstrings.

    >>> class Sizes(BaseModel):
    ...     layers: int = 2
    >>> described_schema(Sizes)["properties"]["layers"]["type"]
    'integer'
    """
    return config.model_json_schema(schema_generator=_WithDescriptions)


def kind_of(key: str) -> str:
    """Return the kind of component that an option's name is, or ends with; else an empty string.

    >>> kind_of("decoder"), kind_of("input_projector"), kind_of("decoders")
    ('decoder', 'projector', '')
    """
    return next((kind for kind in KINDS if key == kind or key.endswith(f"_{kind}")), "")


def adapted(schema: Any, *, partial: bool, key: str = "") -> Any:
    """Return pydantic's schema with interpolations, components and working references.

    Args:
        schema: As pydantic gives it.
        partial: Leave out what is required.
        key: Name of the option. A free mapping whose name is, or ends with, a kind of component is a component; one
            with a kind's plural holds components by keys of the user's choice.

    >>> adapted({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}, partial=True)
    {'type': 'object', 'properties': {'a': {'type': 'string'}}}
    """
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        notes = {k: v for k, v in schema.items() if k in _NOTES}
        return {**notes, **reference(schema["$ref"], partial=partial)}
    if (kind := kind_of(key)) and _is_free(schema):
        return {**{k: v for k, v in schema.items() if k in _NOTES}, **reference(f"kind.{kind}", partial=partial)}
    made: dict[str, Any] = {}
    for word, value in schema.items():
        if word in ("properties", "patternProperties"):
            made[word] = {k: with_interpolation(adapted(v, partial=partial, key=k)) for k, v in value.items()}
        elif word == "additionalProperties":
            inner = _KINDS_OF_TABLES.get(key, "")
            made[word] = with_interpolation(adapted(value, partial=partial, key=inner))
        elif word == "items":
            made[word] = with_interpolation(adapted(value, partial=partial))
        elif word == "prefixItems":
            made[word] = [with_interpolation(adapted(v, partial=partial)) for v in value]
        elif word in ("anyOf", "oneOf", "allOf"):
            made["anyOf" if word == "oneOf" else word] = [adapted(v, partial=partial, key=key) for v in value]
        elif word not in ("discriminator", "title") and not (partial and word == "required"):
            made[word] = value
    return made


def with_interpolation(schema: Any) -> Any:
    """Return a schema that also takes ``${...}``, and numbers that YAML 1.1 reads as text, such as ``1e-4``.

    >>> with_interpolation({"type": "boolean"})
    {'anyOf': [{'type': 'boolean'}, {'$ref': '#/$defs/interpolation'}]}
    """
    if not isinstance(schema, dict) or not set(schema) - set(_NOTES) or _takes_text(schema):
        return schema
    notes = {k: v for k, v in schema.items() if k in _NOTES}
    rest = {k: v for k, v in schema.items() if k not in _NOTES}
    branches = rest["anyOf"] if set(rest) == {"anyOf"} else [rest]
    numbers = any(isinstance(b, dict) and b.get("type") in ("number", "integer") for b in branches)
    text = {"$ref": f"#/$defs/{'number as text' if numbers else 'interpolation'}"}
    return {**notes, "anyOf": [*branches, text]}


def _takes_text(schema: dict[str, Any]) -> bool:
    if "anyOf" in schema:
        return any(isinstance(branch, dict) and _takes_text(branch) for branch in schema["anyOf"])
    return schema.get("type") == "string" and not {"enum", "const", "pattern", "format"} & set(schema)


def _is_free(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "object" and schema.get("additionalProperties") is True and "properties" not in schema
