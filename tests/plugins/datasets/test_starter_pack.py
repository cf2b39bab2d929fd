"""The starter pack: what is shipped, how it is split, how it decodes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections import Counter, defaultdict
from importlib.resources import files
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from anyloom.errors import MediaError
from anyloom_starter import pack as pack_module
from anyloom_starter.edits import PIXEL_EDITS, content_edits, phrasings
from anyloom_starter.pack import Picture, load_pack, picture_pixels, sound_wave
from anyloom_starter.sound_edits import MAX_SAMPLES, SOUND_EFFECTS, mix

DATA = files("anyloom_starter") / "data"
REPOSITORY = Path(__file__).parents[3]


def pixels(key: str) -> torch.Tensor:
    return picture_pixels(load_pack().picture(key))


def test_counts_of_pictures_and_sounds() -> None:
    pack = load_pack()
    assert Counter(picture.style for picture in pack.pictures) == {"noto": 3786, "twemoji": 3786}
    assert len({item.key for item in (*pack.pictures, *pack.sounds)}) == 7572 + len(pack.sounds)
    assert len(pack.sounds) > 120


def test_size_of_the_data_is_at_most_eighteen_megabytes() -> None:
    assert sum(len(entry.read_bytes()) for entry in DATA.iterdir()) <= 18_000_000


def test_attribution_names_every_source_licence_and_author() -> None:
    text = (DATA / "ATTRIBUTION.md").read_text("utf-8")
    for words in ("Apache License 2.0", "CC-BY 4.0", "CC0 1.0", "Cal Henderson", "Google", "Twitter, Inc", "changed"):
        assert words in text
    for sound in load_pack().sounds:
        assert f"| {sound.key} | {sound.author} | <{sound.source}> |" in text
    assert "Apache License" in (DATA / "Apache-2.0.txt").read_text("utf-8")


def test_every_shard_has_a_checksum_that_fits() -> None:
    checksums = json.loads((DATA / "SHA256SUMS.json").read_text("utf-8"))["files"]
    assert {entry.name for entry in DATA.iterdir() if entry.name.endswith(".tar")} < set(checksums)
    for name, digest in checksums.items():
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest


def test_a_changed_shard_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    for entry in DATA.iterdir():
        (tmp_path / "data" / entry.name).write_bytes(entry.read_bytes())
    (tmp_path / "data" / "sounds-000000.tar").write_bytes(b"something else")
    monkeypatch.setattr(pack_module, "files", lambda package: tmp_path)
    with pytest.raises(MediaError, match=r"sounds-000000\.tar: this is not the published file"):
        pack_module._members.__wrapped__()
    (tmp_path / "data" / "images-000000.tar").unlink()
    with pytest.raises(MediaError, match="not complete"):
        pack_module._members.__wrapped__()


@pytest.mark.parametrize("attribute", ["stem", "subject", "base", "gender_group"])
def test_no_picture_subject_is_in_both_splits(attribute: str) -> None:
    sides = defaultdict(set)
    for picture in load_pack().pictures:
        sides[getattr(picture, attribute)].add(picture.split)
    sides.pop(None, None)
    assert all(len(splits) == 1 for splits in sides.values())


def test_no_takes_of_one_sound_are_in_both_splits() -> None:
    sides = defaultdict(set)
    for sound in load_pack().sounds:
        sides[sound.key.rstrip("0123456789").removesuffix("_hard").removesuffix("_soft")].add(sound.split)
    assert all(len(splits) == 1 for splits in sides.values())


def test_test_split_is_a_seventh_of_the_pictures_and_a_fifth_of_the_sounds() -> None:
    pack = load_pack()
    held_out = [picture for picture in pack.pictures if picture.split == "test"]
    assert len(held_out) / len(pack.pictures) == pytest.approx(0.14, abs=0.015)
    assert sum(sound.split == "test" for sound in pack.sounds) / len(pack.sounds) == pytest.approx(0.18, abs=0.04)
    assert not any(picture.sequence for picture in held_out)


def test_drawings_that_look_alike_are_on_the_same_side() -> None:
    plain = [picture for picture in load_pack().pictures if picture.tone == "none"]
    small = torch.stack([picture_pixels(picture).float() for picture in plain])
    small = torch.nn.functional.avg_pool2d(small, 4).flatten(1)
    is_test = torch.tensor([picture.split == "test" for picture in plain])
    distance = torch.cdist(small[is_test], small[~is_test], p=1) / small.shape[1]
    assert distance.min() > 1.5


def test_metadata_of_a_hand_with_a_tone() -> None:
    picture = load_pack().picture("noto/1f44b-1f3fe")
    assert (picture.name, picture.tone, picture.category) == ("waving hand", "medium-dark", "People & Body")
    assert picture.keywords == ("wave",)


def test_variants_of_gender_share_stem_and_group() -> None:
    man, woman, person = (
        load_pack().picture(f"noto/{base}") for base in ("1f937-200d-2642-fe0f", "1f937-200d-2640-fe0f", "1f937")
    )
    assert (man.stem, man.gender, woman.gender, person.gender) == ("shrugging", "man", "woman", "person")
    assert man.gender_group == woman.gender_group == person.gender_group
    assert person.name == "person shrugging"


def test_sequences_are_complete_in_both_styles() -> None:
    places = Counter(
        (picture.style, picture.sequence, picture.index) for picture in load_pack().pictures if picture.sequence
    )
    lengths = {"clock": 24, "moon": 8}
    assert places == Counter(
        (style, name, index) for style in ("noto", "twemoji") for name in lengths for index in range(lengths[name])
    )


def test_names_are_plain_lower_case_words() -> None:
    for item in (*load_pack().pictures, *load_pack().sounds):
        assert item.name == item.name.lower().strip()
        assert not set(item.name) & set("_:;<>")


def test_links_connect_sounds_to_pictures_that_exist() -> None:
    linked = {(sound.key, picture.name) for sound, picture in load_pack().links}
    assert ("misc_crow", "black bird") in linked
    assert ("perc_bell", "bell") in linked


def test_pixels_are_on_white() -> None:
    picture = pixels("noto/1f44b")
    assert picture.shape == (3, 64, 64)
    assert picture.dtype == torch.uint8
    assert picture[:, 0, 0].tolist() == [255, 255, 255]
    assert 0.3 < (picture < 250).any(dim=0).float().mean() < 0.9


def test_every_picture_and_sound_decodes() -> None:
    for picture in load_pack().pictures[::7]:
        assert picture_pixels(picture).shape == (3, 64, 64)
    for sound in load_pack().sounds:
        wave = sound_wave(sound)
        assert wave.shape == (1, round(sound.duration * 16_000))
        assert wave.shape[1] <= MAX_SAMPLES
        assert 0.05 < wave.abs().max() <= 0.81


def test_mirror_and_half_turn_undo_themselves() -> None:
    picture = pixels("noto/1f98b")
    for name in ("geometry/mirror", "geometry/upside-down", "colour/opposite"):
        apply = PIXEL_EDITS[name].apply
        assert not torch.equal(apply(picture), picture)
        assert torch.equal(apply(apply(picture)), picture)


def test_quarter_turns_are_rotations() -> None:
    picture = pixels("noto/1f98b")
    left, right = PIXEL_EDITS["geometry/turn-left"].apply, PIXEL_EDITS["geometry/turn-right"].apply
    assert torch.equal(right(left(picture)), picture)
    assert torch.equal(left(left(picture)), PIXEL_EDITS["geometry/upside-down"].apply(picture))
    assert torch.equal(left(picture)[:, 63, 0], picture[:, 0, 0])
    assert torch.equal(left(picture)[:, 63 - 20, 10], picture[:, 10, 20])


def test_colour_shifts_are_thirds_of_a_circle() -> None:
    red = torch.tensor([200, 10, 30], dtype=torch.uint8)[:, None, None].expand(3, 64, 64)
    third, rest = PIXEL_EDITS["colour/shift-third"].apply, PIXEL_EDITS["colour/shift-two-thirds"].apply
    assert third(red)[:, 0, 0].tolist() == [30, 200, 10]
    assert torch.equal(third(third(red)), rest(red))
    assert torch.equal(rest(third(red)), red)
    assert PIXEL_EDITS["colour/opposite"].apply(red)[:, 0, 0].tolist() == [10, 200, 180]


@pytest.mark.parametrize("name", PIXEL_EDITS)
def test_pixel_edits_keep_white_and_work_on_batches(name: str) -> None:
    edit = PIXEL_EDITS[name]
    white = torch.full((3, 64, 64), 255, dtype=torch.uint8)
    assert torch.equal(edit.apply(white), white)
    batch = torch.stack([pixels("noto/1f98b"), pixels("twemoji/1f98b")])
    result = edit.apply(batch)
    assert result.dtype == torch.uint8
    assert torch.equal(result[1], edit.apply(batch[1]))
    assert len(set(edit.phrasings)) >= 3


def test_content_edits_change_one_thing() -> None:
    picture = load_pack().picture("noto/1f937-200d-2642-fe0f-1f3fb")
    edits = {edit.name: edit.target for edit in content_edits(picture)}
    assert sorted(edits) == [
        "gender/man/woman",
        "style/noto/twemoji",
        *(f"tone/light/{tone}" for tone in ("dark", "medium", "medium-dark", "medium-light", "none")),
    ]
    assert edits["style/noto/twemoji"].key == picture.key.replace("noto", "twemoji")
    assert edits["gender/man/woman"].base == "1f937-200d-2640-fe0f"
    assert edits["tone/light/dark"].tone == "dark"
    assert {edit.family for edit in content_edits(picture)} == {"style", "tone", "gender"}


def test_content_edits_stay_within_style_tone_gender_and_split() -> None:
    families: Counter[str] = Counter()
    for picture in load_pack().pictures:
        for edit in content_edits(picture):
            families[edit.family] += 1
            changed = {
                name for name in ("style", "tone", "gender") if getattr(picture, name) != getattr(edit.target, name)
            }
            assert changed == {edit.family}
            assert edit.target.split == picture.split
            assert len(phrasings(edit.name)) >= 3
    assert families["style"] == 7572
    assert families["gender"] > 1000


def test_sound_effects_keep_the_format() -> None:
    wave = sound_wave(load_pack().sound("misc_crow"))
    for effect in SOUND_EFFECTS.values():
        result = effect.apply(wave)
        assert result.dtype == torch.float32
        assert result.shape[0] == 1
        assert result.shape[1] <= MAX_SAMPLES
        assert result.abs().max() <= 1
    assert torch.equal(SOUND_EFFECTS["effect/reverse"].apply(wave).flip(-1), wave)
    assert torch.allclose(SOUND_EFFECTS["effect/louder"].apply(SOUND_EFFECTS["effect/softer"].apply(wave)), wave)


def test_higher_is_a_fifth_higher() -> None:
    time = torch.arange(16_000) / 16_000
    wave = (0.5 * torch.sin(2 * torch.pi * 400 * time))[None]
    for name, frequency in (("effect/higher", 600), ("effect/lower", 400 / 1.5)):
        result = SOUND_EFFECTS[name].apply(wave)[0]
        spectrum = torch.fft.rfft(result * torch.hann_window(len(result))).abs()
        assert spectrum.argmax() * 16_000 / len(result) == pytest.approx(frequency, abs=2)


def test_mix_adds_parts_at_their_gain() -> None:
    short, long = torch.full((1, 3), 0.5), torch.full((1, 5), -0.5)
    assert mix([(short, 1.0), (long, 0.5)]).tolist() == [[0.25, 0.25, 0.25, -0.25, -0.25]]


def _decode(picture: Picture) -> int:
    return int(picture_pixels(picture).sum())


def test_records_and_pack_pickle_into_spawned_workers() -> None:
    pack = load_pack()
    assert pickle.loads(pickle.dumps(pack)) == pack
    assert len(pickle.dumps(pack)) < 200
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(_decode, (pack.pictures[5],)) == _decode(pack.pictures[5])


@pytest.mark.parametrize("shard", ["images-000007.tar", "sounds-000000.tar"])
def test_a_shard_built_again_has_the_same_bytes(shard: str, tmp_path: Path) -> None:
    sources = os.environ.get("ANYLOOM_STARTER_SOURCES")
    if sources is None:
        pytest.skip("ANYLOOM_STARTER_SOURCES (a folder with google, twitter and sounds) is not set")
    script = REPOSITORY / "scripts/build_starter_pack.py"
    folders = [str(Path(sources, name)) for name in ("google", "twitter", "sounds")]
    command = [sys.executable, str(script), *folders, "--output", str(tmp_path), "--only", shard]
    subprocess.run(command, check=True)
    assert (tmp_path / shard).read_bytes() == (DATA / shard).read_bytes()
