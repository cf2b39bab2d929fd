"""Projectors that see the medium before."""

from __future__ import annotations

from pathlib import Path

import torch

from anyloom import AnyToAnyModel, Conversation, Message, build
from anyloom.conversation import Media
from anyloom.interfaces import Sample
from anyloom.network.network import sources
from parts import DIM, model_options, picture, sound


def edit_options(tokenizer: Path, steps: str = "autoregressive", tokens: int = 1) -> dict[str, object]:
    options = model_options(tokenizer, feature_steps=steps)
    options["encoders"]["eye"]["tokens"] = tokens
    options["modalities"]["image"]["input_projector"] = {"name": "compare", "products_dim": 16}
    options["modalities"]["image"]["output_projector"] = {"name": "change"}
    return options


CONVERSATION = Conversation(
    [
        Message("user", ["make ", picture(0), sound(1), " blue ", picture(2)]),
        Message("assistant", [picture(3), " and ", picture(4)]),
    ]
)


def test_change_starts_as_the_identity_and_can_be_any_banded_map() -> None:
    projector = build("projector", "change", {"band": 1}, in_dim=6, out_dim=DIM)
    hidden, source = torch.randn(3, 6), torch.randn(3, DIM)
    torch.testing.assert_close(projector(hidden, source), source)
    band = torch.randn(DIM, 3)
    with torch.no_grad():
        projector.band.bias.copy_(band.flatten())
    matrix = torch.diag(band[:, 1]) + torch.diag(band[1:, 0], -1) + torch.diag(band[:-1, 2], 1)
    torch.testing.assert_close(projector(hidden, source), source + source @ matrix.T)


def test_emphasis_scales_the_change_outside_training_only() -> None:
    projector = build("projector", "change", {"emphasis": 1.5}, in_dim=6, out_dim=DIM)
    torch.nn.init.normal_(projector.band.bias)
    hidden, source = torch.randn(3, 6), torch.randn(3, DIM)
    change = projector.train()(hidden, source) - source
    assert change.abs().max() > 0.1
    torch.testing.assert_close(projector.eval()(hidden, source), source + 1.5 * change)


def test_gated_units_learn_a_map_that_the_hidden_state_chooses_and_no_band_holds() -> None:
    """Two full matrices chosen by the sign of a hidden number; the band alone explains almost nothing of them."""
    torch.manual_seed(0)
    maps = torch.randn(2, 12, 12) / 12**0.5

    def error(gated_units: int) -> float:
        projector = build("projector", "change", {"band": 1, "gated_units": gated_units}, in_dim=2, out_dim=12)
        start = projector(torch.randn(4, 2), source := torch.randn(4, 12))
        torch.testing.assert_close(start, source)
        optimizer = torch.optim.Adam(projector.parameters(), 1e-2)
        for _ in range(300):
            source, kind = torch.randn(256, 12), torch.randint(0, 2, (256,))
            hidden = torch.nn.functional.one_hot(kind, 2).float()
            wanted = source + torch.einsum("boi,bi->bo", maps[kind], source)
            loss = (projector(hidden, source) - wanted).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    without, with_gate = error(0), error(48)
    assert without > 0.5
    assert with_gate < 0.2 * without


def test_compare_tells_pairs_of_equal_change_apart_from_others() -> None:
    """A linear probe on its products finds which of two maps relates a pair; one on the features themselves cannot."""
    projector = build("projector", "compare", {"products_dim": 64}, in_dim=DIM, out_dim=32).train()
    source = torch.randn(512, DIM)
    kind = torch.randint(0, 2, (512,))
    target = torch.where(kind[:, None] == 0, source, -source)
    x = projector(target, source).detach()
    x1 = torch.cat([x, torch.ones(512, 1)], 1)
    answer = (2 * kind - 1).float()[:, None]
    probe = torch.linalg.lstsq(x1[:400], answer[:400]).solution
    assert ((x1[400:] @ probe).sign() == answer[400:]).float().mean() > 0.9
    plain = torch.cat([target, source, torch.ones(512, 1)], 1)
    probe = torch.linalg.lstsq(plain[:400], answer[:400]).solution
    assert ((plain[400:] @ probe).sign() == answer[400:]).float().mean() < 0.7


def test_sources_are_the_media_before_of_the_same_modality_and_sample(tokenizer_folder: Path) -> None:
    model = AnyToAnyModel.from_config({"model": edit_options(tokenizer_folder)})
    batch = model.collator()([Sample(CONVERSATION, "x"), Sample(CONVERSATION, "y")])
    media = batch.media["image"]
    features = model.encode("image", media)
    before = sources(media, features)
    assert not before[[0, 4]].any()
    torch.testing.assert_close(before[[1, 2, 3, 5, 6, 7]], features[[0, 1, 2, 4, 5, 6]])


def test_free_running_equals_teacher_forced_with_sources(tokenizer_folder: Path) -> None:
    for steps, tokens in (("autoregressive", 1), ("autoregressive", 3), ("parallel", 2)):
        torch.manual_seed(1)
        model = AnyToAnyModel.from_config({"model": edit_options(tokenizer_folder, steps, tokens)}).eval()
        for parameter in model.parts.output_projectors.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
        answer = model.generate(CONVERSATION.prompt(), media={"image": "force"}, max_new_tokens=0)
        assert isinstance(answer, Message)
        generated = answer.media[0].features
        assert generated is not None
        again = Conversation([*CONVERSATION.messages[:1], Message("assistant", [Media("image", torch.zeros(3, 8, 8))])])
        batch = model.collator()([Sample(again, "x")])
        given = {n: model.encode(n, m).clone() for n, m in batch.media.items()}
        given["image"][-1] = generated
        with torch.no_grad():
            hidden = model.run_llm(batch, given).hidden
            predicted = model.predict_features("image", hidden, batch.media["image"], given["image"])[-1]
        torch.testing.assert_close(predicted, generated, atol=1e-5, rtol=1e-4)
