"""Checks of dataset builders."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Mapping
from typing import Any

import torch

from anyloom.conversation.segments import Media, Text
from anyloom.errors import ConfigError
from anyloom.interfaces import Sample, Stream
from anyloom.testing.case import DatasetCase
from anyloom.testing.checking import check, require
from anyloom.testing.component import ComponentChecks

__all__ = ["DatasetChecks"]


class DatasetChecks(ComponentChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.DatasetCase`."""

    def samples(self, case: DatasetCase, split: str, *, builder: Any = None, epoch: int = 0) -> list[Any]:
        """The first samples of a split; of each of its sets, if there are several."""
        built = (builder or case.build()).build(split, epoch)
        if isinstance(built, Stream):
            return list(itertools.islice(built, case.look_at))
        sets = list(built.values()) if isinstance(built, Mapping) else [built]
        return [samples[i] for samples in sets for i in range(min(len(samples), case.look_at))]

    def use(self, case: DatasetCase) -> None:
        """Build every split and load the media of its first samples."""
        for split in case.splits:
            for sample in self.samples(case, split):
                for media in _media(sample, split):
                    media.tensor()

    @check("return Sample records; end each conversation with the assistant's message, which is the target")
    def test_samples_are_conversations_with_a_target(self, case: DatasetCase) -> None:
        """Every split has samples; each ends with a non-empty assistant message and names its task."""
        for split in case.splits:
            samples = self.samples(case, split)
            require(bool(samples), f"{split} has no samples")
            for number, sample in enumerate(samples):
                where = f"sample {number} of {split}"
                require(isinstance(sample, Sample), f"{where} is a {type(sample).__name__}")
                messages = sample.conversation.messages
                require(bool(messages) and messages[-1].role == "assistant", f"{where} does not end with a target")
                require(bool(messages[-1].segments), f"the target of {where} is empty")
                require(bool(sample.task), f"{where} names no task")

    @check("give media data or a loader, in the layout of their modality, finite")
    def test_media_load(self, case: DatasetCase) -> None:
        """All media of the samples load as finite tensors."""
        for split in case.splits:
            for number, sample in enumerate(self.samples(case, split)):
                for media in _media(sample, split):
                    data = media.tensor()
                    fine = data.numel() > 0 and bool(data.float().isfinite().all())
                    require(fine, f"{media.modality} of sample {number} of {split} is empty or not finite")

    @check("derive everything random from the config's seed, the split, the epoch and the index")
    def test_same_epoch_gives_the_same_samples(self, case: DatasetCase) -> None:
        """Built twice, an epoch of a split has the same samples, whatever the global seeds are."""
        for split in case.splits:
            torch.manual_seed(0)
            first = [_content(s) for s in self.samples(case, split)]
            torch.manual_seed(1)
            second = [_content(s) for s in self.samples(case, split)]
            require(first == second, f"{split} differs when it is built again")

    @check("let equal keys stand for equal content, and different content have different keys")
    def test_keys_name_content(self, case: DatasetCase) -> None:
        """Media of equal key are equal: features are cached by key."""
        seen: dict[tuple[str, str], Media] = {}
        for split in case.splits:
            for sample in self.samples(case, split):
                for media in _media(sample, split):
                    if not media.key:
                        continue
                    other = seen.setdefault((media.modality, media.key), media)
                    same = torch.equal(other.tensor(), media.tensor())
                    require(same, f"the key {media.key!r} stands for two different media")

    @check("keep open files, lambdas and large caches out of the builder and the samples")
    def test_pickles(self, case: DatasetCase) -> None:
        """The builder and its samples can be pickled: data workers get copies."""
        builder = case.build()
        copy = pickle.loads(pickle.dumps(builder))
        split = case.splits[0]
        mine, theirs = self.samples(case, split, builder=builder), self.samples(case, split, builder=copy)
        require([_content(s) for s in mine] == [_content(s) for s in theirs], "a pickled builder gives other samples")
        again = pickle.loads(pickle.dumps(mine))
        require([_content(s) for s in mine] == [_content(s) for s in again], "a pickled sample is another one")

    @check("raise anyloom.errors.ConfigError that names the splits there are")
    def test_unknown_split_is_refused(self, case: DatasetCase) -> None:
        """A split that does not exist is one clear error."""
        try:
            case.build().build("no-such-split")
        except ConfigError:
            return
        except Exception as error:
            require(False, f"an unknown split raises {type(error).__name__}: {error}")
        require(False, "the split 'no-such-split' is built in silence")


def _media(sample: Sample, split: str) -> list[Media]:
    """What must load: all media; in the split ``test`` a target may say what is asked for and hold nothing."""
    asked = [m for m in sample.conversation.messages[-1].media if _is_blank(m)] if split == "test" else []
    return [m for m in sample.conversation.media if not any(m is blank for blank in asked)]


def _is_blank(media: Media) -> bool:
    return media.data is None and media.loader is None


def _content(sample: Sample) -> list[Any]:
    """All of a sample that can be compared: roles, texts, media as numbers, task."""
    found: list[Any] = [sample.task]
    for message in sample.conversation.messages:
        found.append(message.role)
        for segment in message.segments:
            if isinstance(segment, Text):
                found.append(segment.text)
            else:
                values = None if _is_blank(segment) else segment.tensor().tolist()
                found += [segment.modality, segment.key, dict(segment.meta), values]
    return found
