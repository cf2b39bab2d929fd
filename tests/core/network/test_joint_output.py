"""One assistant message with several modalities: learned, decoded from one hidden context, and coupled if asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
import soundfile
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.checking.inspection import inspect_model
from anyloom.conversation import Media
from anyloom.errors import AnyloomError
from anyloom.interfaces import Sample
from anyloom.network.config import ModelConfig
from anyloom.network.decoding_losses import decoder_losses
from anyloom.options import validate
from anyloom.sequence.batch import Batch
from anyloom.training.module import AnyToAnyModule
from anyloom_media.audio import AudioIO
from anyloom_media.video import VideoIO
from parts import DIM, image_decoder_options, model_options, picture, sound

SMALL = {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4}
BRUSH = image_decoder_options()
VOICE: dict[str, Any] = {
    "name": "audioldm2",
    "space": "patch-audio",
    "dim": DIM,
    "mel": {"frames": 8, "num_mels": 8, "fft_size": 256, "hop": 64},
    "autoencoder": {**SMALL, "latent_channels": 4},
    "unet": {**SMALL, "attention_head_dim": 4},
    "lm_tokens": 1,
    "lm_dim": 8,
    "denoising_steps": 2,
    "griffin_lim_steps": 2,
}
REEL: dict[str, Any] = {
    "name": "zeroscope",
    "space": "patch-video",
    "dim": DIM,
    "clip": {"frames": 3, "fps": 8.0, "height": 8, "width": 12},
    "autoencoder": SMALL,
    "unet": {**SMALL, "attention_head_dim": 4},
    "denoising_steps": 2,
}
DECODERS = {"image": BRUSH, "audio": VOICE, "video": REEL}
COUPLE: dict[str, Any] = {"name": "condition-coupler", "width": 16, "heads": 2, "places": 4, "detail": 2}


def options(tokenizer: Path, pair: tuple[str, str] = ("image", "audio"), *, couple: bool = False) -> dict[str, Any]:
    made = model_options(tokenizer, modalities=pair, decoders={n: DECODERS[n] for n in pair})
    for name in pair:
        made["modalities"][name]["decoder"] = name
    return {**made, "couple": {"both": {"pair": list(pair), "coupler": COUPLE}}} if couple else made


def build(tokenizer: Path, *, opened: bool = True, **more: Any) -> AnyToAnyModel:
    """A model, its coupler (where there is one) no longer zero unless asked."""
    model = AnyToAnyModel.from_config({"model": options(tokenizer, **more)})
    if model.config.couple and opened:
        coupler = model.parts.coupler("both")
        for listener in (coupler.to_first, coupler.to_second):
            torch.nn.init.normal_(listener.change[-1].weight, std=0.5)
    return model


def batch_of(model: AnyToAnyModel, *conversations: Conversation) -> Batch:
    return model.collator()([Sample(c, "test") for c in conversations])


def answers(model: AnyToAnyModel, prompts: list[Conversation], seeds: list[int], *names: str) -> list[Message]:
    force = dict.fromkeys(names or ("image", "audio"), "force")
    made = model.generate(prompts, media=force, seed=seeds, max_new_tokens=0)
    assert isinstance(made, list)
    return made


PROMPT = Conversation([Message("user", "the sound of a bell")])
OTHER = Conversation([Message("user", "a red heart")])
BOTH = Conversation([*PROMPT.messages, Message("assistant", [picture(1), "and", sound(2)])])


@pytest.mark.parametrize("couple", [False, True])
def test_a_message_with_a_picture_and_a_sound_is_learned_and_decoded(tokenizer_folder: Path, couple: bool) -> None:
    model = build(tokenizer_folder, couple=couple).train()
    terms = model(batch_of(model, BOTH, BOTH)).terms
    assert {"diffusion/image", "diffusion/audio", "feature/image", "feature/audio", "text"} == set(terms)
    (terms["diffusion/image"].total + terms["diffusion/audio"].total).backward()
    reached = {n for n, p in model.parts.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    wanted = ["representations.image.output_projector", "representations.audio.output_projector", "llm"] + [
        "couplers.both"
    ] * couple
    assert all(any(n.startswith(prefix) for n in reached) for prefix in wanted)
    assert not any(n.startswith("decoders") for n in reached)
    (answer,) = answers(model, [PROMPT], [3])
    image, audio = answer.media
    assert image.tensor().shape == (3, 16, 16)
    assert audio.tensor().shape == (1, 8 * 64)
    assert audio.meta["sample_rate"] == 16000


@pytest.mark.parametrize("couple", [False, True])
def test_a_message_with_a_clip_and_a_sound_becomes_two_files(
    tokenizer_folder: Path, tmp_path: Path, couple: bool
) -> None:
    model = build(tokenizer_folder, pair=("video", "audio"), couple=couple)
    clip = Media("video", torch.rand(3, 3, 8, 12), meta={"fps": 8.0})
    terms = model(batch_of(model, Conversation([*PROMPT.messages, Message("assistant", [clip, sound(2)])]))).terms
    assert {"diffusion/video", "diffusion/audio"} < set(terms)
    (answer,) = answers(model, [PROMPT], [3], "video", "audio")
    video, audio = answer.media
    with av.open(str(VideoIO(VideoIO.Config()).write(video, tmp_path / "clip.mp4"))) as container:
        assert len(list(container.decode(video=0))) == 3
    samples, rate = soundfile.read(AudioIO(AudioIO.Config()).write(audio, tmp_path / "sound.wav"))
    assert (len(samples), rate) == (512, 16000)


def test_a_new_coupler_changes_no_answer_and_a_trained_one_does(tokenizer_folder: Path) -> None:
    coupled, plain = build(tokenizer_folder, couple=True, opened=False), build(tokenizer_folder)
    state = coupled.parts.state_dict()
    plain.parts.load_state_dict({k: v for k, v in state.items() if not k.startswith("couplers.")})
    expected = [media.tensor() for answer in answers(plain, [PROMPT, OTHER], [3, 4]) for media in answer.media]

    def equal() -> list[bool]:
        made = [media.tensor() for answer in answers(coupled, [PROMPT, OTHER], [3, 4]) for media in answer.media]
        return [torch.equal(a, b) for a, b in zip(made, expected, strict=True)]

    assert equal() == [True] * 4
    coupler = coupled.parts.coupler("both")
    torch.nn.init.normal_(coupler.to_first.change[-1].weight)
    torch.nn.init.normal_(coupler.to_second.change[-1].weight)
    assert equal() == [False] * 4


def distance(a: Media, b: Media) -> float:
    """Norm of the difference in units of what varies in ``b``."""
    x, y = a.tensor(), b.tensor()
    return float((x - y).norm() / (y - y.mean()).norm())


def test_coupled_answers_depend_on_their_seed_and_not_on_their_batch(tokenizer_folder: Path) -> None:
    model = build(tokenizer_folder, couple=True)
    together = answers(model, [PROMPT, OTHER, OTHER], [3, 4, 5])
    (alone,) = answers(model, [OTHER], [4])
    for same, other, medium in zip(together[1].media, together[2].media, alone.media):
        assert distance(same, medium) < 0.01
        assert distance(other, medium) > 0.1


def test_media_of_one_message_are_paired_in_order_and_others_are_on_their_own(tokenizer_folder: Path) -> None:
    model = build(tokenizer_folder, couple=True)
    two_turns = Conversation(
        [
            Message("user", ["hello ", sound(9)]),
            Message("assistant", [sound(0)]),
            Message("user", "and"),
            Message("assistant", [picture(0), sound(1), sound(2), picture(3), picture(4)]),
        ]
    )
    batch = batch_of(model, OTHER, two_turns)
    predicted = {n: torch.randn(len(m.made), 1, DIM, requires_grad=True) for n, m in batch.media.items()}
    losses = decoder_losses(model.config, model.parts, batch.media, predicted, trained=True)
    assert {n: count for n, (_, count) in losses.items()} == {"image": 3, "audio": 3}
    (gradient,) = torch.autograd.grad(losses["image"][0], predicted["audio"], retain_graph=True)
    assert gradient.abs().sum((1, 2)).nonzero().flatten().tolist() == [1, 2]  # the first sound has no picture beside it
    (gradient,) = torch.autograd.grad(losses["audio"][0], predicted["image"])
    assert gradient.abs().sum((1, 2)).nonzero().flatten().tolist() == [0, 1]  # the last picture has no sound


def test_a_coupler_is_saved_and_loaded(tokenizer_folder: Path, tmp_path: Path) -> None:
    model = build(tokenizer_folder, couple=True).eval()
    model.save_pretrained(tmp_path / "saved")
    again = AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True)
    ours, theirs = model.parts.coupler("both").state_dict(), again.parts.coupler("both").state_dict()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    for a, b in zip(answers(model, [PROMPT], [3])[0].media, answers(again, [PROMPT], [3])[0].media):
        assert torch.equal(a.tensor(), b.tensor())


def test_coupling_may_begin_with_a_model_trained_without(tokenizer_folder: Path, tmp_path: Path) -> None:
    plain = build(tokenizer_folder)
    plain.save_pretrained(tmp_path / "plain")
    config = validate(AnyToAnyModule.Config, {"start_from": str(tmp_path / "plain")}, where="module")
    module = AnyToAnyModule(config, options(tokenizer_folder, couple=True))
    module.configure_model()
    state = module.model.parts.state_dict()
    assert all(torch.equal(state[k], v) for k, v in plain.parts.state_dict().items())
    assert any(k.startswith("couplers.both.") for k in state)
    assert all(p.requires_grad for p in module.model.parts.couplers.parameters())


def test_check_counts_couplers(tokenizer_folder: Path) -> None:
    found = inspect_model(validate(ModelConfig, options(tokenizer_folder, couple=True), where="model"))
    assert not found.problems
    (record,) = [part for part in found.parts if part.key == "model.couple.both.coupler"]
    real = build(tokenizer_folder, couple=True).parts.coupler("both")
    assert record.parameters == record.trainable == sum(p.numel() for p in real.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair": ["image", "smell"]}, r"model\.couple\.both\.pair: no modality 'smell' with a decoder"),
        ({"pair": ["audio", "audio"]}, r"model\.couple\.both\.pair: a modality is not coupled with itself"),
        ({"coupler": {**COUPLE, "width": 15}}, "width: must be a multiple of heads"),
        ({"coupler": {**COUPLE, "widht": 16}}, "did you mean 'width'"),
    ],
)
def test_wrong_couples_are_named(tokenizer_folder: Path, changes: dict[str, Any], message: str) -> None:
    wrong = options(tokenizer_folder, couple=True)
    wrong["couple"]["both"] |= changes
    with pytest.raises(AnyloomError, match=message):
        AnyToAnyModel.from_config({"model": wrong})


def test_decoders_of_other_times_are_refused_before_weights_are_read(tokenizer_folder: Path) -> None:
    wrong = options(tokenizer_folder, couple=True)
    wrong["decoders"]["audio"] = {**VOICE, "schedule": {"num_train_timesteps": 500}}
    found = inspect_model(validate(ModelConfig, wrong, where="model"))
    assert [p.where for p in found.problems] == ["model.couple.both.coupler"]
    assert "diffusion times" in str(found.problems[0])
