"""A conversation that goes on reads each thing once, and answers as if everything had been read anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.errors import AnyloomError, ConversationError
from anyloom.generation.events import Finished, MediumBegun, MediumMade, TextMade
from anyloom.media import read_media
from anyloom.sequence.seeds import seed_of
from parts import model_options, picture, sound

REPRESENTATIONS = ["autoregressive", "parallel"]


def make(tokenizer: Path, representation: str = "autoregressive") -> AnyToAnyModel:
    torch.manual_seed(1)
    options = model_options(tokenizer)
    options["encoders"]["eye"]["tokens"] = 2
    for modality in options["modalities"].values():
        modality["representation"] = {"name": representation}
    return AnyToAnyModel.from_config({"model": options}).eval()


class Encoded:
    """Counts the media that an encoder is given."""

    def __init__(self, model: AnyToAnyModel) -> None:
        self.count = 0
        model.encoder("image").register_forward_pre_hook(self._see)

    def _see(self, module: Any, arguments: tuple[Any, ...]) -> None:
        self.count += len(arguments[0])


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_five_turns_cost_their_own_tokens_and_media(tokenizer_folder: Path, representation: str) -> None:
    model = make(tokenizer_folder, representation)
    encoded, session = Encoded(model), model.session(plan=("image", "text"), max_new_tokens=4)
    lengths: list[int] = []
    said: list[Message] = []
    for turn in range(5):
        before, read = encoded.count, session.positions_read
        answer = session.say("make it blue ", picture(turn))
        lengths.append(session.positions_read - read)
        assert encoded.count - before == 1
        said.append(Message("user", ["make it blue ", picture(turn)]))
        again = model.generate(
            Conversation(said), plan=("image", "text"), max_new_tokens=4, seed=seed_of(0, "session", turn + 1)
        )
        assert isinstance(again, Message)
        assert again.text == answer.text
        torch.testing.assert_close(again.media[0].features, answer.media[0].features, atol=1e-4, rtol=1e-3)
        said.append(answer)
    # A later turn reads at most the end of the last answer beyond what the first one read.
    assert max(lengths[1:]) <= lengths[0] + 2


def test_an_undone_turn_leaves_no_trace(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    plain, undone = (model.session(max_new_tokens=6) for _ in range(2))
    for session in (plain, undone):
        session.say("hello there")
    undone.say("a red heart ", picture(3))
    undone.undo()
    before = undone.positions_read
    ours, theirs = plain.say(sound(1), "what is this?"), undone.say(sound(1), "what is this?")
    assert ours.text == theirs.text
    whole = len(model.interleaver()(Conversation(undone.messages[:-1]), open_answer=True))
    assert undone.positions_read - before < whole
    assert [m.role for m in undone.messages] == ["user", "assistant"] * 2


def test_an_earlier_turn_is_asked_again(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    session = model.session(max_new_tokens=5)
    for text in ("hello there", "make it blue", "a red heart"):
        session.say(text)
    answer = session.edit(1, "turn it upside down ", picture(2))
    assert [m.text for m in session.messages if m.role == "user"] == ["hello there", "turn it upside down "]
    fresh = model.session(session.messages[:2], max_new_tokens=5)
    assert fresh.say("turn it upside down ", picture(2)).text == answer.text
    with pytest.raises(ConversationError, match="there is no turn 7"):
        session.edit(7, "hello")


def test_a_medium_that_comes_again_in_another_way_is_not_read_again(tokenizer_folder: Path, tmp_path: Path) -> None:
    """Else a session that is replayed from its files is cut elsewhere than it was, and differs in the last bits."""
    model = make(tokenizer_folder)
    encoded, session = Encoded(model), model.session(plan=("text",), max_new_tokens=3)
    file = picture(0).save(tmp_path / "a.png")
    session.say(read_media(file), "make it blue")
    copy = tmp_path / "b.png"
    copy.write_bytes(file.read_bytes())
    for same in (read_media(file), read_media(file, lazy=True), read_media(copy, lazy=True)):
        session.edit(0, same, "turn it upside down")
        assert encoded.count == 1
    session.edit(0, picture(1), "turn it upside down")
    assert encoded.count == 2


def test_a_retry_draws_anew_and_replays_by_its_seed(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    how: Any = {"temperature": 3.0, "max_new_tokens": 8}
    one, other = model.session(seed=5, **how), model.session(seed=5, **how)
    first = one.say("hello there")
    assert other.say("hello there").text == first.text
    again = one.retry()
    assert again.text != first.text
    assert len(one.messages) == 2
    assert other.retry().text == again.text


def test_what_streams_is_what_is_returned(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    events = list(model.session(plan=("text", "image", "text"), max_new_tokens=9, temperature=2.0).stream("hello"))
    finished = events[-1]
    assert isinstance(finished, Finished)
    text = "".join(e.text for e in events if isinstance(e, TextMade))
    assert text == finished.message.text
    begun = next(n for n, e in enumerate(events) if isinstance(e, MediumBegun))
    made = next(n for n, e in enumerate(events) if isinstance(e, MediumMade))
    assert begun < made
    event = events[made]
    assert isinstance(event, MediumMade)
    assert event.media is finished.message.media[0]
    assert len([e for e in events if isinstance(e, TextMade)]) > 2


def test_a_watcher_that_leaves_takes_the_turn_back(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    session = model.session(max_new_tokens=8, temperature=2.0)
    session.say("hello there")
    stream = session.stream("make it blue ", picture(0))
    next(stream)
    stream.close()
    assert len(session.messages) == 2
    assert (
        session.say("a red heart").text
        == model.session(session.messages[:2], max_new_tokens=8, temperature=2.0).say("a red heart").text
    )


def test_text_goes_back_as_the_tokens_it_was_made_from(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    session = model.session(temperature=4.0, max_new_tokens=20)
    answer = session.say("hello there")
    read = session.positions_read
    prompt = model.interleaver()(Conversation([*session.messages, Message("user", "and")]), open_answer=True)
    session.say("and")
    tokenizer = model.llm.tokenizer
    retokenized = [tokenizer.encode(s.text) for s in answer.segments if hasattr(s, "text")]  # type: ignore[union-attr]
    assert any(tuple(ids) != s.tokens for ids, s in zip(retokenized, answer.segments))  # type: ignore[union-attr]
    assert session.positions_read - read < len(prompt) - len(answer.segments[0].tokens or ())  # type: ignore[union-attr]


def test_nothing_said_is_refused(tokenizer_folder: Path) -> None:
    session = make(tokenizer_folder).session()
    with pytest.raises(ConversationError, match="nothing was said"):
        session.say()
    with pytest.raises(ConversationError, match="no turn to take back"):
        session.undo()
    with pytest.raises(ConversationError, match="does not make 'smell'"):
        session.say("hello", plan=("smell",))
    assert session.messages == []


def test_what_cannot_be_asked_instead_loses_nothing(tokenizer_folder: Path) -> None:
    session = make(tokenizer_folder).session(max_new_tokens=2)
    session.say("hello")
    session.say("what is this?", picture(1))
    said = list(session.messages)
    for call in (
        lambda: session.edit(0), lambda: session.edit(0, "x", plan=("smell",)), lambda: session.edit(0, "x", bogus=1),
        lambda: session.edit(2, "x"), lambda: session.retry(temperature=-1),
    ):  # fmt: skip
        with pytest.raises(AnyloomError):
            call()
        assert session.messages == said
