"""Both ways of predicting continuous features: teacher-forced and free-running agree; losses are as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.conversation import Media
from anyloom.errors import AnyloomError
from anyloom.interfaces import FeatureSpace, Representation, Sample
from anyloom.representation.autoregressive import Autoregressive
from anyloom.representation.parallel import Parallel
from anyloom.representation.regression import regression_loss
from parts import DIM, model_options, picture

SPACE = FeatureSpace(name="toy", dim=4, tokens=3)
BOTH = [Autoregressive, Parallel]


def build(cls: type[Any], **options: Any) -> Representation:
    built: Representation = cls(cls.Config(**options), given=SPACE, target=SPACE, hidden_size=6)
    return built


def test_losses_are_the_closed_forms() -> None:
    a, b = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]]), torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]]])
    assert regression_loss(a, b).tolist() == [0.5, 0.5]
    assert regression_loss(a[1:], b[1:], "cosine").item() == pytest.approx(0.0)
    assert regression_loss(a[1:], -b[1:], "cosine").item() == pytest.approx(2.0)
    target = torch.ones(1, 1, 2, requires_grad=True)
    regression_loss(torch.zeros(1, 1, 2, requires_grad=True), target).sum().backward()
    assert target.grad is None


@pytest.mark.parametrize(("cls", "read_at"), [(Autoregressive, [0, 1, 2]), (Parallel, [0])])
def test_each_feature_is_read_before_its_own_position(cls: type[Any], read_at: list[int]) -> None:
    representation = build(cls)
    hidden = torch.randn(2, 4, 6, requires_grad=True)
    predicted = representation.read(hidden, None)
    assert predicted.shape == (2, 3, 4)
    predicted.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.abs().sum((0, 2)).nonzero().flatten().tolist() == read_at


@pytest.mark.parametrize("cls", BOTH)
def test_media_at_different_positions_advance_together_as_alone(cls: type[Any]) -> None:
    representation = build(cls).eval()
    hidden = torch.randn(2, 5, 6)
    alone = []
    for row in range(2):
        state = representation.begin(None, torch.Generator())
        steps = [representation.step(hidden[row, n][None], [state])[0] for n in range(3)]
        alone.append((torch.stack(steps), representation.finish(hidden[row, 3][None], [state])[0]))
    states = [representation.begin(None, torch.Generator()) for _ in range(2)]
    late = [representation.step(hidden[:1, 0], states[:1])[0]]  # the first is one position ahead of the second
    for n in range(2):
        both = representation.step(torch.stack([hidden[0, n + 1], hidden[1, n]]), states)
        late.append(both[0])
        torch.testing.assert_close(both[1], alone[1][0][n])
    representation.step(hidden[1:, 2], states[1:])
    torch.testing.assert_close(torch.stack(late), alone[0][0])
    done = representation.finish(torch.stack([hidden[0, 3], hidden[1, 3]]), states)
    for row in range(2):
        torch.testing.assert_close(done[row], alone[row][1])


@pytest.mark.parametrize("name", ["autoregressive", "parallel"])
def test_step_by_step_generation_equals_one_teacher_forced_pass(tokenizer_folder: Path, name: str) -> None:
    options = model_options(tokenizer_folder, modalities=("image",))
    options["encoders"]["eye"]["tokens"] = 3
    options["modalities"]["image"]["representation"] = {"name": name}
    model = AnyToAnyModel.from_config({"model": options}).eval()
    prompt = Conversation([Message("user", ["make it blue ", picture(0)])])
    answer = model.generate(prompt, media={"image": "force"}, max_new_tokens=4)
    assert isinstance(answer, Message)
    made = answer.media[0]
    assert made.features is not None
    assert made.features.shape == (3, DIM)
    again = Conversation([*prompt.messages, Message("assistant", [made, answer.text])])
    batch = model.collator()([Sample(again, "test")])
    with torch.no_grad():
        encoded = {n: model.encode(n, m) for n, m in batch.media.items()}
        hidden = model.llm(model.inputs(batch, model.place(batch, encoded))).hidden
        states = model.hidden_of("image", batch.media["image"], hidden)
        predicted = model.representation("image").read(states, None)[0]
    torch.testing.assert_close(predicted, made.features, atol=1e-5, rtol=1e-4)


def test_noise_on_what_is_read_comes_in_training_alone() -> None:
    noisy = build(Autoregressive, feature_noise=0.5)
    features = torch.randn(2, 3, 4)
    noisy.eval()
    assert torch.equal(noisy.embed(features, None), noisy.embed(features, None))
    noisy.train()
    assert not torch.equal(noisy.embed(features, None), noisy.embed(features, None))
    assert not torch.equal(noisy.embed_target(features, None), noisy.embed_target(features, None))
    drawn = torch.stack([noisy.noised(torch.zeros(1, 3, 4)) for _ in range(400)])  # type: ignore[operator]
    assert drawn.std().item() == pytest.approx(0.5, rel=0.05)


def test_numbers_of_a_codebook_are_not_regressed() -> None:
    codes = FeatureSpace(name="codes", dim=1, tokens=3, scale="code", codes=16)
    with pytest.raises(AnyloomError, match="cannot be regressed"):
        Autoregressive(Autoregressive.Config(), given=codes, target=codes, hidden_size=6)


def test_projectors_with_weights_of_their_own_are_saved_and_loaded(tokenizer_folder: Path, tmp_path: Path) -> None:
    options = model_options(tokenizer_folder, modalities=("image",))
    model = AnyToAnyModel.from_config({"model": options}).eval()
    model.save_pretrained(tmp_path / "saved")
    loaded = AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True)
    for name, tensor in model.parts.state_dict().items():
        assert torch.equal(loaded.parts.state_dict()[name], tensor)
    made = Media("image", features=torch.zeros(1, DIM), space="patch-image")
    prompt = Conversation([Message("user", [made, "make it blue"])])
    ours, theirs = (m.generate(prompt, media={"image": "force"}, max_new_tokens=2) for m in (model, loaded))
    assert isinstance(ours, Message)
    assert isinstance(theirs, Message)
    assert ours.media[0].features is not None
    assert theirs.media[0].features is not None
    assert torch.equal(ours.media[0].features, theirs.media[0].features)
