"""The data set ``hf`` on files of one's own: the same streaming, without a hub."""

from __future__ import annotations

import sys

import pytest

from anyloom.building import build
from anyloom.errors import BadRecord, ConfigError, PluginError
from anyloom.interfaces import Stream
from anyloom_corpora.fixtures.layouts import write_layout

pytest.importorskip("datasets")


@pytest.fixture
def options(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    root = write_layout("instruct-pix2pix-parquet", tmp_path / "set")
    return {
        "path": "parquet",
        "data_files": [str(path) for path in sorted(root.rglob("*.parquet"))],
        "image": {"before": "original_image", "after": "edited_image"},
        "text": {"edit": "edit_prompt"},
        "tasks": {"image-edit": 1},
        "download": True,
    }


def test_rows_are_streamed_in_order_and_media_are_read_by_our_own_readers(options):
    stream = build("dataset", "hf", options).build("train")
    assert isinstance(stream, Stream)
    samples = list(stream)
    assert [s.provenance["operation"] for s in samples] == [f"change the colour {n % 3}" for n in range(12)]
    assert samples[5].conversation.media[0].tensor().shape == (3, 32, 32)


def test_a_stream_goes_on_where_it_was(options):
    stream = build("dataset", "hf", options).build("train")
    rows = iter(stream)
    first = [next(rows).key for _ in range(5)]
    state = stream.state_dict()
    again = build("dataset", "hf", options).build("train")
    again.load_state_dict(state)
    assert first + [sample.key for sample in again] == [str(n) for n in range(12)]


def test_a_bad_row_does_not_end_the_stream(options):
    stream = build("dataset", "hf", {**options, "text": {"edit": "edit_prompt", "caption": "no_such_column"}}).build(
        "train"
    )
    rows = iter(stream)
    for _ in range(3):
        with pytest.raises(BadRecord, match="no_such_column"):
            next(rows)
    assert stream.state_dict()["place"] == 3


def test_tasks_that_need_other_records_find_none(options):
    stream = build("dataset", "hf", {**options, "tasks": {"image-exemplar": 1}}).build("train")
    with pytest.raises(BadRecord, match="belong together"):
        next(iter(stream))


def test_nothing_is_fetched_unless_it_is_asked_for(options):
    with pytest.raises(ConfigError, match="download: true"):
        build("dataset", "hf", {**options, "download": False}).build("train")


def test_the_package_is_named_where_it_is_missing(options, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PluginError, match="needs the package datasets"):
        build("dataset", "hf", options).build("train")


def test_what_cannot_be_opened_is_one_clear_error(options):
    with pytest.raises(ConfigError, match="cannot be opened"):
        build("dataset", "hf", {**options, "data_files": ["nowhere.parquet"]}).build("train")
    with pytest.raises(ConfigError, match="no split"):
        build("dataset", "hf", options).build("val")


def test_a_bad_row_keeps_its_place_in_a_run(options, tmp_path):
    import pyarrow
    import pyarrow.parquet

    from anyloom.data.mixture import Draw
    from anyloom.data.streams import StreamSet

    path = tmp_path / "rows.parquet"
    rows = [{"instruction": "Count.", "output": "" if n == 2 else f"to {n}"} for n in range(5)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    text = {"instruction": "instruction", "output": "output"}
    own = {"path": "parquet", "data_files": [str(path)], "text": text, "tasks": {"instruction": 1}, "download": True}
    stream = StreamSet("numbers", lambda epoch: build("dataset", "hf", own).build("train"))
    read = []
    for index in (0, 1, 2, 3, 4):
        try:
            read.append(stream.read(Draw(position=index, part=0, index=index, turn=0, seed=0)).key)
        except BadRecord:
            read.append("bad")
    assert read == ["0", "1", "bad", "3", "4"]
