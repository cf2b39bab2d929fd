"""Readers against tiny data sets in exactly the published layouts, quirks included."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from anyloom.building import build
from anyloom.errors import BadRecord, ConfigError
from anyloom_corpora.fixtures.layouts import LAYOUTS, write_layout
from anyloom_corpora.fixtures.media import picture_bytes
from anyloom_corpora.reader import Part
from anyloom_corpora.readers.dream_bench import KEPT
from anyloom_corpora.readers.open_images import Box, relation


@pytest.fixture(scope="session")
def layouts(tmp_path_factory):
    """Every layout, written once; tests that change one copy it."""
    made: dict[str, Path] = {}

    def folder(name):
        if name not in made:
            made[name] = write_layout(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder


def source(name, root, split="train", **options):
    return build("dataset", name, {"root": str(root), **options}).source(split)


def pixels(content: bytes):
    """What another library makes of a picture's bytes, ``(3, H, W)`` in 0..1."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1) / 255


def same_picture(media, content: bytes) -> bool:
    data = media.tensor().numpy()
    data = data / 255 if data.dtype == np.uint8 else data
    return np.allclose(data, pixels(content), atol=1e-6)


def every(records):
    return [records[n] for n in range(len(records))]


# ---- captions ------------------------------------------------------------------------------------------------------


def test_webvid_rows_find_their_clips_and_keep_commas_and_quotes(layouts):
    records = every(source("webvid", layouts("webvid")))
    assert [r["caption"] for r in records] == [f'A square, called "{n}", becomes light' for n in range(4)]
    assert [r["key"] for r in records] == ["0", "1", "2", "3"]
    assert records[3]["video"].path.endswith("videos/000001_000002/3.mp4")
    assert records[0]["video"].tensor().shape == (6, 3, 32, 32)
    assert len(source("webvid", layouts("webvid"), "val")) == 4


def test_clips_bring_their_sound_if_asked(layouts):
    record = source("webvid", layouts("webvid"), sound=True)[1]
    assert record["audio"].meta == {"sample_rate": 16000}
    wave = record["audio"].tensor()[0].numpy()
    spectrum = np.abs(np.fft.rfft(wave[2000:14000]))
    assert np.argmax(spectrum) * 16000 / 12000 == pytest.approx(240, abs=3)


def test_webvid_tars_are_read_by_shards(layouts):
    records = every(source("shards", layouts("webvid-tars"), modalities=["video"]))
    assert [r["key"] for r in records] == [f"{n:08d}" for n in range(4)]
    assert records[2]["caption"] == "A square 2 becomes light"
    assert records[2]["video"].tensor().shape == (6, 3, 32, 32)


def test_other_sets_of_clips_are_read_by_naming_their_columns(layouts, tmp_path):
    shutil.copytree(layouts("webvid"), tmp_path / "set")
    table = tmp_path / "set" / "openvid.csv"
    table.write_text("video,words,seconds\nvideos/000000_000001/0.mp4,a light,1\n", encoding="utf-8")
    record = source("captioned", tmp_path / "set", train="openvid.csv", video=["{video}"], caption="words")[0]
    assert record["caption"] == "a light"
    assert record["video"].meta == {"fps": 6}


def test_audiocaps_sounds_have_either_name(layouts):
    records = every(source("audiocaps", layouts("audiocaps")))
    assert [r["caption"] for r in records][:2] == ["a dog barking, far away", "rain on a roof, far away"]
    assert [Path(r["audio"].path).name[:2] for r in records] == ["yt", "Yy"] * 3
    held = every(source("audiocaps", layouts("audiocaps"), "test"))
    assert len({r["audio"].key for r in held}) == 2
    assert [r["key"] for r in held] == [str(n) for n in range(200, 206)]


