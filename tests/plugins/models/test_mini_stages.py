"""The stages of the small decoders: closed-form starts once, fast order of weights, results that load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from anyloom.building import build, build_named
from anyloom.conversation import Conversation, Message
from anyloom.data.loader import ResumableLoader
from anyloom.interfaces import Condition, Sample
from anyloom.training.decoder_stages import DecoderStage
from anyloom_mini.tiny import PICTURE
from parts import picture

pytestmark = pytest.mark.filterwarnings("ignore:.*num_workers.*")

DECODER = {"name": "mini-picture", **PICTURE, "space": "patch-image", "picture_size": 8, "reference": True}
ENCODER = {"class_path": "parts.PatchEncoder"}


def samples(count: int = 6) -> list[Sample]:
    turns = [[Message("user", [picture(n)]), Message("assistant", [picture(n + 20)])] for n in range(count)]
    return [Sample(Conversation(messages), "edit") for messages in turns]


def stage(name: str, **options: Any) -> DecoderStage:
    built = build_named("module", {"name": name, "decoder": DECODER, **options}, where="module", model={})
    assert isinstance(built, DecoderStage)
    return built


def fit(module: DecoderStage, steps: int, folder: Path, **more: Any) -> dict[str, Any]:
    def loader(shuffle: bool) -> ResumableLoader:
        return ResumableLoader(lambda epoch: samples(), module.collator(), 3, shuffle=shuffle)

    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        **more,
    )
    trainer.fit(module, loader(True), loader(False))
    return dict(trainer.callback_metrics)


def test_both_stages_give_a_decoder_that_loads(tmp_path: Path) -> None:
    first = stage("mini-autoencoder", average=0.5, channels_last=True)
    assert not first.decoder.autoencoder.linear.encoder.any()
    logged = fit(first, 4, tmp_path)
    assert logged["train/loss"].isfinite()
    assert bool(first.decoder.autoencoder.linear.encoder.abs().sum(1).gt(0).all())
    first.save_result(tmp_path / "autoencoder")

    second = stage("mini-decoder", encoder=ENCODER, start_from=str(tmp_path / "autoencoder"), channels_last=True)
    fit(second, 4, tmp_path)
    second.save_result(tmp_path / "decoder")
    assert second.decoder.sketch.weight.any()
    assert second.decoder.augmentation.mean.any()

    options = {k: v for k, v in DECODER.items() if k != "name"}
    decoder = build("decoder", "mini-picture", {**options, "weights": str(tmp_path / "decoder")})
    decoder.load_weights()
    condition, sampling = Condition(torch.zeros(1, 1, 8)), decoder.Sampling(denoising_steps=1)
    made = [d.eval().generate(condition, seeds=[0], sampling=sampling)[0] for d in (decoder, second.decoder)]
    torch.testing.assert_close(made[0].tensor(), made[1].tensor(), atol=1e-5, rtol=1e-4)


def test_weights_may_be_kept_in_channels_last_order_which_changes_no_number() -> None:
    torch.manual_seed(0)
    plain = stage("mini-autoencoder").decoder
    torch.manual_seed(0)
    ordered = stage("mini-autoencoder", channels_last=True).decoder
    weight = ordered.unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), ordered.parameters()))


def test_both_stages_train_with_everything_in_bfloat16(tmp_path: Path) -> None:
    for module in (stage("mini-autoencoder", average=0.5), stage("mini-decoder", encoder=ENCODER, average=0.5)):
        logged = fit(module, 3, tmp_path, precision="bf16-true")
        assert logged["train/loss"].isfinite()
        assert logged["val/loss"].isfinite()
        assert module.decoder.unet.dtype == torch.bfloat16
