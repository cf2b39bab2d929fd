"""Decoders that wait elsewhere: where they are, when they come, and that they go back whatever happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.cli.model_argument import placed
from anyloom.generation.offloading import beside, keep_decoders_on
from parts import image_decoder_options, model_options, picture

PROMPT = Conversation([Message("user", ["make it blue ", picture(0)])])
HOW: Any = {"plan": ("image",), "seed": 3}


def make(tokenizer: Path) -> AnyToAnyModel:
    options = model_options(tokenizer, decoders={"brush": image_decoder_options()})
    options["modalities"]["image"]["decoder"] = "brush"
    torch.manual_seed(0)
    return AnyToAnyModel.from_config({"model": options}).eval()


def devices(module: torch.nn.Module) -> set[str]:
    return {t.device.type for t in (*module.parameters(), *module.buffers())}


def test_decoders_stay_while_the_rest_goes(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    order, values = list(model.state_dict()), {n: p.clone() for n, p in model.parts.decoders.named_parameters()}
    keep_decoders_on(model, "cpu", "meta")
    assert devices(model.parts.decoders) == {"cpu"}
    assert devices(model.parts.llm) | devices(model.parts.encoders) | devices(model.parts.representations) == {"meta"}
    assert model.device.type == "meta"
    assert all(torch.equal(p, values[n]) for n, p in model.parts.decoders.named_parameters())
    assert list(model.state_dict()) == order


def test_a_decoder_comes_to_its_features_and_goes_back(tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = make(tokenizer_folder).parts.decoder("brush")
    moves: list[str] = []
    monkeypatch.setattr(decoder, "to", lambda device: moves.append(torch.device(device).type))
    elsewhere = torch.empty(1, device="meta")
    with beside(elsewhere, decoder):
        assert moves == ["meta"]
    assert moves == ["meta", "cpu"]
    with pytest.raises(RuntimeError, match="fails"), beside(elsewhere, decoder):
        raise RuntimeError("fails")
    assert moves == ["meta", "cpu"] * 2
    with beside(torch.empty(1), decoder):
        pass
    assert len(moves) == 4, "nothing is moved where it is at home"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_answers_are_the_same_and_the_decoder_rests_on_the_cpu(tokenizer_folder: Path) -> None:
    model = placed(make(tokenizer_folder), "cuda")
    whole = model.generate(PROMPT, **HOW).media[0].tensor()
    model = placed(make(tokenizer_folder), "cuda", offload=True)
    assert devices(model.parts.decoders) == {"cpu"}
    assert devices(model.parts.llm) == {"cuda"}
    torch.testing.assert_close(model.generate(PROMPT, **HOW).media[0].tensor(), whole)
    assert devices(model.parts.decoders) == {"cpu"}


def test_on_a_cpu_nothing_changes(tokenizer_folder: Path) -> None:
    plain = make(tokenizer_folder).generate(PROMPT, **HOW).media[0].tensor()
    model = placed(make(tokenizer_folder), "cpu", offload=True)
    assert torch.equal(model.generate(PROMPT, **HOW).media[0].tensor(), plain)