def test_audiocaps_as_next_gpt_has_it(layouts, tmp_path):
    shutil.copytree(layouts("audiocaps"), tmp_path / "set")
    rows = [{"audio_id": "7", "audio_name": "ytnext-_x.wav", "caption": "a hum"}]
    (tmp_path / "set" / "next.json").write_text(json.dumps(rows), encoding="utf-8")
    shutil.copy(tmp_path / "set/audio/yt000-_x.wav", tmp_path / "set/audio/ytnext-_x.wav")
    options = {"train": "next.json", "audio": ["audio/{audio_name}"], "key": "audio_id"}
    assert source("audiocaps", tmp_path / "set", **options)[0]["caption"] == "a hum"


def test_audioset_skips_comments_composes_captions_and_knows_names_of_tools(layouts):
    records = every(source("audioset", layouts("audioset")))
    assert len(records) == 6
    assert records[0]["labels"] == ["Speech"]
    assert records[0]["label"] == "the sound of speech"
    assert records[1]["caption"] == "The sound of dog and rain"
    assert "label" not in records[1]
    assert [Path(r["audio"].path).suffix for r in records] == [".wav", ".wav", ".wav", ".flac", ".wav", ".wav"]
    assert records[1]["key"].startswith("-")


def test_audioset_clips_bring_their_sound(layouts):
    record = source("audioset", layouts("audioset-clips"), audio=[], video=["video/{ytid}.mp4"])[2]
    assert record["video"].tensor().shape[0] == 6
    assert record["audio"].tensor().shape[1] > 14_000


def test_class_words_become_labels(layouts):
    options = {"train": "meta/esc50.csv", "audio": ["audio/{filename}"], "caption": "category", "label": "category"}
    record = source("captioned", layouts("sound-classes"), **options)[1]
    assert (record["label"], record["audio"].meta["sample_rate"]) == ("church bells", 44_100)


@pytest.mark.parametrize("layout", ["laion", "laion-files", "laion-parquet"])
def test_laion_in_its_three_layouts(layouts, layout):
    records = every(source("laion", layouts(layout)))
    assert len(records) == (4 if layout == "laion" else 6)  # failed rows stand in the parquet beside the tar alone
    assert all(record["caption"].startswith("a disc number") for record in records)
    number = {"laion": 11, "laion-files": 3, "laion-parquet": 3}[layout]
    assert same_picture(records[3]["image"], picture_bytes(number))


def test_laion_rows_that_failed_are_missing_where_the_parquet_is_read(layouts, tmp_path):
    for name in ("00000.parquet", "00001.parquet"):
        shutil.copy(layouts("laion") / name, tmp_path)
    records = source("laion", tmp_path, layout="parquet")
    assert len(records) == 6
    with pytest.raises(BadRecord, match="404") as failure:
        records[2]
    assert failure.value.reason == "missing"


def test_a_folder_a_split_goes_before_shares(layouts, tmp_path):
    shutil.copytree(layouts("laion"), tmp_path / "train")
    shutil.copytree(layouts("laion-files"), tmp_path / "val")
    assert (len(source("laion", tmp_path)), len(source("laion", tmp_path, "val"))) == (4, 6)
    shared = [len(source("laion", layouts("laion-files"), s, shares=[0.5, 0.5, 0])) for s in ("train", "val", "test")]
    assert shared == [3, 3, 0]


# ---- edits ---------------------------------------------------------------------------------------------------------


def test_instruct_pix2pix_seeds_of_a_prompt_are_each_others_examples(layouts):
    records = source("instruct-pix2pix", layouts("instruct-pix2pix"), shares=[1, 0, 0])
    keys = [record["key"] for record in every(records)]
    assert len(keys) == 2 + 3 + 1 + 2 + 3 + 1
    assert keys[:3] == ["0000000/34850", "0000000/34851", "0000001/34860"]
    assert records.related(0) == [1]
    assert records.related(3) == [2, 4]
    assert records.related(5) == []
    record = records[3]
    assert (record["edit"], record["caption"]) == ("change the colour 1", "a disc 1")
    assert same_picture(record["before"], picture_bytes(11))
    assert same_picture(record["after"], picture_bytes(16))


