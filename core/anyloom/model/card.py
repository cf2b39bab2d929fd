"""The card of a saved model, in the form of the Hugging Face hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyloom.discovery import get_registry
from anyloom.discovery.targets import is_class_path

if TYPE_CHECKING:
    from anyloom.network.network import Network

__all__ = ["card"]


def card(model: Network, name: str = "this folder") -> str:
    """A model card with the licence of every part as its plugin states it.

    Args:
        model: The model.
        name: What its example loads: a folder, or ``owner/name`` of a repository.
    """
    load = f'"{name}"' if "/" not in name else f'"{name}", download=True'
    lines = ["---", "library_name: anyloom", "pipeline_tag: any-to-any", "---", "", "# Any-to-any model", ""]
    lines += [
        f"It reads and makes text and {', '.join(sorted(model.tags)) or 'nothing else'}.",
        "",
        "```python",
        "import anyloom",
        f"model = anyloom.AnyToAnyModel.from_pretrained({load})",
        "```",
        "",
        "| part | component | licence |",
        "|---|---|---|",
    ]
    for key, kind, component in _names(model):
        spec = None if is_class_path(component) else get_registry().find(kind, component, where=key)
        lines.append(f"| {key} | {component} | {spec.licence if spec else ''} |")
    return "\n".join(lines) + "\n"


def _names(model: Network) -> list[tuple[str, str, str]]:
    """Key, kind and name of the parts that a config names."""
    config = model.config
    found = [("llm", "llm", config.llm)]
    found += [(f"encoders.{key}", "encoder", options) for key, options in config.encoders.items()]
    found += [(f"decoders.{key}", "decoder", options) for key, options in config.decoders.items()]
    return [(key, kind, str(options.get("name") or options.get("class_path"))) for key, kind, options in found]
