"""Fixtures of the training tests."""

from __future__ import annotations

from typing import Any

import lightning
import pytest


@pytest.fixture(autouse=True)
def _objects_as_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test put a callback object into the sections, where users write class paths."""
    from anyloom.training import run as module

    make, parsed, problems = module._callbacks, module._lightning_config, module.section_problems

    def with_objects(project: Any, *rest: Any) -> list[Any]:
        given = project.trainer.get("callbacks") or []
        objects = [c for c in given if isinstance(c, lightning.Callback)]
        return [*objects, *make(project, *rest)]

    def without_objects(project: Any) -> Any:
        given = project.trainer.get("callbacks")
        if not isinstance(given, list):
            return parsed(project)
        plain = [c for c in given if not isinstance(c, lightning.Callback)]
        return parsed(project.model_copy(update={"trainer": {**project.trainer, "callbacks": plain}}))

    def of_plain(sections: Any) -> Any:
        trainer = dict(sections.get("trainer") or {})
        if isinstance(trainer.get("callbacks"), list):
            trainer["callbacks"] = [c for c in trainer["callbacks"] if not isinstance(c, lightning.Callback)]
        return problems({**sections, "trainer": trainer} if "trainer" in sections else sections)

    monkeypatch.setattr(module, "_callbacks", with_objects)
    monkeypatch.setattr(module, "_lightning_config", without_objects)
    monkeypatch.setattr(module, "section_problems", of_plain)
