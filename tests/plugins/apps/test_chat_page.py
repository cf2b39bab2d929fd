"""The page in a real browser, from the shipped model: upload, ask, edit again, hear, undo, stop, reload."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import anyloom

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("chats")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["chat", "mini-plain", "--web", "--port", str(port), "--session", str(folder)]
    log = folder / "log"
    (temporary := folder / "temporary").mkdir()  # the conversations lie in no place that Gradio serves by itself
    env = {**os.environ, "TMPDIR": str(temporary)}
    with log.open("wb") as told:
        command = [sys.executable, "-m", "anyloom.cli.main", *words]
        process = subprocess.Popen(command, stdout=told, stderr=told, cwd=temporary, env=env)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(address, timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address, folder
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, "Ctrl-C ends it"


@pytest.fixture
def page(server: tuple[str, Path]) -> Iterator[Any]:
    problems: list[str] = []
    outside: list[str] = []
    with sync_api.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})  # a phone
        page.set_default_timeout(90_000)
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: problems.append(str(e)))
        local = (server[0], "data:", "blob:")
        page.on("request", lambda r: outside.append(r.url) if not r.url.startswith(local) else None)
        page.goto(server[0])
        page.wait_for_selector("#box textarea")
        yield page
        browser.close()
    # A reload cuts the stream of events that Gradio holds open; its own script then reports that it was aborted.
    assert not [problem for problem in problems if not problem.startswith("AbortError")]
    assert not outside


def say(page: Any, text: str) -> None:
    page.fill("#box textarea", text)
    page.press("#box textarea", "Enter")


def shown(page: Any, what: str, count: int) -> None:
    page.wait_for_function("([what, count]) => document.querySelectorAll(what).length == count", arg=[what, count])


def test_a_conversation_of_pictures_and_a_sound(server: tuple[str, Path], page: Any, tmp_path: Path) -> None:
    page.set_input_files("#box input[type=file]", anyloom.sample("hat").save(tmp_path / "<i>hat.png"))
    page.wait_for_selector("#box .thumbnail-item, #box .file, #box img")
    say(page, "<b>Turn</b> it upside down.")
    shown(page, "#chat .bot img", 1)
    assert page.locator("#chat .user b").count() == 0, "what was typed is text"
    assert page.locator("#chat .user").get_by_text("<b>Turn</b> it upside down.").count() >= 1
    say(page, "Make it grey.")
    shown(page, "#chat .bot img", 2)
    page.click("#kind input")
    page.get_by_role("option", name="audio").click()
    say(page, "a dog")
    page.locator("#chat .bot").get_by_label("Play").wait_for()
    page.get_by_label("Undo").last.click()
    page.wait_for_function("!document.querySelector('#chat').innerText.includes('a dog')")
    page.reload()
    shown(page, "#chat .bot img", 2)
    answer = page.locator("#chat .bot img").last.bounding_box()
    assert answer["width"] > 150, "a picture of 64 pixels is shown larger"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it fits a phone"
    (folder,) = [f.parent for f in server[1].glob("*/session.json")]
    command = [sys.executable, "-m", "anyloom.cli.main", "replay", str(folder)]
    assert subprocess.run(command, check=False).returncode == 0


def source(page: Any, number: int) -> str:
    """What the answer's n-th picture shows."""
    found: str = page.locator("#chat .bot img").nth(number).get_attribute("src")
    return found


def test_an_earlier_turn_is_edited_and_the_last_tried_again(page: Any, tmp_path: Path) -> None:
    page.set_input_files("#box input[type=file]", anyloom.sample("hat").save(tmp_path / "hat.png"))
    page.wait_for_selector("#box .thumbnail-item, #box .file, #box img")
    say(page, "Turn it upside down.")
    shown(page, "#chat .bot img", 1)
    say(page, "Make it grey.")
    shown(page, "#chat .bot img", 2)
    first, second = source(page, 0), source(page, 1)
    page.get_by_label("Retry").last.click()
    page.wait_for_function(
        "old => ((all) => all.length == 2 && all[1].src != old)([...document.querySelectorAll('#chat .bot img')])",
        arg=second,
    )
    assert source(page, 0) == first, "what was answered before stays"
    page.get_by_label("Edit", exact=True).first.click()  # the first turn: a picture, then words
    page.locator("#chat textarea").last.fill("Mirror it left to right.")
    page.get_by_label("Submit").first.click()
    page.wait_for_function("!document.querySelector('#chat').innerText.includes('Make it grey.')")
    shown(page, "#chat .bot img", 1)
    said = page.locator("#chat").inner_text()
    assert "Mirror it left to right." in said
    assert "Turn it upside down." not in said
    assert page.locator("#chat .user img").count() == 1, "the picture of the turn stays"
    assert source(page, 0) != first


def test_what_is_said_while_an_answer_is_made_is_answered_next_and_what_is_being_typed_stays(page: Any) -> None:
    page.click("#kind input")
    page.get_by_role("option", name="image").click()
    for text in ("a dog", "a hat"):  # neither waits for the other
        say(page, text)
        page.wait_for_function("document.querySelector('#box textarea').value == ''")
    page.fill("#box textarea", "a cat, if")
    shown(page, "#chat .bot img", 2)
    assert [m.inner_text() for m in page.locator("#chat .user").all()] == ["a dog", "a hat"]
    page.press("#box textarea", "End")
    page.keyboard.type(" you like")
    assert page.input_value("#box textarea") == "a cat, if you like"


