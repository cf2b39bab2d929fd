"""Measures a model with clips on subjects that no stage of training has seen, and what it knows of those it has seen.

    python scripts/measure_clips.py MODEL [--draws 5] [--queries 24] [--choose] [--decoded 12] [--json FILE]

Each draw is a split of its own seed; answers are free-running and pooled over the draws; beside every share stands its
95 % interval (Wilson) and the number of queries. `--choose` asks about the half of the held-out subjects that trials
may be compared on; without it, about the half that is reported. An answer is right if the target is nearest to the
predicted feature among near misses: the same picture in every motion and in other parts, its other drawings, what was
given. Rows of the sounds of the pack and those called `known` are about subjects of training: what is remembered. The
same queries are answered without a language model by

    copying     what was given, where it is a clip
    nearest     the target of the nearest of 200 training queries of the task, by what is given
    difference  what was given, and the mean difference between the targets and sources of training queries

A flash or beep is right within one of eight frames; `/decoded` measures it in the pixels and samples that the decoders
made, `/true` in what they make of the true features.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from measure_mini import EDITS, Marks, batches, kind_of, paired, shares, show
from torch import Tensor

from anyloom import AnyToAnyModel, Media
from anyloom.evaluation.measure import answer_samples
from anyloom.generation.options import GenerationOptions
from anyloom.interfaces import Condition, Evaluated, Sample
from anyloom_incontext.features import FeatureTable
from anyloom_starter.clip_pool import clip_pool
from anyloom_starter.clips_builder import ClipsBuilder
from anyloom_starter.motions import FRAMES

HEARD = ("clip-with-sound", "next-with-sound", "picture-to-sound", "sound-to-picture")  # sounds of training
FLASHES = ("flash-and-beep", "flash-to-beep", "beep-to-flash")
KINDS = {
    "clip-next": "clip",
    "clip-edit": "clip",
    "picture-to-clip": "clip",
    "text-to-clip": "clip",
    "clip-to-text": "words",
    "clip-to-picture": "picture",
    "negation": "picture",
    "flash-to-beep": "sound",
}
KNOWN = 200  # training queries that the baselines see


def moment_of(media: Media) -> int:
    """The frame of a flash: the lightest. The frame that a beep falls into: where the most energy is.

    >>> moment_of(Media("video", torch.tensor([0.0, 0.5, 1.0, 0.5])[:, None, None, None].expand(4, 3, 2, 2)))
    2
    """
    values = media.tensor().float()
    if media.modality == "video":
        return int(values.flatten(1).mean(1).argmax())
    wave = values.mean(0)
    energy = wave[: len(wave) // FRAMES * FRAMES].view(FRAMES, -1).square().sum(1)
    return int(energy.argmax())


class Clips:
    """Queries of one seed, and features of their media."""

    def __init__(self, model: AnyToAnyModel, seed: int, queries: int, split: str) -> None:
        self.model, self.seed, self.split = model, seed, split
        self.data = ClipsBuilder(
            ClipsBuilder.Config(num_queries=queries, seed=seed, edits=EDITS, test_examples=(0, 1, 4))
        )
        self.tables = {name: FeatureTable(model, name) for name in ("image", "audio", "video")}

    def features(self, media: Sequence[Media]) -> Tensor:
        """Features ``(N, L * D)`` of media of one modality."""
        table = self.tables[media[0].modality]
        table.add(media)
        return table.get(media)

    def samples(self) -> list[Sample]:
        """What is asked: about held-out subjects, and about those of training where a sound of the pack is wanted."""
        asked = [s for s in self.data.build(self.split) if s.task not in HEARD]
        return asked + [s for s in self.data.build("val") if s.task in (*HEARD, "text-to-clip")]

    def right(self, sample: Sample, key: str, feature: Tensor) -> bool:
        """Whether the candidate nearest to a feature ``(L * D,)`` is the one of that key."""
        keys = sample.provenance["candidates"]
        if key not in keys:  # the second medium of an answer
            keys = list(dict.fromkeys(f"sound/{sound.key}" for sound, _ in clip_pool("train").links))
        found = self.features([self.data.media(k) for k in keys])
        return bool(keys[int((found - feature).square().sum(1).argmin())] == key)

    def mark(self, one: Evaluated, marks: Marks) -> None:
        """Count one answer for its rows."""
        task = one.sample.task + (f"/k{one.sample.provenance['k']}" if "k" in one.sample.provenance else "")
        known = task == "text-to-clip" and one.sample.provenance["split"] == "val"
        task += "/known" if known else ""
        for name, word in one.sample.provenance.get("words", {}).items():
            marks[f"{task}/{name}"].append(word in one.answer.text)
        keys = one.sample.provenance["target"]
        modalities = [self.data.media(key).modality for key in keys]
        made = [next((m for m in one.answer.media if m.modality == name), None) for name in modalities]
        hits = [m is not None and m.features is not None and self.hit(one.sample, k, m) for k, m in zip(keys, made)]
        for modality, hit in zip(modalities, hits):
            marks[f"{task}/{modality}" if len(keys) > 1 else task].append(hit)
            if one.sample.task in ("clip-next", "clip-edit") or known:
                marks[f"{task}/{one.sample.provenance['family']}"].append(hit)
        if "refused" in one.sample.provenance and made[0] is not None and made[0].features is not None:
            refused = one.sample.provenance["refused"]
            marks[f"{task}/does what is refused"].append(self.right(one.sample, refused, made[0].features.flatten()))

    def hit(self, sample: Sample, key: str, medium: Media) -> bool:
        """Whether a medium is the one asked for; flashes and beeps may be one frame off."""
        assert medium.features is not None
        feature = medium.features.float().flatten()
        if "moment" not in sample.provenance:
            return self.right(sample, key, feature)
        stem = key.split("/")
        place = 1 if stem[0] == "click" else 2
        keys = ["/".join([*stem[:place], str(n), *stem[place + 1 :]]) for n in range(FRAMES)]
        found = self.features([self.data.media(k) for k in keys])
        return abs(int((found - feature).square().sum(1).argmin()) - sample.provenance["moment"]) <= 1

    def kinds(self, samples: Sequence[Sample], marks: Marks) -> None:
        """Whether a clip, a picture, a sound or words come where nothing but the conversation says what is wanted."""
        for batch in batches([s for s in samples if s.task in KINDS]):
            options = [GenerationOptions(decode=False, max_new_tokens=48)] * len(batch)
            answers = self.model.answer([s.conversation.prompt() for s in batch], [self.seed] * len(batch), options)
            for sample, answer in zip(batch, answers):
                wanted = KINDS[sample.task]
                for name in ("kind", f"kind/{wanted}"):
                    marks[name].append(kind_of(answer) == wanted)

    def baselines(self, samples: Sequence[Sample], marks: Marks) -> None:
        """Answer by copying, by the nearest training query, and by the mean difference of training queries."""
        for task in ("clip-next", "clip-edit"):
            train = ClipsBuilder(ClipsBuilder.Config(tasks={task: 1}, seed=self.seed, num_samples=KNOWN)).build("train")
            pairs = [(train[n].conversation.media[0], train[n].conversation.media[-1]) for n in range(KNOWN)]
            before, after = self.features([a for a, _ in pairs]), self.features([b for _, b in pairs])
            for sample in (s for s in samples if s.task == task):
                given, key = self.features(sample.conversation.media[:1])[0], sample.provenance["target"][0]
                nearest = after[int((before - given).square().sum(1).argmin())]
                answers = {"copying": given, "nearest": nearest, "difference": given + (after - before).mean(0)}
                for name, feature in answers.items():
                    marks[f"{task}/{name}"].append(self.right(sample, key, feature))

    def decoders(self, samples: Sequence[Sample], count: int, marks: Marks) -> None:
        """Flashes and beeps in pixels and samples: of answers, and of true features."""
        for task in FLASHES:
            chosen = [s for s in samples if s.task == task][:count]
            for one in answer_samples(self.model, chosen, seed=self.seed, decode=True):
                wanted = one.sample.provenance["moment"]
                given = [moment_of(m) for m in one.answer.media]
                expected = len(one.sample.provenance["target"])
                marks[f"{task}/decoded"].append(len(given) == expected and all(abs(g - wanted) <= 1 for g in given))
                if expected == 2:
                    marks[f"{task}/decoded together"].append(len(given) == 2 and abs(given[0] - given[1]) <= 1)
        for one in [s for s in samples if s.task == "flash-and-beep"][:count]:
            for medium in one.conversation.messages[-1].media:
                made = self.decoded(medium)
                hit = abs(moment_of(made) - one.provenance["moment"]) <= 1
                marks[f"true/{'flash' if medium.modality == 'video' else 'beep'}"].append(hit)
        for task in ("clip-next", "picture-to-clip"):
            for one in [s for s in samples if s.task == task][:count]:
                (target,) = one.conversation.messages[-1].media
                table = self.tables["video"]
                feature = table.encode([self.decoded(target)])[0]
                marks[f"true/{task}"].append(self.right(one, target.key, feature))

    def decoded(self, medium: Media) -> Media:
        """What the decoder makes of the true feature of a medium."""
        encoder, decoder = self.model.encoder(medium.modality), self.model.decoder(medium.modality)
        assert decoder is not None
        with torch.no_grad():
            feature = encoder(encoder.preprocess(medium)[None], medium.modality)
        return decoder.generate(Condition(feature), seeds=[self.seed])[0]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--queries", type=int, default=24, help="per task of each draw")
    parser.add_argument("--choose", action="store_true", help="the half of the subjects that trials are compared on")
    parser.add_argument("--decoded", type=int, default=12, help="of these, queries whose answers are decoded")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = AnyToAnyModel.from_pretrained(options.model, trust=True).eval()
    marks: Marks = defaultdict(list)
    split = "choose" if options.choose else "test"
    for seed in range(options.draws):
        clips = Clips(model, seed, options.queries, split)
        samples = clips.samples()
        for batch in batches(samples):
            for one in answer_samples(model, batch, seed=seed):
                clips.mark(one, marks)
        clips.kinds(samples, marks)
        clips.baselines(samples, marks)
        if options.decoded:
            clips.decoders(samples, options.decoded, marks)
        print(f"draw {seed + 1} of {options.draws}", flush=True)
    rows = shares(marks)
    show(str(options.model), rows)
    gain = paired(marks, "clip-exemplar/k1", "clip-exemplar/k0")
    print(f"\nk = 1 over k = 0, paired: {gain['points']:+.1f} ± {gain['interval']:.1f} points, N = {gain['count']}")
    if options.json:
        facts = {"model": str(options.model), "draws": options.draws, "queries": options.queries, "split": split}
        options.json.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
