"""The page in a real browser, from the shipped model: upload, ask, edit again, hear, undo, stop, reload."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
    with log.open("wb") as told:
        process = subprocess.Popen([sys.executable, "-m", "anyloom.cli.main", *words], stdout=told, stderr=told)
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
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it fits a phone"
    (folder,) = [f.parent for f in server[1].glob("*/session.json")]
    command = [sys.executable, "-m", "anyloom.cli.main", "replay", str(folder)]
    assert subprocess.run(command, check=False).returncode == 0


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


def test_files_outside_the_conversation_are_not_served(server: tuple[str, Path]) -> None:
    secret = server[1].parent / "secret.txt"
    secret.write_text("secret")
    for place in (secret, Path("/etc/passwd"), Path(__file__), server[1] / ".." / "secret.txt"):
        with pytest.raises(OSError, match=r"40\d"):
            urllib.request.urlopen(f"{server[0]}/gradio_api/file={place}", timeout=10)
