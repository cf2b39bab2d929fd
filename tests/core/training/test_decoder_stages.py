from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn

from anyloom.building import build_named
from anyloom.conversation import Conversation, Media, Message
from anyloom.data.loader import ResumableLoader
from anyloom.errors import ConfigError, FeatureSpaceError
from anyloom.features.cache import FeatureCache
from anyloom.interfaces import Condition, Encoder, FeatureSpace, Sample
from anyloom.sequence.media_targets import TargetCollator
from anyloom.training.averaging import AveragedWeights
from anyloom.training.decoder_stages import AutoencoderStage, DecoderStage
from anyloom.training.denoiser_stage import DenoiserStage
from parts import image_decoder_options

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
]

DECODER = image_decoder_options(picture_size=8, space="colour")


class ColourEncoder(Encoder):
    """Mean colour, in a space of width 8."""

    calls = 0

    def feature_space(self, modality: str) -> FeatureSpace:
        return FeatureSpace(name="colour", dim=8)

    def preprocess(self, media: Media) -> Tensor:
        return media.tensor().mean((1, 2))

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        type(self).calls += len(inputs)
        return nn.functional.pad(inputs, (0, 5))[:, None]


@pytest.fixture(autouse=True)
def _encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("colour_encoder")
    module.ColourEncoder = ColourEncoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "colour_encoder", module)
    ColourEncoder.calls = 0


def samples(count: int = 6) -> list[Sample]:
    pictures = torch.rand(count, 3, 1, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 8, 8)
    return [
        Sample(
            Conversation(
                [Message("user", [Media("image", pictures[0].clone(), key="p0")]), Message("assistant", [own])]
            ),
            task="t",
        )
        for own in (Media("image", p.clone(), key=f"p{n}") for n, p in enumerate(pictures))
    ]


def stage(name: str, **options: Any) -> DecoderStage:
    built = build_named("module", {"name": name, "decoder": DECODER, **options}, where="module", model={})
    assert isinstance(built, DecoderStage)
    return built


def fit(
    module: DecoderStage, steps: int, folder: Path, ckpt_path: Path | None = None, **more: Any
) -> lightning.Trainer:
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
    trainer.fit(module, loader(True), loader(False), ckpt_path=ckpt_path)
    return trainer


ENCODER = {"name": "colour_encoder.ColourEncoder"}


def test_both_stages_give_a_decoder_that_loads(tmp_path: Path) -> None:
    first = stage("latent-autoencoder", average=0.5)
    logged = fit(first, 4, tmp_path).callback_metrics
    first.save_result(tmp_path / "autoencoder")
    assert {"train/loss", "train/l1", "train/kl", "val/loss", "val/l2"} <= logged.keys()
    assert first.decoder.autoencoder.latent_std.tolist() != pytest.approx([1 / 0.18215] * 4)

    second = stage("feature-decoder", encoder=ENCODER, start_from=str(tmp_path / "autoencoder"), average=0.5)
    for name, tensor in first.decoder.autoencoder.state_dict().items():
        if "latent" in name:
            assert torch.equal(tensor, second.decoder.autoencoder.state_dict()[name])
    before = {n: p.clone() for n, p in second.decoder.named_parameters()}
    logged = fit(second, 6, tmp_path).callback_metrics
    second.save_result(tmp_path / "decoder")
    assert {"train/loss", "val/loss"} <= logged.keys()
    moved = {n for n, p in second.decoder.named_parameters() if not torch.equal(p, before[n])}
    assert any(n.startswith("unet.") for n in moved)
    assert not any(n.startswith("autoencoder.") for n in moved)
    assert second.decoder.augmentation.mean[:3].min() > 0

    options = {**DECODER, "weights": str(tmp_path / "decoder")}
    decoder = build_named("decoder", options, where="decoder")
    decoder.load_weights()
    assert not any(p.requires_grad for p in decoder.parameters())
    decoder.generate(Condition(torch.zeros(1, 1, 8)), seeds=[0])


