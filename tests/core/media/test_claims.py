"""Who reads a file is told by records: no class is imported for it, and nobody's plugin stands in the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from anyloom.conversation import Media
from anyloom.discovery import ComponentSpec, Registry
from anyloom.errors import AnyloomError, MediaError, PluginError
from anyloom.media import modality_of, read_media, split_modality, write_media


class Installed:
    """A registry with more modalities than are installed."""

    def __init__(self, *more: ComponentSpec) -> None:
        self.registry, self.more = Registry(), more

    def components(self, kind: str) -> list[ComponentSpec]:
        return [*self.registry.components(kind), *self.more]


def spec(name: str, **fields: object) -> ComponentSpec:
    target = f"not_there.{name}:IO"
    return ComponentSpec(kind="modality", name=name, target=target, package="stranger", version="1.0", **fields)  # type: ignore[arg-type]


def install(monkeypatch: pytest.MonkeyPatch, *more: ComponentSpec) -> None:
    installed = Installed(*more)
    monkeypatch.setattr("anyloom.media.claims.get_registry", lambda: installed)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    return write_media(Media("image", torch.rand(3, 4, 4)), tmp_path / "a.png")


def test_plugin_that_cannot_be_imported_harms_nobody(monkeypatch: pytest.MonkeyPatch, png: Path) -> None:
    install(monkeypatch, spec("broken", suffixes=(".brk",)))
    assert read_media(png).modality == "image"
    (png.parent / "a.brk").touch()
    assert modality_of(png.parent / "a.brk") == "broken"


def test_two_claims_on_a_suffix_name_both(monkeypatch: pytest.MonkeyPatch, png: Path) -> None:
    install(monkeypatch, spec("depthmap", suffixes=(".png",)))
    with pytest.raises(
        MediaError, match=r"2 modalities.*'image' of anyloom .* and 'depthmap' of stranger 1\.0"
    ) as caught:
        read_media(png)
    assert "image:a.png" in caught.value.fix
    assert read_media(png, "image").modality == "image"


def test_the_longer_suffix_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, spec("gesture", suffixes=(".gesture.png",)))
    assert modality_of(tmp_path / "wave.GESTURE.png") == "gesture"
    assert modality_of(tmp_path / "wave.png") == "image"


def test_first_bytes_tell_where_nobody_claims_the_suffix(png: Path) -> None:
    for suffix in ("", ".dat", ".image"):
        other = png.with_name(f"other{suffix}")
        other.write_bytes(png.read_bytes())
        assert read_media(other).modality == "image"
    sound = write_media(Media("audio", torch.zeros(1, 9), meta={"sample_rate": 8000}), png.with_name("a.wav"))
    sound.rename(png.with_name("sound"))
    assert read_media(png.with_name("sound")).modality == "audio"


@pytest.mark.parametrize("content", [b"", b"just words", b"RIFF1234QQQQ"])
def test_what_nobody_reads_is_said_with_what_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.docx").write_bytes(content)
    with pytest.raises(MediaError, match=r"no installed modality reads \.docx.*convert it to one of .*\.png"):
        read_media(tmp_path / "a.docx")


def test_named_modality_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_modality("image:a.png") == ("image", Path("a.png"))
    assert split_modality("a.png") == (None, Path("a.png"))
    assert split_modality("C:/a.png") == (None, Path("C:/a.png"))
    assert split_modality("depthmap:a.png") == (None, Path("depthmap:a.png")), "nobody has installed it"
    Path("image:a.png").touch()
    assert split_modality("image:a.png") == (None, Path("image:a.png")), "a file that is called so wins"


def test_nothing_is_imported_to_find_out(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from anyloom.media.claims import modality_of
heavy = ("av", "soundfile", "anyloom_media.video", "anyloom_media.image")
print(modality_of(Path("a.mp4")), modality_of(Path("a.png")), [name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split(maxsplit=2) == ["video", "image", "[]\n"]


@pytest.mark.parametrize(
    "fields",
    [
        {"suffixes": "png"},
        {"suffixes": ("png",)},
        {"suffixes": (".PNG",)},
        {"suffixes": (".",)},
        {"signatures": b"PNG"},
        {"signatures": ("PNG",)},
        {"signatures": (b"????",)},
        {"kind": "encoder", "suffixes": (".png",)},
    ],
)
def test_records_that_cannot_be_right_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(PluginError):
        ComponentSpec(**{"kind": "modality", "name": "x", "target": "a.b:C", **fields})  # type: ignore[arg-type]


def test_duplicate_names_are_said_when_one_is_used(monkeypatch: pytest.MonkeyPatch, png: Path) -> None:
    install(monkeypatch, spec("image", suffixes=(".png",)))
    with pytest.raises(AnyloomError, match="stranger"):
        read_media(png)
