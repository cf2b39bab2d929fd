"""The conversation as a page: Gradio's chat, with what the model needs beside it."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyloom
from anyloom.config.yaml_text import parse_yaml
from anyloom.conversation import Media, Text
from anyloom.errors import AnyloomError, ConversationError
from anyloom.generation.events import MediumBegun, MediumMade, MediumPreviewed, TextMade
from anyloom.media import Isolation, io_for, read_media
from anyloom_chat.drawings import Drawn, drawn_below
from anyloom_chat.events import Answering, Progress, Stopped, in_thread
from anyloom_chat.rooms import Rooms
from anyloom_chat.served import packed, served
from anyloom_chat.talk import Kept, Talk

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import: nothing leaves this computer
import gradio as gr

__all__ = ["launch", "make_page"]

_APART: Final = Isolation()  # what is uploaded may come from anybody
_FREE: Final = "anything"
_CSS: Final = """
footer {display: none !important} .anyloom-title {margin: 0}
button[aria-label="Share"] {display: none !important} /* it would send a medium to another computer */
#chat .placeholder {text-align: center; padding: 0 1rem}
#chat .minimal-audio-player {height: 3.5rem !important} /* as tall as its buttons, not as a picture */
/* small models make small pictures */
#chat .bot img:not([alt^="spectrogram"]) {min-width: min(12rem, 50vw); object-fit: contain}
"""
_PROMPTS: Final = ("Turn it upside down.", "Make it grey.", "Mirror it left to right.", "What is this?")
"""What may be asked of a picture."""

_MADE: Final = {"image": "Draw this: red apple, noto style.", "audio": "Play this: crow cawing."}
"""What may be asked without one, by what a model makes."""

_WHOSE: Final = {"user": "given", "assistant": "answer"}
"""Whose a picture of the gallery is."""


def make_page(rooms: Rooms) -> gr.Blocks:
    """Build the page.

    Args:
        rooms: The conversations.
    """
    page = Page(rooms)
    with gr.Blocks(title="anyloom", analytics_enabled=False) as blocks:
        name = gr.BrowserState(None, storage_key="anyloom-conversation")
        gr.Markdown(f"### {rooms.named.recipe or Path(rooms.named.name).name}", elem_classes="anyloom-title")
        # Nothing that was typed or answered is read as HTML or Markdown.
        chat = gr.Chatbot(
            label="Conversation",
            height="62vh",
            render_markdown=False,
            editable="user",
            group_consecutive_messages=False,  # Gradio cannot edit words that share a bubble with a medium
            placeholder="Say something below, or try one of the prompts.",
            elem_id="chat",
            buttons=["copy"],
        )
        box = gr.MultimodalTextbox(
            placeholder="Words; drop media here",
            show_label=False,
            file_count="multiple",
            sources=["upload", "microphone"],
            elem_id="box",
            autofocus=True,
        )
        with gr.Row():
            kind = gr.Dropdown([_FREE, *page.makes], value=_FREE, label="Answer with", elem_id="kind")
            seed = gr.Number(rooms.seed, label="Seed", precision=0, minimum=0, elem_id="seed")
            stop = gr.Button("Stop", size="md", min_width=120, elem_id="stop")
            fresh = gr.Button("New conversation", size="md", min_width=120, elem_id="fresh")
        gr.Examples(
            [[{"text": text, "files": files}] for text, files in page.prompts],
            [box],
            label="Try",
            example_labels=[f"{text} (a picture of a hat)" if files else text for text, files in page.prompts],
        )
        with gr.Accordion("Show an example: before and after", open=False):
            with gr.Row():
                before = gr.File(label="Before", elem_id="before")
                after = gr.File(label="After", elem_id="after")
            pair = gr.Button("Show this pair", elem_id="pair")
        with gr.Accordion("How media are made", open=False):
            looks = gr.Checkbox(False, label="Show pictures in the making", elem_id="looks")
            settings = [page.number(*option) for option in page.options]
        with gr.Accordion("This conversation", open=False):
            gallery = gr.Gallery(label="Pictures", elem_id="gallery", columns=3, height="auto")
            download = gr.DownloadButton("Download as a file", elem_id="download")

        shown = [chat, gallery, download]
        how = [name, kind, looks, *settings]
        # One at a time, and none is lost: by default Gradio drops what is said before it has done with the last answer.
        one = {"concurrency_id": "model", "concurrency_limit": 1, "trigger_mode": "multiple"}
        blocks.load(page.opened, [name], [name, *shown])
        box.submit(page.ask, [box, *how], [name, box, *shown], **one)
        chat.retry(page.retry, how, [box, *shown], **one)
        chat.undo(page.undo, [name], shown, **one)
        chat.edit(page.edit, how, [box, *shown], **one)
        pair.click(page.example, [name, before, after], shown, **one)
        seed.input(page.seed, [name, seed], None)
        stop.click(page.stop, [name], None, queue=False)
        gr.on([fresh.click, chat.clear], page.fresh, [name], [name, *shown])
    return blocks


def launch(rooms: Rooms, host: str, port: int, *, inbrowser: bool) -> None:
    """Serve the page until it is interrupted.

    Args:
        rooms: The conversations.
        host: Address to listen on.
        port: Port.
        inbrowser: Open it in the user's browser.
    """
    make_page(rooms).queue().launch(
        server_name=host,
        server_port=port,
        inbrowser=inbrowser,
        quiet=True,
        footer_links=[],
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        css=_CSS,
        max_file_size="100mb",
    )


class Page:
    """What the page does; every method gets the browser's name of its conversation.

    Args:
        rooms: The conversations.
    """

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        model = rooms.named.model
        decoders = {name: model.decoder(name) for name in model.tags}
        self.makes = [name for name, decoder in decoders.items() if decoder is not None]
        self.options = [
            (name, option, getattr(decoder.config, option, field.default))
            for name, decoder in decoders.items()
            if decoder is not None
            for option, field in decoder.Sampling.model_fields.items()
            if not field.exclude  # what is given from Python only, such as tensors
        ]
        rooms.folder.mkdir(parents=True, exist_ok=True)
        self.sample = rooms.folder / "hat.png"
        if not self.sample.exists():
            anyloom.sample("hat").save(self.sample)
        of_hat: list[tuple[str, list[str]]] = [(text, [str(self.sample)]) for text in _PROMPTS]
        self.prompts = [*of_hat, *((text, []) for name, text in _MADE.items() if name in self.makes)]

    def number(self, modality: str, option: str, default: Any) -> Any:
        """A field for an option of a decoder; empty means its own default, which is shown where nothing was typed."""
        label = f"{modality}: {option.replace('_', ' ')}"
        return gr.Textbox(
            "",
            label=label,
            placeholder="" if default is None else str(default),
            elem_id=f"{modality}-{option}".replace("_", "-"),
        )

    def opened(self, name: str | None) -> list[Any]:
        """The conversation that the browser remembers, or a new one."""
        try:
            talk = self.rooms.talk(name or self.rooms.new())
        except AnyloomError:  # a folder that is gone, or a name that is none
            talk = self.rooms.talk(self.rooms.new())
        return [talk.folder.folder.name, *self._shown(talk)]

    def fresh(self, name: str) -> list[Any]:
        """A new conversation; the one before stays in its folder."""
        self.rooms.stop(name)
        return self.opened(None)

    def seed(self, name: str, seed: float | None) -> None:
        """Set what the next answers draw from."""
        self.rooms.talk(name).session.seed = int(seed or 0)

    def stop(self, name: str) -> None:
        """Stop the answer."""
        self.rooms.stop(name)

    def ask(self, said: dict[str, Any], name: str | None, *how: Any) -> Iterator[list[Any]]:
        """Say something; a browser that is faster than the page is opened has no name yet and gets one."""
        name = name or self.rooms.new()
        segments: list[Text | Media] = []
        with _told():
            segments += [read_media(file, isolation=_APART) for file in said.get("files") or []]
            text = (said.get("text") or "").strip()
            segments += [Text(f" {text}" if segments else text)] if text else []
            if not segments:
                raise ConversationError("nothing was said", where="chat", fix="write something or give a file")
        talk = self.rooms.talk(name)
        if len(segments) == 1 and isinstance(segments[0], Media) and talk.folder.record.turns[-1:]:
            segments = talk.ask_for(segments[0]) if talk.folder.record.turns[-1].given else segments
        for row in self._answered(name, how, lambda options: talk.ask(segments, **options), segments):
            yield [name, *row]

    def retry(self, name: str, *how: Any) -> Iterator[list[Any]]:
        """Ask the last question again, with the next seed."""
        talk = self.rooms.talk(name)
        yield from self._answered(name, how, lambda options: talk.retry(**options), [])

    def edit(self, data: gr.EditData, name: str, *how: Any) -> Iterator[list[Any]]:
        """Say something else in an earlier turn: its media stay, its words are replaced."""
        talk = self.rooms.talk(name)
        turn = _turn_of(talk, int(data.index))
        question, _ = talk.turns[turn]
        words = html.unescape(str(data.value)).strip()
        segments: list[Text | Media] = [s for s in question.segments if isinstance(s, Media)]
        segments.append(Text(f" {words}" if segments else words))

        def answer(options: dict[str, Any]) -> Answering:
            talk.back_to(turn)
            return talk.ask(segments, **options)

        yield from self._answered(name, how, answer, segments)

    def undo(self, name: str) -> list[Any]:
        """Take the last turn back."""
        talk = self.rooms.talk(name)
        with _told():
            talk.undo()
        return self._shown(talk)

    def example(self, name: str, before: str | None, after: str | None) -> list[Any]:
        """Show a pair."""
        talk = self.rooms.talk(name)
        with _told():
            if not before or not after:
                raise ConversationError("an example is a pair of files", where="chat", fix="give both")
            talk.show_example(read_media(before, isolation=_APART), read_media(after, isolation=_APART))
        return self._shown(talk)

    def _answered(
        self, name: str, how: tuple[Any, ...], answer: Callable[[dict[str, Any]], Answering], asked: Any
    ) -> Iterator[list[Any]]:
        """Yield what the page shows while an answer is made."""
        talk = self.rooms.talk(name)
        kind, looks, *settings = how
        with _told():
            options = self._options(kind, *settings)
        before = _messages(talk)
        question = [
            {"role": "user", "content": _content(s.text if isinstance(s, Text) else Path(s.path))} for s in asked
        ]
        coming, look = "", list[dict[str, Any]]()
        yield [_empty_box(), [*before, *question, _pending("...")], gr.skip(), gr.skip()]
        with _told(), self.rooms.lock:
            for event in in_thread(lambda: answer(options), self.rooms.begin(name), previews=bool(looks)):
                if isinstance(event, TextMade):
                    coming += event.text
                elif isinstance(event, MediumBegun):
                    coming += f"[{event.modality}]"
                elif isinstance(event, MediumPreviewed | MediumMade):
                    look = [_look(event.media)] if isinstance(event, MediumPreviewed) else []
                state = f" {event.done} of {event.total}" if isinstance(event, Progress) else ""
                if not isinstance(event, Kept):
                    yield [gr.skip(), [*before, *question, *look, _pending(coming + state)], gr.skip(), gr.skip()]
        yield [gr.skip(), *self._shown(talk)]  # what was typed meanwhile stays

    def _options(self, kind: str, *settings: str) -> dict[str, Any]:
        """What was chosen beside the words."""
        sampling: dict[str, dict[str, Any]] = {}
        for (modality, option, _), text in zip(self.options, settings):
            if text and text.strip():
                sampling.setdefault(modality, {})[option] = parse_yaml(text, where=f"{modality}: {option}")
        chosen: dict[str, Any] = {"sampling": sampling} if sampling else {}
        return chosen if kind == _FREE else {**chosen, "media": {kind: "force"}}

    def _shown(self, talk: Talk) -> list[Any]:
        """Messages, pictures and the file of a conversation."""
        files = [(role, piece) for role, piece in _lines(talk) if isinstance(piece, Path)]
        pictures = [(served(file), _WHOSE[role]) for role, file in files if file.suffix == ".png"]
        return [_messages(talk), pictures, gr.DownloadButton(value=self._packed(talk))]

    def _packed(self, talk: Talk) -> str | None:
        """The folder of a conversation as one file."""
        return served(packed(talk.folder.file)) if talk.folder.file.exists() else None


@contextmanager
def _told() -> Iterator[None]:
    """Errors that a user can mend are shown on the page; an answer that was stopped is none."""
    try:
        yield
    except AnyloomError as error:
        raise gr.Error(html.escape(str(error)), print_exception=False) from error
    except Stopped:
        gr.Info("Stopped; this turn was taken back.")


def _lines(talk: Talk) -> list[tuple[str, str | Path | Drawn]]:
    """What the page shows as lines of their own: who, and a text, a file, or what is drawn below one."""
    return [(role, line) for role, pieces in talk.shown() for line in _lines_of(pieces)]


def _lines_of(pieces: Sequence[str | Path]) -> list[str | Path | Drawn]:
    """Lines of one message: its media, then its words."""
    lines: list[str | Path | Drawn] = []
    for piece in pieces:
        if isinstance(piece, Path):
            lines.append(piece)
            if drawing := drawn_below(piece):
                lines.append(drawing)
    texts = [piece.strip() for piece in pieces if isinstance(piece, str)]
    words = " ".join(text for text in texts if text)
    return [*lines, words] if words else lines


def _turn_of(talk: Talk, line: int) -> int:
    """Which turn, counted from 0, a line of the page belongs to."""
    turn = -1
    for role, pieces in talk.shown():
        turn += role == "user"
        line -= len(_lines_of(pieces))
        if line < 0:
            break
    return turn


def _messages(talk: Talk) -> list[dict[str, Any]]:
    return [{"role": role, "content": _content(piece)} for role, piece in _lines(talk)]


def _content(piece: str | Path | Drawn) -> Any:
    """Nothing that was typed or answered is read as HTML: Gradio takes it as such, whatever is said about Markdown."""
    if isinstance(piece, Drawn):
        return gr.HTML(piece.html)
    return {"path": served(piece)} if isinstance(piece, Path) else html.escape(piece, quote=False)


def _look(media: Media) -> dict[str, Any]:
    """What a medium looks like so far."""
    return {"role": "assistant", "content": _content(Drawn(io_for(media.modality).to_html(media)))}


def _pending(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": html.escape(text or "...", quote=False)}


def _empty_box() -> dict[str, Any]:
    return {"text": "", "files": []}