def test_features_and_latents_are_computed_once(tmp_path: Path) -> None:
    fit(stage("feature-decoder", encoder=ENCODER), 8, tmp_path)
    assert ColourEncoder.calls == 6


def test_cached_rows_equal_fresh_ones() -> None:
    module = stage("feature-decoder", encoder=ENCODER)
    assert isinstance(module, DenoiserStage)
    collate = module.collator()
    fresh = module.prepare(collate(samples()))
    mixed = collate(samples()[2:])
    assert mixed.targets is None
    cached = module.prepare(mixed)
    order = [int(k[1:]) for k in mixed.keys]
    for new, old in zip(cached[:2], fresh[:2]):
        torch.testing.assert_close(new, old[order], atol=2e-3, rtol=2e-3)


def test_the_averaged_weights_are_saved(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    module = stage("latent-autoencoder", average=0.9)
    fit(module, 3, tmp_path)
    module.save_result(tmp_path / "out")
    saved = load_file(tmp_path / "out" / "model.safetensors")
    key = "autoencoder.vae.encoder.conv_in.weight"
    assert module.average is not None
    assert not torch.equal(saved[key], module.decoder.state_dict()[key])
    assert torch.equal(saved[key], module.average.state_dict()[key.removeprefix("decoder.")])


def test_a_checkpoint_resumes_the_average_and_leaves_the_encoder_out(tmp_path: Path) -> None:
    module = stage("feature-decoder", encoder=ENCODER, average=0.9)
    trainer = fit(module, 2, tmp_path)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    stored = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert not any(k.startswith("encoder.") for k in stored["state_dict"])
    other = stage("feature-decoder", encoder=ENCODER, average=0.9)
    fit(other, 4, tmp_path, ckpt_path=tmp_path / "a.ckpt")
    assert other.average is not None
    assert other.average.steps == 4


def test_validation_sees_the_averages_and_a_checkpoint_callback_the_live_weights(tmp_path: Path) -> None:
    seen: dict[str, list[Tensor]] = {"start": [], "batch": [], "end": []}

    class Watch(lightning.Callback):
        def note(self, when: str, module: lightning.LightningModule) -> None:
            assert isinstance(module, DecoderStage)
            seen[when].append(module.decoder.autoencoder.vae.encoder.conv_in.weight.detach().clone())

        def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
            self.note("start", pl_module)

        def on_validation_batch_start(self, trainer: Any, pl_module: Any, *more: Any) -> None:
            self.note("batch", pl_module)

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            self.note("end", pl_module)

    fit(stage("latent-autoencoder", average=0.9), 2, tmp_path, callbacks=[Watch()])
    assert torch.equal(seen["start"][0], seen["end"][0])
    assert not torch.equal(seen["start"][0], seen["batch"][0])


def test_gradients_are_clipped_under_bfloat16(tmp_path: Path) -> None:
    module = stage("latent-autoencoder", optimizer={"gradient_clip": 0.01})
    norms: list[float] = []

    class Watch(lightning.Callback):
        def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            grads = [p.grad for p in module.decoder.parameters() if p.grad is not None]
            norms.extend([float(torch.stack([g.norm() for g in grads]).norm())] if grads else [])

    fit(module, 2, tmp_path, callbacks=[Watch()], precision="bf16-mixed")
    assert norms
    assert max(norms) <= 0.0101


def test_both_stages_train_with_everything_in_bfloat16(tmp_path: Path) -> None:
    second = stage("feature-decoder", encoder=ENCODER, average=0.5)
    for module in (stage("latent-autoencoder", average=0.5), second):
        logged = fit(module, 3, tmp_path, precision="bf16-true").callback_metrics
        assert logged["train/loss"].isfinite()
        assert logged["val/loss"].isfinite()
        assert module.decoder.unet.dtype == torch.bfloat16


def test_validation_loss_does_not_depend_on_how_batches_are_cut() -> None:
    module = stage("feature-decoder", encoder=ENCODER, cache=False).eval()
    assert isinstance(module, DenoiserStage)
    logged: list[tuple[Tensor, int]] = []
    module.log = lambda name, value, *, batch_size, **_: logged.append((value, batch_size))  # type: ignore[method-assign, assignment]
    given = [Sample(Conversation([s.conversation.messages[-1]]), task="t") for s in samples(6)]
    losses = []
    for size in (1, 2, 6):
        logged.clear()
        for number, start in enumerate(range(0, 6, size)):
            module.validation_step(module.collator()(given[start : start + size]), number)
        losses.append(sum(float(value.detach()) * count for value, count in logged) / 6)
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_an_encoder_of_another_space_is_one_clear_error() -> None:
    with pytest.raises(FeatureSpaceError, match=r"\(ColourEncoder\) gives colour .*name 'colour' is not 'other'"):
        stage("feature-decoder", encoder=ENCODER, decoder={**DECODER, "space": "other"})


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ConfigError, match="avrage"):
        stage("latent-autoencoder", avrage=0.5)