def test_examples_gallery_and_download(server: tuple[str, Path], page: Any, tmp_path: Path) -> None:
    before = anyloom.sample("hat").save(tmp_path / "hat.png")
    with Image.open(before) as picture:
        picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(tmp_path / "after.png")
    page.get_by_text("Show an example: before and after").click()
    page.set_input_files("#before input[type=file]", before)
    page.set_input_files("#after input[type=file]", tmp_path / "after.png")
    page.wait_for_function("document.querySelectorAll('#before .file, #after .file').length >= 2")
    page.click("#pair")
    shown(page, "#chat img", 2)
    page.set_input_files("#box input[type=file]", before)  # a file alone: the same is asked of it
    page.wait_for_selector("#box .thumbnail-item, #box .file, #box img")
    page.press("#box textarea", "Enter")
    shown(page, "#chat .bot img", 2)
    assert "Apply the same editing to" in page.locator("#chat").inner_text()
    page.get_by_text("This conversation").click()
    page.wait_for_function("document.querySelectorAll('#gallery img').length >= 4")
    with page.expect_download() as waiting:
        page.click("#download")
    with zipfile.ZipFile(waiting.value.path()) as packed:
        packed.extractall(tmp_path / "unpacked")
    command = [sys.executable, "-m", "anyloom.cli.main", "replay", str(tmp_path / "unpacked")]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_sound_is_drawn_below_its_player_by_keyboard_alone(server: tuple[str, Path], scheme: str) -> None:
    problems: list[str] = []
    with sync_api.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        page.set_default_timeout(90_000)
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.goto(server[0])
        page.wait_for_selector("#box textarea")
        focused = "document.activeElement.closest('#box') != null"
        page.wait_for_function(focused)  # one can write at once
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.closest('#kind') != null"):
                break
        page.keyboard.type("audio")
        page.get_by_role("option", name="audio").wait_for()
        page.wait_for_function("document.querySelectorAll('[role=option]').length == 1")
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('#kind input').value == 'audio'")
        page.locator("#box textarea").focus()
        page.keyboard.type("Play this: crow cawing.")
        page.keyboard.press("Enter")
        shown(page, "#chat .bot img[alt^=spectrogram]", 1)
        page.locator("#chat .bot").get_by_label("Play").wait_for()
        drawn = page.locator("#chat .bot img[alt^=spectrogram]").bounding_box()
        player = page.locator("#chat .bot").get_by_label("Play").bounding_box()
        assert drawn["y"] > player["y"]
        assert drawn["width"] > 100
        assert page.locator("#chat .minimal-audio-player").bounding_box()["height"] < 80, "no empty box around it"
        bright = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
        assert (bright > 128) == (scheme == "light")
        assert page.locator("[aria-label=Share]:visible").count() == 0, "nothing leaves this computer"
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it fits a phone"
        browser.close()
    assert not problems


def test_an_answer_is_stopped_and_mistakes_are_shown(page: Any) -> None:
    page.get_by_text("How media are made").click()
    page.fill("#image-denoising-steps textarea, #image-denoising-steps input", "900")
    page.click("#kind input")
    page.get_by_role("option", name="image").click()
    say(page, "a dog")
    page.wait_for_function("document.querySelector('#chat').innerText.includes(' of 900')")
    page.click("#stop")
    page.get_by_text("this turn was taken back").wait_for()
    page.fill("#image-denoising-steps textarea, #image-denoising-steps input", "many")
    say(page, "a dog")
    page.get_by_text("denoising_steps").first.wait_for()


def test_prompts_are_chosen_by_keyboard_and_options_show_what_they_are(page: Any) -> None:
    page.get_by_text("Say something below, or try one of the prompts.").wait_for()
    prompt = page.get_by_role("button", name="Turn it upside down. (a picture of a hat)")
    prompt.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#box textarea').value == 'Turn it upside down.'")
    page.wait_for_selector("#box .thumbnail-item, #box .file, #box img")
    for text in ("Draw this: red apple, noto style.", "Play this: crow cawing."):
        assert page.get_by_role("button", name=text).is_visible()
    page.get_by_text("How media are made").click()
    steps = page.locator("#image-denoising-steps textarea, #image-denoising-steps input")
    steps.wait_for()
    assert int(steps.get_attribute("placeholder")) > 0
    assert page.locator("#image-negative").count() == 0, "features cannot be typed"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it fits a phone"


def test_files_outside_the_conversation_are_not_served(server: tuple[str, Path]) -> None:
    secret = server[1].parent / "secret.txt"
    secret.write_text("secret")
    for place in (secret, Path("/etc/passwd"), Path(__file__), server[1] / ".." / "secret.txt"):
        with pytest.raises(OSError, match=r"40\d"):
            urllib.request.urlopen(f"{server[0]}/gradio_api/file={place}", timeout=10)
