"""Latents of the targets of L_DM on disk: equal losses, nothing encoded twice, nothing stale, workers that read."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from anyloom.conversation import Conversation, Message, Text
from anyloom.data.loader import ResumableLoader
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.features.store import StoredFeatures, open_store
from anyloom.interfaces import Sample
from anyloom.model.model import AnyToAnyModel
from anyloom.training import module
from anyloom.training.module import AnyToAnyModule
from parts import image_decoder_options, model_options, picture

TABLE = "latents/brush/image"


def samples() -> list[Sample]:
    """Edits of pictures, of which some come twice, and one picture that is no edit."""
    found = []
    for n in range(4):
        asked = Message("user", [Text("turn it"), *([picture(n % 2)] if n else [])])
        found.append(Sample(Conversation([asked, Message("assistant", [picture(n + 4)])]), "test", key=str(n)))
    return found


def section(tokenizer: Path, **options: Any) -> dict[str, Any]:
    found = model_options(tokenizer, ("image",))
    found["decoders"] = {"brush": image_decoder_options(reference=True, **options)}
    found["modalities"]["image"] |= {"decoder": "brush", "reference": "last"}
    return found


def model(tokenizer: Path, **options: Any) -> AnyToAnyModel:
    torch.manual_seed(0)
    return AnyToAnyModel.from_config({"model": section(tokenizer, **options)}).eval()


def brush(made: AnyToAnyModel) -> LatentDiffusionDecoder:
    decoder = made.decoder("image")
    assert isinstance(decoder, LatentDiffusionDecoder)
    return decoder


def keep(made: AnyToAnyModel, folder: Path) -> StoredFeatures:
    store = open_store(folder, {**made.encoded_tables(), **made.latent_tables()}, "32-true")
    made.cache, made.keeps_latents = store, True
    return store


def losses(made: AnyToAnyModel) -> Tensor:
    found = [made(made.collator()(samples()[start : start + 2])) for start in (0, 2)]
    return torch.stack([loss.terms["diffusion/image"].mean.detach() for loss in found])


def test_kept_latents_give_the_same_losses_and_the_media_are_not_prepared_again(
    tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = losses(model(tokenizer_folder))
    first = model(tokenizer_folder)
    store = keep(first, tmp_path)
    fresh = losses(first)
    torch.testing.assert_close(fresh, expected, atol=1e-6, rtol=1e-6)
    assert len(list(store._places[TABLE].glob("*/*"))) == 6  # four targets, and two pictures that are edited

    later = model(tokenizer_folder)
    store = keep(later, tmp_path)
    for part, name in ((brush(later), "preprocess"), (brush(later).autoencoder, "encode")):
        monkeypatch.setattr(part, name, None)
    assert torch.equal(losses(later), fresh)
    assert store.counts["encoded"] == 0


def test_a_kept_latent_passes_the_gradient_of_the_loss_on(tokenizer_folder: Path, tmp_path: Path) -> None:
    plain, kept = model(tokenizer_folder), model(tokenizer_folder)
    keep(kept, tmp_path)
    losses(kept)
    for made in (plain, kept):
        made(made.collator()(samples())).total().backward()
    for one, other in zip(plain.llm.parameters(), kept.llm.parameters()):
        if one.grad is not None:
            torch.testing.assert_close(other.grad, one.grad, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("changed", "found"), [("autoencoder", 0), ("option", 0), ("denoiser", 3)])
def test_only_what_makes_them_is_looked_at(tokenizer_folder: Path, tmp_path: Path, changed: str, found: int) -> None:
    first = model(tokenizer_folder)
    keep(first, tmp_path)
    losses(first)
    other = model(tokenizer_folder, **({"picture_size": 8} if changed == "option" else {}))
    part = brush(other).autoencoder.vae if changed == "autoencoder" else brush(other).unet
    if changed != "option":
        with torch.no_grad():
            next(part.parameters()).flatten()[0] += 1e-6
    keep(other, tmp_path)
    targets = other.collator()(samples()[:2]).media["image"].decoder
    assert targets is not None
    assert targets.media is not None
    assert targets.media.stored == found


def test_latents_of_an_autoencoder_that_is_trained_are_not_kept(tokenizer_folder: Path) -> None:
    made = model(tokenizer_folder)
    assert set(made.latent_tables()) == {TABLE}
    brush(made).autoencoder.requires_grad_(True)
    assert made.latent_tables() == {}


def _write(store: StoredFeatures, rows: dict[str, dict[str, Tensor]], order: list[str]) -> None:
    for table, values in rows.items():
        for name in order:
            store.put(table, [name], values[name][None])


def test_two_processes_write_and_data_workers_read(tokenizer_folder: Path, tmp_path: Path) -> None:
    made = model(tokenizer_folder)
    store = keep(made, tmp_path)
    media = [m for s in samples() for message in s.conversation.messages for m in message.media]
    names = sorted({store.name(m) for m in media})
    shapes = {"eye/image": (1, made.space("image").dim), TABLE: brush(made).latent_shape}
    rows = {t: {name: torch.full(shape, float(n)) for n, name in enumerate(names)} for t, shape in shapes.items()}
    context = multiprocessing.get_context("fork")
    orders = names[:4], names[::-1][:4]  # two of the six are written by both
    writers = [context.Process(target=_write, args=(store, rows, order)) for order in orders]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    loader = ResumableLoader(lambda epoch: samples(), made.collator(), 2, shuffle=False, workers=2)
    for batch in loader:
        whole = batch.media["image"]
        for table, inputs in (("eye/image", whole.given), (TABLE, whole.decoder.media)):
            assert inputs.inputs is None
            assert inputs.stored == len(inputs.names)
            for name, number in zip(inputs.names, inputs.known.tolist()):
                assert torch.equal(inputs.features[number], rows[table][name])
    loader.close()


@pytest.mark.parametrize("sharded", [False, True])
def test_a_run_keeps_latents_unless_parameters_are_split(
    tokenizer_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sharded: bool,
) -> None:
    monkeypatch.setattr(module, "is_sharded", lambda model: sharded)
    made = AnyToAnyModule(AnyToAnyModule.Config(cache_features=tmp_path), section(tokenizer_folder))
    trainer: Any = SimpleNamespace(precision="32-true", strategy=None)
    monkeypatch.setattr(AnyToAnyModule, "trainer", trainer)
    made._trainer = trainer
    batch = made.collator()(samples())
    assert batch.media["image"].decoder is not None
    assert (batch.media["image"].decoder.media is None) == sharded
    assert ("latents of decoders are made anew" in capsys.readouterr().err) == sharded
