"""How lmms-eval finds the model: an entry point of its group ``lmms_eval.models``."""

from __future__ import annotations

from typing import Any

__all__ = ["manifest"]


def manifest() -> Any:
    """Name the class that answers; lmms-eval calls this when it looks for models."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="anyloom", chat_class_path="anyloom_suites.lmms.model.AnyloomChat")
