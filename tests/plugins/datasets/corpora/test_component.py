"""The data set ``tasks``: any tasks over any source, and what is said of a config that is wrong."""

from __future__ import annotations

import pickle

import pytest
from tests.plugins.datasets.corpora.memory_source import MemorySource

from anyloom.building import build
from anyloom.errors import BadRecord, ConfigError
from anyloom.interfaces import ComponentConfig, DatasetBuilder
from anyloom_corpora.fixtures.layouts import write_layout


class Memory(DatasetBuilder):
    """A third party's data set: it knows nothing of tasks, and has records."""

    class Config(ComponentConfig):
        count: int = 12

    def source(self, split):
        return MemorySource(self.config.count)

    def build(self, split, epoch=0):
        return []


class Finished(DatasetBuilder):
    """A data set of finished samples."""

    def build(self, split, epoch=0):
        return []


MEMORY = f"{__name__}.Memory"


def tasks(weights, source=None):
    return build("dataset", "tasks", {"source": source or {"name": MEMORY}, "tasks": weights})


def test_tasks_come_as_often_as_their_weights_say():
    samples = tasks({"image-to-text": 3, "text-to-image": 1, "image-edit": 0}).build("train")
    assert len(samples) == 12
    drawn = [samples.draw(index, seed).task for index in range(12) for seed in range(100)]
    assert set(drawn) == {"image-to-text", "text-to-image"}
    assert drawn.count("image-to-text") / len(drawn) == pytest.approx(0.75, abs=0.04)
    again = pickle.loads(pickle.dumps(samples))
    assert [again.draw(3, seed).task for seed in range(50)] == [samples.draw(3, seed).task for seed in range(50)]


def test_options_reach_the_task():
    samples = tasks({"image-exemplar": {"shots": [2]}, "next-frame": {"weight": 2, "frames": 5}}).build("train")
    made = [samples.draw(1, seed) for seed in range(20)]
    assert {s.provenance["shots"] for s in made if s.task == "image-exemplar"} == {2}
    assert {len(s.conversation.messages[0].media) for s in made if s.task == "next-frame"} == {5}


def test_a_record_that_the_drawn_task_cannot_use_goes_to_another(tmp_path):
    root = write_layout("instruct-pix2pix", tmp_path)
    options = {"root": str(root), "shares": [1, 0, 0]}
    both = {**options, "tasks": {"image-exemplar": 99, "image-edit": 1}}
    samples = build("dataset", "instruct-pix2pix", both).build("train")
    drawn = [[samples.draw(index, seed).task for seed in range(10)] for index in (0, 5)]
    assert set(drawn[0]) == {"image-exemplar"}
    assert drawn[1] == ["image-edit"] * 10  # the one seed of its prompt
    alone = build("dataset", "instruct-pix2pix", {**options, "tasks": {"image-exemplar": 1}}).build("train")
    with pytest.raises(BadRecord, match="0 records belong with it"):
        alone[5]


def test_a_record_that_cannot_be_read_is_bad_for_every_task(tmp_path):
    root = write_layout("instruct-pix2pix", tmp_path)
    (root / "0000000/34850_0.jpg").unlink()
    options = {"root": str(root), "shares": [1, 0, 0], "tasks": {"image-exemplar": 1, "image-edit": 1, "concept": 1}}
    samples = build("dataset", "instruct-pix2pix", options).build("train")
    with pytest.raises(BadRecord) as failure:
        samples[0]
    assert failure.value.reason == "missing"


def test_readers_are_sources_too(tmp_path):
    root = write_layout("audiocaps", tmp_path)
    builder = tasks({"audio-drop": 1}, {"name": "audiocaps", "root": str(root)})
    assert builder.build("val")[0].task == "audio-drop"
    with pytest.raises(ConfigError, match="split"):
        builder.build("vall")


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"image-edt": 1}, "tasks.image-edt: there is no such task; did you mean 'image-edit'"),
        ({"image-edit": -1}, "tasks.image-edit: Input should be greater than or equal to 0"),
        ({"image-edit": 0}, "tasks: no task has a weight above zero"),
        ({}, "tasks: no task has a weight above zero"),
        ({"image-edit": float("inf")}, "tasks.image-edit: Input should be a finite number"),
        ({"image-edit": "often"}, "tasks.image-edit: Input should be a valid number"),
        ({"image-exemplar": {"shot": [1]}}, "tasks.image-exemplar.shot: there is no option 'shot'"),
        ({"image-exemplar": {"shots": []}}, "tasks.image-exemplar.shots"),
        ({"image-exemplar": {"shots": [0]}}, "tasks.image-exemplar.shots.0"),
        ({"image-edit": {"shots": [1]}}, "tasks.image-edit.shots: this task has no such option; it takes none"),
        ({"next-frame": {"frames": 2.5}}, "tasks.next-frame.frames"),
    ],
    ids=str,
)
def test_wrong_weights_are_named_with_their_key(weights, says):
    with pytest.raises(ConfigError) as failure:
        tasks(weights)
    assert says in str(failure.value)


def test_a_data_set_of_finished_samples_is_no_source():
    with pytest.raises(ConfigError, match="gives finished samples, no records"):
        tasks({"image-edit": 1}, {"name": f"{__name__}.Finished"})
    with pytest.raises(ConfigError, match=r"source\.rot"):
        tasks({"image-edit": 1}, {"name": "laion", "rot": "x"})
