"""The class behind a name: imported when it is asked for, and refused where it is not what its kind demands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.core.discovery.conftest import Install, component

from anyloom.building import build, building_once, component_class
from anyloom.discovery import Registry, get_registry
from anyloom.errors import PluginError, UnknownNameError
from anyloom.interfaces import Encoder, Projector, interface

PARTS = """
import torch
from anyloom.interfaces import Encoder, FeatureSpace, Projector

class Part(Encoder):
    def feature_space(self, modality):
        return FeatureSpace(name="tiny", dim=2)
    def preprocess(self, media):
        return torch.zeros(2)
    def forward(self, inputs, modality):
        return inputs.unsqueeze(1)

class Unfinished(Encoder):
    def forward(self, inputs, modality):
        return inputs

class Stranger:
    pass

class WrongConfig(Part):
    class Config:
        freeze = True

function = len
"""


@pytest.fixture
def registry(install: Install, site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Registry]]:
    """The Registry class in this process, with the folder of plugins on the path."""
    monkeypatch.syspath_prepend(str(site))
    yield Registry
    for name in [n for n in sys.modules if n.startswith("anyloom_tiny")]:
        del sys.modules[name]


def test_class_behind_a_name(install: Install, registry: type[Registry]) -> None:
    install("anyloom_tiny", component("tiny"), parts=PARTS)
    found = registry()
    assert "anyloom_tiny.parts" not in sys.modules
    cls = component_class("encoder", "tiny", registry=found)
    assert issubclass(cls, Encoder)
    assert cls.__module__ == "anyloom_tiny.parts"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("Stranger", "is not a subclass of Encoder"),
        ("function", "is not a subclass of Encoder"),
        ("Unfinished", "does not implement feature_space, preprocess"),
        ("WrongConfig", "the Config of .* is not a ComponentConfig"),
        ("Nobody", "cannot be imported: .*Nobody"),
    ],
)
def test_wrong_class_is_refused(install: Install, registry: type[Registry], target: str, message: str) -> None:
    install("anyloom_tiny", component("tiny", target=f"anyloom_tiny.parts:{target}"), version="1.1", parts=PARTS)
    with pytest.raises(PluginError, match=message) as caught:
        component_class("encoder", "tiny", where="model.encoders.x", registry=registry())
    assert caught.value.where == "model.encoders.x"
    assert "encoder 'tiny' of anyloom-tiny 1.1" in str(caught.value)


def test_class_of_another_kind_is_refused(install: Install, registry: type[Registry]) -> None:
    install("anyloom_tiny", component("tiny", kind="projector"), parts=PARTS)
    with pytest.raises(PluginError, match="is not a subclass of Projector"):
        component_class("projector", "tiny", registry=registry())


@pytest.mark.parametrize(
    ("parts", "cause"),
    [("raise OSError('libcuda is too old')", "OSError: libcuda is too old"), ("import nowhere_lib", "nowhere_lib")],
)
def test_module_that_breaks_on_import(install: Install, registry: type[Registry], parts: str, cause: str) -> None:
    install("anyloom_tiny", component("tiny"), parts=parts)
    with pytest.raises(PluginError, match="cannot be imported") as caught:
        component_class("encoder", "tiny", registry=registry())
    assert cause in str(caught.value)
    assert caught.value.__cause__ is not None


def test_dotted_class_path_needs_no_entry_point(install: Install, registry: type[Registry]) -> None:
    install("anyloom_tiny", component("another"), parts=PARTS)
    assert component_class("encoder", "anyloom_tiny.parts.Part", registry=registry()).__name__ == "Part"
    with pytest.raises(PluginError, match=r"class path in the config.*is not a subclass of Encoder"):
        component_class("encoder", "anyloom_tiny.parts.Stranger", registry=registry())


def test_dotted_class_path_that_leads_nowhere() -> None:
    with pytest.raises(PluginError, match="No module named 'no_such_package'"):
        component_class("encoder", "no_such_package.module.Class", where="model.encoders.x")


def test_name_with_a_version_number_is_no_class_path(install: Install, registry: type[Registry]) -> None:
    install("anyloom_tiny", component("tiny", name="tiny-2.1"), parts=PARTS)
    assert component_class("encoder", "tiny-2.1", registry=registry()).__name__ == "Part"
    with pytest.raises(UnknownNameError, match=r"did you mean 'tiny-2\.1'\?"):
        component_class("encoder", "tiny-2.2", registry=registry())


def test_core_class_by_name() -> None:
    assert issubclass(component_class("projector", "mlp"), Projector)


@pytest.mark.parametrize("spec", get_registry().components(), ids=lambda s: f"{s.kind}-{s.name}")
def test_every_installed_component_is_what_its_kind_demands(spec) -> None:  # type: ignore[no-untyped-def]
    if (status := get_registry().status(spec)).startswith("needs"):
        pytest.skip(status)
    assert issubclass(component_class(spec.kind, spec.name), interface(spec.kind))


def test_command_that_cannot_be_imported(install: Install, registry: type[Registry]) -> None:
    source = "@hookimpl\ndef anyloom_commands(): return [CommandSpec(name='hop', target='anyloom_tiny.nowhere:main')]\n"
    install("anyloom_tiny", source)
    with pytest.raises(PluginError, match=r"command 'hop'.*cannot be imported.*anyloom_tiny\.nowhere"):
        registry().command("hop")


def test_registry_is_made_once_per_allow_list() -> None:
    assert get_registry() is get_registry()
    assert get_registry(["anyloom"]) is get_registry(("anyloom",))
    assert get_registry(["anyloom"]) is not get_registry([])


def test_where_components_are_only_looked_at_each_is_built_once() -> None:
    options = {"modality": "image", "widths": [8, 8, 8]}
    with building_once():
        one, same = (build("encoder", "conv", dict(options)) for _ in range(2))
        other = build("encoder", "conv", {**options, "widths": [8, 8, 16]})
        assert one is same
        assert other is not one
        assert build("projector", "mlp", in_dim=2, out_dim=3) is not build("projector", "mlp", in_dim=2, out_dim=3)
    assert build("encoder", "conv", options) is not build("encoder", "conv", options)
