"""Addresses in requests: off by default; when on, a canary on this machine is never reached, however it is written."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from anyloom.errors import ConversationError
from anyloom_serve import fetching
from anyloom_serve.fetching import fetch, public_address
from faults.rows import row

pytestmark = row(
    41, "server", done="addresses of this machine, of its network, by tricks", promise="off by default; 0 calls"
)


class Canary(http.server.BaseHTTPRequestHandler):
    hits = 0

    def do_GET(self) -> None:
        type(self).hits += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server on loopback; its port passes as the usual one, so that only the address can save it."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canary)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(fetching, "_PORTS", {"http": server.server_port, "https": 443})
    Canary.hits = 0
    yield server.server_port
    server.shutdown()
    server.server_close()


HOSTS = [
    "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "0.0.0.0", "[::1]", "[::]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "127.0.0.1.", "LOCALHOST",
]  # fmt: skip
PRIVATE = [
    "10.0.0.1", "172.16.3.4", "192.168.0.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]", "224.0.0.1",
    "[ff02::1]", "198.18.0.1", "240.0.0.1", "255.255.255.255", "[64:ff9b::a9fe:a9fe]", "[::ffff:169.254.169.254]",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_loopback_is_never_reached(host: str, canary: int) -> None:
    with pytest.raises(ConversationError):
        fetch(f"http://{host}:{canary}/x.png", most_bytes=1000, seconds=2)
    assert Canary.hits == 0


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused_before_a_connection(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(*args: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", connected)
    with pytest.raises(ConversationError, match="no public address"):
        fetch(f"http://{host}/x.png", most_bytes=1000, seconds=2)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x", "file:///etc/passwd", "gopher://x", "http://user:pass@example.org/", "http://example.org:22/",
        "http:///x", "http://[::1", "javascript:alert(1)", "//example.org/x", "http://example.org:99999/",
    ],
)  # fmt: skip
def test_only_plain_web_addresses_are_fetched(url: str) -> None:
    with pytest.raises(ConversationError):
        fetch(url, most_bytes=1000, seconds=2)


def resolver(monkeypatch: pytest.MonkeyPatch, answers: list[list[str]]) -> list[str]:
    """Lets names resolve to addresses, another list at each call."""
    asked: list[str] = []

    def resolve(host: str, port: int, **more: Any) -> list[Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_name_with_one_private_address_is_refused(canary: int, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, [["93.184.216.34", "127.0.0.1"]])
    with pytest.raises(ConversationError, match=r"127\.0\.0\.1 is no public address"):
        fetch(f"http://two-faced.example:{canary}/", most_bytes=1000, seconds=2)
    assert Canary.hits == 0


def test_a_name_that_changes_its_mind_is_asked_once(monkeypatch: pytest.MonkeyPatch, canary: int) -> None:
    """The connection goes to the address that was checked; a second answer of the resolver is never used."""
    asked = resolver(monkeypatch, [["93.184.216.34"], ["127.0.0.1"]])
    reached: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        reached.append(address)
        raise OSError("stopped here")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(ConversationError, match="cannot be fetched"):
        fetch(f"http://rebinding.example:{canary}/", most_bytes=1000, seconds=2)
    assert asked == ["rebinding.example"]
    assert reached == [("93.184.216.34", canary)]
    assert Canary.hits == 0


class Redirects(http.server.BaseHTTPRequestHandler):
    to = ""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("location", self.to)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


def test_a_redirect_to_loopback_is_not_followed(monkeypatch: pytest.MonkeyPatch, canary: int) -> None:
    """Two servers stand in for a public one and for the canary: only the first passes as public."""
    Redirects.to = f"http://127.0.0.1:{canary}/secret"
    public = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirects)
    threading.Thread(target=public.serve_forever, daemon=True).start()
    check = fetching.public_address

    def checked(host: str, port: int) -> tuple[str, int]:
        return ("127.0.0.1", socket.AF_INET) if host == "public.example" else check(host, port)

    monkeypatch.setattr(fetching, "public_address", checked)
    connect = socket.socket.connect

    def routed(self: socket.socket, address: Any) -> None:
        connect(self, ("127.0.0.1", public.server_port) if len(hops) == 0 else address)
        hops.append(address)

    hops: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", routed)
    with pytest.raises(ConversationError, match="no public address"):
        fetch(f"http://public.example:{canary}/", most_bytes=1000, seconds=2)
    assert len(hops) == 1
    assert Canary.hits == 0
    public.shutdown()
    public.server_close()


def test_too_much_and_too_slow_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 4096)
            except OSError:
                pass

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(fetching, "_PORTS", {"http": server.server_port})
    monkeypatch.setattr(fetching, "public_address", lambda host, port: ("127.0.0.1", socket.AF_INET))
    with pytest.raises(ConversationError, match="more than 10,000 bytes"):
        fetch(f"http://x.example:{server.server_port}/", most_bytes=10_000, seconds=5)
    server.shutdown()
    server.server_close()


def test_a_public_address_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, [["93.184.216.34"]])
    assert public_address("example.org", 80) == ("93.184.216.34", socket.AF_INET)


def test_nothing_is_fetched_unless_it_is_switched_on(serving: Callable[..., Any], canary: int) -> None:
    part = {"type": "image_url", "image_url": {"url": f"http://127.0.0.1:{canary}/x.png"}}
    value = {"messages": [{"role": "user", "content": [part]}]}
    for options, says in (({}, "not fetched"), ({"fetching": True}, "no public address")):
        response = httpx.post(f"{serving(**options).url}/v1/chat/completions", json=value)
        assert response.status_code == 400
        assert says in response.json()["error"]["message"]
    assert Canary.hits == 0