def test_instruct_pix2pix_never_splits_a_prompt(layouts):
    root = layouts("instruct-pix2pix")
    parts = {s: source("instruct-pix2pix", root, s, shares=[0.5, 0.34, 0.16]) for s in ("train", "val", "test")}
    prompts = [{record["key"][:7] for record in every(part)} for part in parts.values()]
    assert [len(p) for p in prompts] == [3, 2, 1]
    assert not set.intersection(*prompts)


def test_instruct_pix2pix_parquet_groups_rows_by_instruction(layouts):
    records = source("instruct-pix2pix", layouts("instruct-pix2pix-parquet"), shares=[1, 0, 0])
    assert len(records) == 12
    assert list(records.related(1)) == [4, 7, 10]
    assert same_picture(records[7]["after"], picture_bytes(47))
    cut = source("instruct-pix2pix", layouts("instruct-pix2pix-parquet"), shares=[0.5, 0.5, 0])
    assert list(cut.related(1)) == [4]


def test_prompts_with_too_few_seeds_are_left_out(layouts, tmp_path):
    records = source("instruct-pix2pix", layouts("instruct-pix2pix"), shares=[1, 0, 0], least=2)
    assert sorted({record["key"][:7] for record in every(records)}) == ["0000000", "0000001", "0000003", "0000004"]
    assert all(records.related(n) for n in range(len(records)))
    shutil.copytree(layouts("instruct-pix2pix-parquet"), tmp_path / "set")
    rows = [{"original_image": {"bytes": b"x"}, "edit_prompt": f"own {n}", "edited_image": None} for n in (0, 1)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "set/data/a.parquet")
    records = source("instruct-pix2pix", tmp_path / "set", shares=[1, 0, 0], least=2)
    assert [record["edit"] for record in every(records)] == [f"change the colour {n % 3}" for n in range(12)]
    assert list(records.related(1)) == [4, 7, 10]
    assert [n for shard in records.shards for n in shard] == list(range(12))


def test_kosmos_g_composition_draws_a_crop_of_each_tag(layouts):
    records = source("kosmos-g", layouts("kosmos-g"))
    assert len(records) == 4
    record = records[3]
    assert record["caption"] == 'A "big" dog on the red chair 2'
    assert [part[0] for part in record["parts"]] == ["dog", "red chair"]
    assert same_picture(record["image"], picture_bytes(2))
    assert same_picture(record["parts"][1][1], picture_bytes(32))
    assert same_picture(record["parts"][1][2], picture_bytes(42))
    samples = build("dataset", "kosmos-g", {"root": str(layouts("kosmos-g"))}).build("train")
    shown = {samples.draw(3, seed).conversation.media[1].key for seed in range(12)}
    assert shown == {media.key for media in record["parts"][1][1:]}
    listed = source("kosmos-g", layouts("kosmos-g"), manifest="json/train.json")
    assert [r["caption"] for r in every(listed)] == [r["caption"] for r in every(records)]
    assert [len(shard) for shard in listed.shards] == [2, 2]


def test_kosmos_g_edits_bring_pairs_of_their_own(layouts):
    record = source("kosmos-g", layouts("kosmos-g-edits"), form="edit")[1]
    assert len(record["pairs"]) == 2
    assert same_picture(record["after"], picture_bytes(11))
    builder = build("dataset", "kosmos-g", {"root": str(layouts("kosmos-g-edits")), "form": "edit"})
    tasks = {sample.task for sample in (builder.build("train").draw(1, seed) for seed in range(8))}
    assert tasks == {"image-edit", "image-exemplar"}


# ---- composition, subjects, inference ------------------------------------------------------------------------------


