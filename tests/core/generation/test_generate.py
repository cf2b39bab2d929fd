"""Free-running answers: plans, forced and forbidden media, independence of batch-mates, sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.conversation import Media, Text
from anyloom.errors import ConfigError, ConversationError
from anyloom.generation.engine import Engine
from anyloom.generation.generate import message_of, new_answer
from anyloom.generation.options import GenerationOptions, PlannedMedium
from anyloom.generation.reading import read
from anyloom.generation.sampler import next_tokens
from parts import DIM, image_decoder_options, model_options, picture, sound


def make(tokenizer: Path, tokens: int = 2, representation: str = "autoregressive") -> AnyToAnyModel:
    options = model_options(tokenizer)
    options["encoders"]["eye"]["tokens"] = tokens
    for modality in options["modalities"].values():
        modality["representation"] = {"name": representation}
    return AnyToAnyModel.from_config({"model": options}).eval()


PROMPTS = [
    Conversation([Message("user", ["make it blue ", picture(0)])]),
    Conversation([Message("user", "hello")]),
    Conversation([Message("user", [sound(3), "what is this? " * 3])]),
]


def same(one: Message, other: Message) -> None:
    assert len(one.segments) == len(other.segments)
    for a, b in zip(one.segments, other.segments):
        if isinstance(a, Text) or isinstance(b, Text):
            assert a == b
        else:
            assert a.modality == b.modality
            torch.testing.assert_close(a.features, b.features, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("representation", ["autoregressive", "parallel"])
def test_answers_in_a_batch_equal_those_one_by_one(tokenizer_folder: Path, representation: str) -> None:
    model = make(tokenizer_folder, representation=representation)
    how: Any = {"media": {"image": "force", "audio": "allow"}, "max_new_tokens": 6, "temperature": 1.0, "top_p": 0.9}
    together = model.generate(PROMPTS, seed=[7, 8, 9], **how)
    for prompt, seed, answer in zip(PROMPTS, [7, 8, 9], together):
        alone = model.generate(prompt, seed=seed, **how)
        assert isinstance(alone, Message)
        same(alone, answer)


def test_answers_that_join_and_leave_while_others_run_are_as_alone(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    plans = [("text", "image"), ("audio", "text", "audio"), ("text",)]
    options = [GenerationOptions(plan=p, max_new_tokens=n, temperature=1.0) for p, n in zip(plans, (9, 3, 5))]
    engine, answers = Engine(model), []
    interleave = model.interleaver()
    for n, (prompt, own) in enumerate(zip(PROMPTS, options)):
        answers.append(new_answer(model, prompt, n, own))
        engine.add([answers[-1]], read(model, [interleave(prompt, open_answer=True)]))
        for _ in range(2):
            engine.step()
    engine.run()
    assert [a for a, _ in engine.finished] != answers  # they do not end in the order they came
    for n, (prompt, own, answer) in enumerate(zip(PROMPTS, options, answers)):
        alone = model.answer([prompt], [n], [own])[0]
        made = {k: m for k, m in enumerate(alone.segments) if isinstance(m, Media)}
        same(message_of(model, answer, made), alone)
        for k, medium in made.items():
            found = answer.segments[k]
            assert not isinstance(found, list)
            torch.testing.assert_close(found.features, medium.features, atol=1e-5, rtol=1e-4)


def test_a_dropped_answer_leaves_the_others_as_they_are(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    own = GenerationOptions(plan=("image", "text"), max_new_tokens=5)
    engine = Engine(model)
    answers = [new_answer(model, p, 0, own) for p in PROMPTS]
    engine.add(answers, read(model, [model.interleaver()(p, open_answer=True) for p in PROMPTS]))
    engine.step()
    engine.drop(answers[1])
    engine.run()
    assert {id(a) for a, _ in engine.finished} == {id(answers[0]), id(answers[2])}
    alone = model.answer([PROMPTS[2]], [0], [own])[0]
    medium = answers[2].segments[0]
    assert not isinstance(medium, list)
    torch.testing.assert_close(medium.features, alone.media[0].features, atol=1e-5, rtol=1e-4)


def test_a_plan_gives_its_segments_in_order(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    plan = ("text", "image", "text", "audio", PlannedMedium(modality="image", reference=0))
    answer = model.generate(PROMPTS[0], plan=plan, max_new_tokens=12, temperature=3.0, seed=3)
    assert isinstance(answer, Message)
    kinds = [s.modality if isinstance(s, Media) else "text" for s in answer.segments]
    assert [k for k in kinds if k != "text"] == ["image", "audio", "image"]
    assert kinds.index("image") <= 1
    assert answer.media[2].reference == 0
    assert all(m.features is not None and m.features.shape == (2, DIM) for m in answer.media)
    silent = model.generate(PROMPTS[0], plan=("image",), temperature=3.0)
    assert isinstance(silent, Message)
    assert [type(s) for s in silent.segments] == [Media]
    spoken = model.generate(PROMPTS[0], plan=("text",), temperature=3.0, max_new_tokens=4)
    assert isinstance(spoken, Message)
    assert not spoken.media


def test_media_are_forced_allowed_forbidden_and_runs_always_complete(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    begin = model.tags["image"].begin - model.llm.vocab_size  # type: ignore[operator]
    with torch.no_grad():
        model.llm.new_output_rows[begin] += 50 * model.llm.new_output_rows[begin].sign()  # type: ignore[index,operator]
    prompt = PROMPTS[1]
    forced = model.generate(prompt, media={"audio": "force", "image": "force"}, max_new_tokens=0)
    assert isinstance(forced, Message)
    assert [m.modality for m in forced.media] == ["audio", "image"]
    seeds = list(range(8))
    how: Any = {"seed": seeds, "temperature": 5.0, "max_new_tokens": 8}
    free = model.generate([prompt] * 8, max_media=2, **how)
    assert any(answer.media for answer in free)
    assert all(len(answer.media) <= 2 for answer in free)
    without = model.generate([prompt] * 8, media={"image": "forbid", "audio": "forbid"}, **how)
    assert not any(answer.media for answer in without)


def test_end_tags_and_special_tokens_are_never_sampled(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    tags = {i for t in model.tags.values() for i in (t.begin, t.end)}
    never = sorted({t.end for t in model.tags.values()} | set(model.llm.tokenizer.special_ids()))

    def favoured(module: Any, inputs: Any, output: Any) -> Any:
        if output.logits is not None:
            output.logits[:, never] = 1e4  # by far the likeliest
        return output

    model.llm.register_forward_hook(favoured)
    engine = Engine(model)
    answers = [
        new_answer(model, p, n, GenerationOptions(max_new_tokens=12, temperature=9.0, max_media=0))
        for n, p in enumerate(PROMPTS)
    ]
    engine.add(answers, read(model, [model.interleaver()(p, open_answer=True) for p in PROMPTS]))
    engine.run()
    fed = [i for a in answers for i in a.fed]
    assert fed
    assert not set(fed) & (tags | set(model.llm.tokenizer.special_ids()))


def test_unknown_media_and_options_are_refused(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    with pytest.raises(ConversationError, match="does not make 'smell'"):
        model.generate(PROMPTS[1], media={"smell": "force"})
    with pytest.raises(ConversationError, match=r"generate\.plan: the model does not make 'smell'"):
        model.generate(PROMPTS[1], plan=("text", "smell"))
    with pytest.raises(ConversationError, match="either a plan or media"):
        model.generate(PROMPTS[1], plan=("text",), media={"image": "force"})
    with pytest.raises(ConfigError, match="did you mean 'temperature'"):
        model.generate(PROMPTS[1], temprature=1.0)
    assert model.generate([]) == []


def test_options_of_decoders_are_refused_before_an_answer_begins(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder)
    options["decoders"] = {"brush": image_decoder_options()}
    options["modalities"]["image"]["decoder"] = "brush"
    model = AnyToAnyModel.from_config({"model": options})
    for sampling, error, message in (
        ({"audio": {"denoising_steps": 2}}, ConversationError, "no decoder makes 'audio'"),
        ({"image": {"denoising_steps": 0}}, ConfigError, r"generate\.sampling\.image\.denoising_steps"),
        ({"image": {"smell": 1}}, ConfigError, r"generate\.sampling\.image\.smell"),
    ):
        with pytest.raises(error, match=message):
            model.generate(PROMPTS[1], plan=("text",), sampling=sampling)
        session = model.session()
        with pytest.raises(error, match=message):
            session.say("hello", plan=("text",), sampling=sampling)
        assert not session.messages


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.8), (2.0, 0.3), (1.0, 1e-6)])
def test_tokens_are_drawn_as_often_as_transformers_would(temperature: float, top_p: float) -> None:
    scores = torch.randn(12) * 2
    warped = scores[None].clone()
    for warper in (TemperatureLogitsWarper(temperature), TopPLogitsWarper(top_p)):
        warped = warper(torch.zeros(1, 1, dtype=torch.long), warped)
    expected = warped.softmax(-1)[0]
    draws = 4000
    generators = [torch.Generator().manual_seed(n) for n in range(draws)]
    rows = scores.expand(draws, -1)
    found = torch.tensor(
        next_tokens(rows, temperature=[temperature] * draws, top_p=[top_p] * draws, generators=generators)
    )
    share = torch.bincount(found, minlength=12) / draws
    assert not share[expected == 0].any()
    deviation = (expected * (1 - expected) / draws).sqrt()
    assert bool(((share - expected).abs() <= 4.5 * deviation + 1e-9).all())


def test_a_nucleus_larger_than_the_shortlist_is_sampled_whole() -> None:
    size, draws = 5000, 600
    rows = torch.zeros(draws, size)  # every token equally likely: a shortlist of 2,048 would leave out most
    generators = [torch.Generator().manual_seed(n) for n in range(draws)]
    found = next_tokens(rows, temperature=[1.0] * draws, top_p=[1.0] * draws, generators=generators)
    assert len(set(found)) > 0.85 * draws
    assert max(found) > 4000


@pytest.mark.parametrize("temperature", [1e-6, 1e-30, 1e-39, 1e-45, 5e-324])
def test_the_coldest_temperatures_take_the_likeliest(temperature: float) -> None:
    scores = torch.randn(3, 50) * 20
    generators = [torch.Generator().manual_seed(n) for n in range(3)]
    found = next_tokens(scores, temperature=[temperature] * 3, top_p=[1.0] * 3, generators=generators)
    assert found == scores.argmax(-1).tolist()


def test_temperature_zero_takes_the_likeliest_beside_others_that_draw() -> None:
    scores = torch.tensor([[0.0, 3.0, 1.0], [0.0, 3.0, 1.0]])
    for n in range(20):
        pair = [torch.Generator().manual_seed(n), torch.Generator().manual_seed(n)]
        assert next_tokens(scores, temperature=[0.0, 50.0], top_p=[1.0, 1.0], generators=pair)[0] == 1
