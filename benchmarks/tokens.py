"""Useful tokens per CPU second of a language model on samples of mixed lengths, beside transformers' own classes."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

import torch
from measure import Row, Rows, rates_in_turns, versions

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.data.loader import Batching, ResumableLoader
from anyloom.data.packing import BestFit
from anyloom.interfaces import Sample

SHARES = {"text": (0.40, 4.3), "image": (0.30, 4.2), "audio": (0.15, 5.0), "video": (0.15, 5.8)}
SIZES = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 4}
QUICK = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}


def mixed_lengths(count: int) -> list[int]:
    """Text, image, audio and video in shares of 40, 30, 15 and 15 %; log-normal lengths up to 1,024."""
    draw = random.Random(0)
    kinds = draw.choices(list(SHARES), [share for share, _ in SHARES.values()], k=count)
    return [min(1024, max(8, int(draw.lognormvariate(SHARES[kind][1], 0.8)))) for kind in kinds]


def model_of(folder: Path, **more: object) -> AnyToAnyModel:
    """A small Llama that reads words alone."""
    from parts import save_tokenizer

    architecture = {"model_type": "llama", "num_key_value_heads": 4, "max_position_embeddings": 2048, **SIZES, **more}
    llm = {"name": "causal-lm", "tokenizer": str(save_tokenizer(folder / "tokenizer")), "architecture": architecture}
    torch.manual_seed(0)
    return AnyToAnyModel.from_config({"model": {"llm": llm, "encoders": {}, "modalities": {}}})


def samples_of(model: AnyToAnyModel, count: int) -> list[Sample]:
    """Samples whose sequences have about the wanted lengths."""
    per_word = len(model.llm.tokenizer.encode(" blue" * 100)) / 100
    made = []
    for n, length in enumerate(mixed_lengths(count)):
        words = " blue" * max(1, int((length - 12) / per_word / 2))
        made.append(Sample(Conversation([Message("user", words), Message("assistant", words)]), "t", key=str(n)))
    return made


def rows(quick: bool) -> Rows:
    """Training in default batches, packed, and as transformers' class with a padding collator does it."""
    with tempfile.TemporaryDirectory() as folder:
        model = model_of(Path(folder), **(QUICK if quick else {})).train()
        samples = samples_of(model, 12 if quick else 96)
        sequences = [model.interleaver()(s.conversation) for s in samples]

        def ours(batch: Batching) -> int:
            read = 0
            loader = ResumableLoader(lambda epoch: samples, model.collator(), batch, shuffle=True)
            for made in loader:
                model.zero_grad()
                model(made).total().backward()
                read += int((made.segments > 0).sum())
            return read

        lm = model.llm.lm  # the same weights in transformers' own class
        embedding = lm.get_input_embeddings()
        known = embedding.weight.shape[0]
        order = list(range(len(sequences)))
        random.Random(1).shuffle(order)

        def theirs() -> int:
            for start in range(0, len(order), 8):
                chosen = [sequences[n] for n in order[start : start + 8]]
                length = max(map(len, chosen))
                ids = torch.zeros(len(chosen), length, dtype=torch.long)
                labels = torch.full((len(chosen), length), -100)
                mask = torch.zeros(len(chosen), length, dtype=torch.long)
                for row, sequence in enumerate(chosen):
                    ids[row, : len(sequence)] = sequence.ids.clamp(max=known - 1)
                    labels[row, : len(sequence)] = torch.where(sequence.labels < known, sequence.labels, -100)
                    mask[row, : len(sequence)] = 1
                model.zero_grad()
                lm(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
            return sum(map(len, sequences))

        default, packed = Batching(8, bucket=32), Batching(8, pack=1024)
        rounds = 1 if quick else 3
        note = "loader, forward and backward; the peer's batches are made by hand"
        for name, batch, goal in (("by default", default, 3.4), ("packed into rows of 1,024", packed, 3.4)):
            found = rates_in_turns(lambda b=batch: ours(b), theirs, rounds)  # type: ignore[misc]
            peer = "transformers, padding collator, batches of 8"
            yield Row(
                f"useful tokens per CPU second, {name}", peer, found, goal, note=note, versions=versions("transformers")
            )
    yield from padding(quick)


def padding(quick: bool) -> Rows:
    """Share of padding, and how fast rows are packed."""
    lengths = mixed_lengths(20_000 if quick else 100_000)
    packer, made, used = BestFit(2048), 0, 0
    began = time.process_time()
    for number, length in enumerate(lengths):
        packer.add(number, length)
        while packer.full:
            made, used = made + 1, used + sum(lengths[n] for n in packer.row())
    speed = len(lengths) / (time.process_time() - began)
    yield Row("padding of packed rows of 2,048", "", 100 * (1 - used / (made * 2048)), 1.0, "lower", "%")
    yield Row("lengths packed per CPU second", "", speed / 1000, 200, unit="thousand")