def test_open_images_cuts_out_objects_and_tells_their_relation(layouts):
    records = source("open-images", layouts("open-images"))
    assert len(records) == 4
    record = records[2]
    assert [word for word, _ in record["parts"]] == ["chair", "dog"]
    assert record["relation"] == "{0} with {1}"
    chair = record["parts"][0][1].tensor().numpy()
    # the box (0.2, 0.9, 0.5, 1.0) on a mask of 16 pixels, twice as large on the picture: columns 6 to 28, rows 16 to 32
    whole = pixels((layouts("open-images") / f"images/{2:016x}.jpg").read_bytes())
    assert chair.shape == (3, 22, 22)
    np.testing.assert_allclose(chair[:, 3:19], whole[:, 16:32, 6:28], atol=1e-6)
    assert (chair[:, :3] == 1).all()
    assert (chair[:, 19:] == 1).all()
    assert len(source("open-images", layouts("open-images"), "val")) == 4


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ((0.4, 0.6, 0.1, 0.5), (0.2, 0.9, 0.4, 0.9), "on"),
        ((0.4, 0.6, 0.5, 0.8), (0.2, 0.9, 0.4, 0.9), "in front of"),
        ((0.0, 0.2, 0.1, 0.5), (0.3, 0.9, 0.4, 0.9), "to the left of"),
        ((0.9, 1.0, 0.1, 0.5), (0.3, 0.9, 0.4, 0.9), "to the right of"),
        ((0.4, 0.6, 0.0, 0.2), (0.2, 0.9, 0.4, 0.9), "above"),
        ((0.4, 0.6, 0.9, 1.0), (0.2, 0.9, 0.4, 0.9), "below"),
        ((0.0, 0.9, 0.3, 0.95), (0.2, 0.9, 0.4, 0.9), "with"),
    ],
)
def test_relations_follow_from_boxes(first, second, words):
    assert relation(Box(*first), Box(*second)) == f"{{0}} {words} {{1}}"


def test_dream_bench_protocols(layouts):
    kosmos = every(source("dream-bench", layouts("dream-bench"), "test"))
    assert len(kosmos) == 9
    record = kosmos[0]
    assert (record["prompt"], record["caption"]) == ("{} in the jungle", "a backpack in the jungle")
    assert kosmos[5]["prompt"] == "{}, red"
    assert kosmos[5]["caption"] == "a red stuffed animal"
    assert kosmos[7]["caption"] == "a cat wearing a red hat"  # live subjects have prompts of their own
    assert [Path(m.path).name for m in record["real_images"]] == ["02.jpg"]
    booth = every(source("dream-bench", layouts("dream-bench"), "test", protocol="dreambooth"))
    assert len(booth[0]["real_images"]) == 3
    assert len(KEPT) == 30
    pictures = source("dream-bench", layouts("dream-bench"), held_out=["cat"])
    assert {r["key"].split("/")[0] for r in every(pictures)} == {"backpack", "bear_plushie"}
    assert len(source("dream-bench", layouts("dream-bench"), "val", held_out=["cat"])) == 4
    assert pictures.related(0) == [1, 2]


def test_cobsat_prompts_are_those_of_its_loader(layouts):
    records = source("cobsat", layouts("cobsat"), "test", numbers=[1, 2], shots=2)
    assert len(records) == 4
    first = records[0]
    # x 8, 7, 5 are blue, brown, orange; the hidden object is number theta_list[3] = 4: car
    assert [word for word, _ in first["examples"]] == ["blue", "brown"]
    assert first["query"] == "orange"
    assert first["theta"] == "car"
    assert first["image"].path.endswith("datasets/color_car/orange_car.jpg")
    second = records[2]
    # x 8, 7, 5 are bag, ball, box; the hidden colour is number 4: pink
    assert [word for word, _ in second["examples"]] == ["bag", "ball"]
    assert second["image"].path.endswith("datasets/color_box/pink_box.jpg")


# ---- texts and questions -------------------------------------------------------------------------------------------


def test_alpaca_joins_input_to_the_instruction(layouts):
    builder = build("dataset", "alpaca", {"root": str(layouts("alpaca")), "tasks": {"instruction": 1}})
    samples = builder.build("train")
    assert samples[0].conversation.messages[0].text == "Name 2 parts of the animal."
    assert samples[1].conversation.messages[0].text == "Name 3 parts of the animal.\n\nA honey bee"


