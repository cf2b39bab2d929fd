"""Batches: places, labels, packing, references, the choice of decoder targets, seeds."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.conversation import Media
from anyloom.interfaces import Sample
from anyloom.sequence.seeds import sample_name, seed_of
from parts import DIM, image_decoder_options, model_options, picture, sound


def model_with(tokenizer: Path, **options: Any) -> AnyToAnyModel:
    model = model_options(tokenizer)
    model["decoders"] = {"brush": image_decoder_options(reference=True)}
    model["modalities"]["image"] |= {"decoder": "brush", "reference": "last"}
    model["loss"] = options
    return AnyToAnyModel.from_config({"model": model})


def edit(before: int, after: int, key: str = "") -> Sample:
    conversation = Conversation(
        [Message("user", ["make it blue ", picture(before)]), Message("assistant", [picture(after)])]
    )
    return Sample(conversation, "edit", key=key)


TALK = Sample(Conversation([Message("user", [sound(3), "what?"]), Message("assistant", "a bell")]), "talk")


def test_packed_rows_hold_what_the_samples_hold_alone(tokenizer_folder: Path) -> None:
    collator = model_with(tokenizer_folder).collator()
    samples = [edit(0, 1), TALK, edit(2, 4)]
    alone, packed = collator(samples), collator.pack([samples[:2], samples[2:]])
    lengths = [len(collator.interleaver(s.conversation)) for s in samples]
    assert packed.segments[0].tolist() == [1] * lengths[0] + [2] * lengths[1]
    assert packed.position_ids[0].tolist() == [*range(lengths[0]), *range(lengths[1])]
    assert packed.labels.tolist() == alone.labels.tolist()
    flat = torch.cat([packed.ids[0], packed.ids[1, : lengths[2]]])
    assert flat.tolist() == [i for row, n in zip(alone.ids.tolist(), lengths) for i in row[:n]]
    for name, media in alone.media.items():
        other = packed.media[name]
        assert other.sample.tolist() == media.sample.tolist()
        assert other.previous.tolist() == media.previous.tolist()
        assert other.made_at == media.made_at
    assert packed.media["image"].previous.tolist() == [-1, 0, -1, 2]
    assert packed.media["audio"].start.tolist() == [alone.media["audio"].start[0].item() + lengths[0]]
    assert packed.counts() == alone.counts()


def test_labels_are_compared_with_the_scores_one_position_earlier(tokenizer_folder: Path) -> None:
    batch = model_with(tokenizer_folder).collator().pack([[edit(0, 1), TALK]])
    following = batch.ids[batch.label_at[:, 0], batch.label_at[:, 1] + 1]
    assert following.tolist() == batch.labels.tolist()
    same = batch.segments[batch.label_at[:, 0], batch.label_at[:, 1] + 1]
    assert same.tolist() == batch.segments[batch.label_at[:, 0], batch.label_at[:, 1]].tolist()


def test_decoder_targets_come_with_their_references(tokenizer_folder: Path) -> None:
    model = model_with(tokenizer_folder)
    decoder = model.decoder("image")
    assert decoder is not None
    new = Sample(Conversation([Message("user", "a red heart"), Message("assistant", [picture(7)])]), "new")
    targets = model.collator()([edit(0, 1), new]).media["image"].decoder
    assert targets is not None
    assert targets.references is not None
    assert targets.has_reference is not None
    assert targets.has_reference.tolist() == [True, False]
    assert torch.equal(targets.references[0], decoder.preprocess(picture(0)))
    assert not targets.references[1].any()
    assert torch.equal(targets.targets[1], decoder.preprocess(picture(7)))


def test_every_target_of_a_batch_may_be_the_one_that_is_decoded(tokenizer_folder: Path) -> None:
    collator = model_with(tokenizer_folder, diffusion_limit=1).collator()
    seen = Counter()
    for n in range(60):
        targets = collator([edit(0, k, f"{n}/{k}") for k in range(1, 4)]).media["image"].decoder
        assert targets is not None
        assert len(targets.places) == len(targets.targets) == 1
        seen[targets.places[0]] += 1
    assert set(seen) == {0, 1, 2}
    assert min(seen.values()) >= 8  # 20 expected of each; fewer than 8 has a chance of 1e-4
    first = collator([edit(0, k, f"7/{k}") for k in range(1, 4)]).media["image"].decoder
    again = collator([edit(0, k, f"7/{k}") for k in range(1, 4)]).media["image"].decoder
    assert first is not None
    assert again is not None
    assert first.places == again.places


def test_equal_media_are_prepared_once(tokenizer_folder: Path) -> None:
    collator = model_with(tokenizer_folder).collator()
    calls: list[str] = []
    steps = collator.steps["image"]
    assert steps.decode is not None
    decode = steps.decode

    def count(media: Media) -> torch.Tensor:
        calls.append(media.key)
        return decode(media)

    collator.steps["image"] = replace(steps, decode=count)
    batch = collator([edit(0, 1), edit(0, 1), edit(1, 0)])
    assert sorted(calls) == ["picture-0", "picture-1"]
    given = batch.media["image"].given
    assert given is not None
    assert len(given.names) == 2
    assert given.slot.tolist() == [0, 1, 0, 1, 1, 0]


def test_media_that_come_with_features_are_not_prepared(tokenizer_folder: Path) -> None:
    model = model_with(tokenizer_folder)
    features = torch.randn(1, DIM)
    made = Media("image", features=features, space="patch-image")
    conversation = Conversation([Message("user", [made, "make it blue"]), Message("assistant", [picture(1)])])
    media = model.collator()([Sample(conversation, "edit")]).media["image"]
    encoded = model.encode("image", media).given
    assert encoded is not None
    assert torch.equal(encoded[0], features)
    alone = model.encode("image", model.collator()([edit(1, 1)]).media["image"]).given
    assert alone is not None
    torch.testing.assert_close(encoded[1], alone[0])


def test_data_workers_get_no_weights(tokenizer_folder: Path) -> None:
    model = model_with(tokenizer_folder)
    model.encoder("image").linear = torch.nn.Linear(48, 100_000)  # type: ignore[assignment]
    collator = model.collator()
    tokenizer = len(pickle.dumps(collator.interleaver))
    packed = pickle.dumps(collator)
    assert len(packed) < tokenizer + 20_000
    there = pickle.loads(packed)
    assert all(p.is_meta for p in there.steps["image"].given.preprocess.component.parameters())
    ours, theirs = collator([edit(0, 1)]).media["image"], there([edit(0, 1)]).media["image"]
    assert ours.given is not None
    assert ours.decoder is not None
    torch.testing.assert_close(ours.given.inputs, theirs.given.inputs)
    torch.testing.assert_close(ours.decoder.targets, theirs.decoder.targets)


def test_seeds_come_from_the_sample_and_not_from_its_place(tokenizer_folder: Path) -> None:
    collator = model_with(tokenizer_folder).collator()
    one, two = edit(0, 1, "one"), edit(2, 3, "two")
    together, alone = collator([two, one]).media["image"].decoder, collator([one]).media["image"].decoder
    assert together is not None
    assert alone is not None
    assert together.seeds[1] == alone.seeds[0] == seed_of(0, "one", 1)
    answer = Message("assistant", [picture(4), picture(5)])
    twice = collator([Sample(Conversation([Message("user", "two"), answer]), "t", key="twice")]).media["image"].decoder
    assert twice is not None
    assert len({*together.seeds, *twice.seeds}) == 4  # two media of one sample share none either
    assert sample_name(edit(0, 1)) == sample_name(edit(0, 1)) != sample_name(edit(0, 2))
    assert all(0 <= seed_of(s, "x", n) < 2**63 for s in (0, -5, 2**70) for n in range(3))


def test_a_batch_moves_with_everything_in_it(tokenizer_folder: Path) -> None:
    batch = model_with(tokenizer_folder).collator()([edit(0, 1), TALK]).to("meta")
    assert batch.ids.is_meta
    media = batch.media["image"]
    assert media.given is not None
    assert media.given.inputs is not None
    assert media.given.inputs.is_meta
    assert media.decoder is not None
    assert media.decoder.targets.is_meta
    assert isinstance(media.decoder.places, list)
    assert len(batch.samples) == 2
    with pytest.raises(KeyError):
        _ = batch.media["video"]