def test_the_collator_takes_each_media_once_and_keeps_to_its_modality_roles_and_limit() -> None:
    def keys(**options: Any) -> list[str]:
        return TargetCollator("image", Media.tensor, **options)(samples(4)).keys

    assert keys() == ["p0", "p1", "p2", "p3"]
    assert keys(roles="assistant") == ["p0", "p1", "p2", "p3"]
    assert keys(limit=2) == ["p0", "p2"]
    assert TargetCollator("other", Media.tensor)(samples(2)).targets is None


def test_the_collator_leaves_cached_media_alone() -> None:
    cache = FeatureCache()
    cache.put("targets", ["p1"], torch.ones(1, 2))
    cache.put("features", ["p1"], torch.ones(1, 2))
    batch = TargetCollator("image", Media.tensor, cache=cache)(samples(3))
    assert batch.keys == ["p0", "p1", "p2"]
    assert batch.fresh.tolist() == [0, 2]
    assert batch.targets is not None
    assert len(batch.targets) == 2


def test_features_and_latents_on_disk_are_those_that_were_computed(tmp_path: Path) -> None:
    found: list[list[torch.Tensor]] = []
    for encoded, read in ((4, 0), (0, 4)):
        torch.manual_seed(0)
        module = stage("feature-decoder", encoder=ENCODER, cache=str(tmp_path))
        module.trainer = SimpleNamespace(precision="32-true", world_size=1)  # type: ignore[assignment]
        found.append([t for t in module.prepare(module.collator()(samples(4))) if t is not None])
        assert (module.cache.counts["encoded"], module.cache.counts["read"]) == (encoded, read)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_averages_follow_the_closed_form() -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(0.0)
    average = AveragedWeights(layer.named_parameters(), decay=0.5)
    expected = 0.0
    for step in range(1, 30):
        layer.weight.data.fill_(float(step))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    with average.applied():
        assert float(layer.weight.detach()) == pytest.approx(expected, rel=1e-5)
    assert float(layer.weight.detach()) == 29.0


@pytest.mark.parametrize(("name", "more"), [("latent-autoencoder", {}), ("feature-decoder", {"encoder": ENCODER})])
def test_a_batch_without_media_skips_the_step_or_gives_a_zero_to_other_processes(name: str, more: Any) -> None:
    module = stage(name, **more)
    batch = TargetCollator("other", Media.tensor)(samples(2))
    module.trainer = SimpleNamespace(world_size=1)  # type: ignore[assignment]
    assert module.training_step(batch, 0) is None
    module.trainer = SimpleNamespace(world_size=2)  # type: ignore[assignment]
    loss = module.training_step(batch, 0)
    loss.backward()
    assert loss.item() == 0
    trained = [p for p in module.parameters() if p.requires_grad]
    assert trained
    assert all(p.grad is not None and not p.grad.any() for p in trained)


def test_stages_are_registered() -> None:
    assert type(stage("latent-autoencoder")) is AutoencoderStage
    assert type(stage("feature-decoder", encoder=ENCODER)) is DenoiserStage