@pytest.mark.parametrize("layout", ["mimic-it", "mimic-it-parquet"])
def test_mimic_it_reads_both_alphabets_and_both_forms_of_pictures(layouts, layout):
    records = source("mimic-it", layouts(layout), subset="DC")
    assert len(records) == 6
    for n, record in enumerate(every(records)):
        assert record["key"] == f"DC_INS_{n:05d}"
        assert [same_picture(m, picture_bytes(2 * n + k)) for k, m in enumerate(record["images"])] == [True, True]
    expected = [2] if layout == "mimic-it" else [2, 3]
    assert list(records.related(1)) == expected
    urlsafe = json.loads((layouts("mimic-it") / "DC.json").read_text())
    assert any(set("-_") & set(text) for text in urlsafe.values())


def test_mimic_it_spreads_the_frames_of_long_clips(layouts):
    first = source("mimic-it", layouts("mimic-it"), subset="DC", frames=1)[2]
    assert [same_picture(m, picture_bytes(4)) for m in first["images"]] == [True]


def test_mimic_it_questions_come_after_their_in_context_set(layouts):
    builder = build("dataset", "mimic-it", {"root": str(layouts("mimic-it-parquet")), "subset": "DC"})
    sample = builder.build("train")[4]
    asked = [m.text for m in sample.conversation.messages if m.role == "user"]
    assert set(asked[:2]) == {"What happens in the clip 5?", "What happens in the clip 0?"}
    assert asked[2] == "What happens in the clip 4?"


def test_mimic_it_texts_need_no_pictures(tmp_path):
    data = {"TXT_INS_1": {"instruction": "Hi?", "answer": "Hello.", "image_ids": [], "rel_ins_ids": []}}
    (tmp_path / "TXT_instructions.json").write_text(json.dumps({"meta": {}, "data": data}), encoding="utf-8")
    assert source("mimic-it", tmp_path, subset="TXT", images="none")[0]["images"] == []
    with pytest.raises(ConfigError, match=r"TXT\.parquet or TXT\.json"):
        source("mimic-it", tmp_path, subset="TXT")


def test_a_mix_file_names_subsets_that_a_mixture_can_weigh(layouts):
    builder = build("dataset", "mimic-it-mix", {"root": str(layouts("mimic-it-mix")), "mix": "mix.yaml"})
    sets = builder.build("train")
    assert {name: len(samples) for name, samples in sets.items()} == {"DC": 6, "TXT": 4}
    assert list(builder.sources("train")["DC"].related(1)) == [2]
    assert sets["TXT"][0].conversation.messages[-1].text == "It is."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("IMAGES: {}", "no group"),
        ("TEXT_ONLY: {A: {mimicit_path: ../x.json}}", "no name inside"),
        ("TEXT_ONLY: {A: {mimicit_path: x.json}}", "there is no x.json"),
        ("TEXT_ONLY: {A: {mimic_path: x.json}}", "unknown key"),
        ("TEXT_ONLY: {}", "no subset"),
    ],
)
def test_a_wrong_mix_file_is_one_clear_error(tmp_path, text, says):
    (tmp_path / "mix.yaml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        build("dataset", "mimic-it-mix", {"root": str(tmp_path), "mix": "mix.yaml"}).build("train")


# ---- what all have in common ---------------------------------------------------------------------------------------

READERS = {
    "alpaca": ("alpaca", {}),
    "audiocaps": ("audiocaps", {}),
    "audioset": ("audioset", {}),
    "chats": ("chats", {"train": "ms_swift.jsonl"}),
    "dream-bench": ("dream-bench", {}),
    "instruct-pix2pix": ("instruct-pix2pix", {"shares": [1, 0, 0]}),
    "instruct-pix2pix-parquet": ("instruct-pix2pix", {"shares": [1, 0, 0]}),
    "kosmos-g": ("kosmos-g", {}),
    "laion": ("laion", {}),
    "laion-parquet": ("laion", {}),
    "mimic-it": ("mimic-it", {"subset": "DC"}),
    "mimic-it-parquet": ("mimic-it", {"subset": "DC"}),
    "open-images": ("open-images", {}),
    "webvid": ("webvid", {}),
}


@pytest.mark.parametrize("layout", READERS)
def test_sources_pickle_and_say_where_records_are(layouts, layout):
    name, options = READERS[layout]
    records = source(name, layouts(layout), **options)
    records[0]
    copy = pickle.loads(pickle.dumps(records))
    assert len(copy) == len(records)
    for n, record in enumerate(every(copy)):
        assert str(layouts(layout)) in record["where"]
        assert record["key"] == records[n]["key"]
    keys = [record["key"] for record in every(copy)]
    assert len(set(keys)) == len(keys)
    covered = [n for shard in copy.shards for n in shard]
    assert covered == list(range(len(copy)))
    with pytest.raises(IndexError):
        copy[len(copy)]
    with pytest.raises(IndexError):
        copy[-1]


@pytest.mark.parametrize("layout", READERS)
def test_a_root_that_is_not_there_is_one_clear_error(layout, tmp_path):
    name, options = READERS[layout]
    with pytest.raises(ConfigError) as failure:
        source(name, tmp_path / "nowhere", **options)
    assert "nowhere" in str(failure.value)


@pytest.mark.parametrize("layout", READERS)
def test_unknown_splits_are_refused(layouts, layout):
    name, options = READERS[layout]
    with pytest.raises(ConfigError, match="split"):
        source(name, layouts(layout), "trian", **options)


def test_a_part_keeps_shards_and_relations_inside():
    class Whole:
        shards = (range(4), range(4, 10))

        def __len__(self):
            return 10

        def __getitem__(self, index):
            return {"n": index}

        def related(self, index):
            return [n for n in range(10) if n % 2 == index % 2 and n != index]

    part = Part(Whole(), range(2, 7))
    assert list(part.shards) == [range(2), range(2, 5)]
    assert [record["n"] for record in every(part)] == [2, 3, 4, 5, 6]
    assert part.related(0) == [2, 4]


def test_prompts_are_asked_and_their_answers_are_unknown(layouts):
    options = {"root": str(layouts("geneval")), "file": "evaluation_metadata.jsonl", "digits": 5, "family": "tag"}
    samples = build("dataset", "prompts", options).build("test")
    assert [sample.key for sample in map(samples.__getitem__, range(2))] == ["00000", "00001"]
    sample = samples[1]
    assert sample.conversation.messages[0].text == "a photo of a red hat"
    assert (sample.provenance["prompt"], sample.provenance["family"]) == ("a photo of a red hat", "colors")
    (wanted,) = sample.conversation.messages[1].media
    assert (wanted.modality, wanted.data, wanted.loader) == ("image", None, None)
    for wrong in ({"prompt": "text"}, {"key": "no"}, {"media": ["image", "file"]}):
        with pytest.raises(BadRecord, match="no "):
            build("dataset", "prompts", {**options, **wrong}).build("test")[0]
    with pytest.raises(ConfigError, match="no split"):
        build("dataset", "prompts", options).build("train")
    with pytest.raises(ConfigError, match="as they are"):
        build("dataset", "prompts", {**options, "tasks": {"subject": 1}}).build("test")


def test_shares_are_no_more_than_the_whole(layouts):
    with pytest.raises(ConfigError, match=r"shares are 1\.5"):
        source("laion", layouts("laion"), shares=[0.9, 0.3, 0.3])


def test_all_layouts_are_tried():
    tried = {
        *READERS,
        "webvid-tars",
        "audioset-clips",
        "sound-classes",
        "mimic-it-mix",
        "laion-files",
        "kosmos-g-edits",
        "cobsat",
        "geneval",
    }
    assert set(LAYOUTS) == tried


def test_small_files_need_no_index_beside_them(layouts):
    source("alpaca", layouts("alpaca"))
    assert not (layouts("alpaca") / ".anyloom").exists()
