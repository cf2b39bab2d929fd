"""Fetching what a client names by an address. Off by default; when on, only public addresses are reached.

A name is resolved once and every address it has must be public; the connection goes to the address that was checked, so
a name that changes its mind in between changes nothing. Redirects are followed by the same rules, three times at most.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import time
from typing import Final
from urllib.parse import urljoin, urlsplit

from anyloom.errors import ConversationError

__all__ = ["fetch", "public_address"]

_HOPS: Final = 3
_PORTS: Final = {"http": 80, "https": 443}
_EMBEDDED: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""Networks whose last 32 bits are an IPv4 address (NAT64)."""


def fetch(url: str, *, most_bytes: int, seconds: float) -> tuple[bytes, str]:
    """Return what stands at an address, and its media type.

    Args:
        url: ``http`` or ``https``, on its usual port.
        most_bytes: More is refused.
        seconds: Time for all of it.

    Raises:
        anyloom.errors.ConversationError: The address is not public, or what stands there cannot be had.
    """
    deadline = time.monotonic() + seconds
    for _ in range(_HOPS + 1):
        status, headers, body = _get(url, most_bytes, deadline)
        if status in (301, 302, 303, 307, 308) and headers.get("location"):
            url = urljoin(url, headers["location"])
            continue
        if status != 200:
            raise _refused(url, f"the answer is {status}")
        return body, headers.get("content-type", "").split(";")[0].strip().lower()
    raise _refused(url, f"more than {_HOPS} redirects")


def public_address(host: str, port: int) -> tuple[str, int]:
    """Resolve a name and return one of its addresses with its family, if all of them are public.

    Raises:
        anyloom.errors.ConversationError: One is private, loopback, link-local, reserved or multicast, or none is found.

    >>> public_address("127.1", 80)
    Traceback (most recent call last):
    ...
    anyloom.errors.ConversationError: 127.1: ... is no public address...
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _refused(host, "the name is not known") from error
    for _, _, _, _, address in found:
        if not _is_public(str(address[0])):
            raise _refused(host, f"{address[0]} is no public address")
    return str(found[0][4][0]), int(found[0][0])


def _is_public(text: str) -> bool:
    """Whether an address is reachable from everywhere, also what is wrapped in an IPv6 one."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and any(address in network for network in _EMBEDDED):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(str(inner))
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _get(url: str, most_bytes: int, deadline: float) -> tuple[int, dict[str, str], bytes]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _refused(url, "it is no address") from error
    if parts.scheme not in _PORTS or not host or parts.username is not None or parts.password is not None:
        raise _refused(url, "only http and https addresses without a name and password are fetched")
    if port not in (None, _PORTS[parts.scheme]):
        raise _refused(url, f"port {port} is not the usual one")
    address, family = public_address(host, _PORTS[parts.scheme])
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    try:
        with contextlib.closing(_connection(parts.scheme, host, address, family, deadline)) as connection:
            connection.request("GET", target, headers={"Accept": "image/*,audio/*,video/*", "User-Agent": "anyloom"})
            with connection.getresponse() as response:
                headers = {name.lower(): value for name, value in response.getheaders()}
                return response.status, headers, _body(response, url, most_bytes, deadline)
    except (OSError, http.client.HTTPException) as error:
        raise _refused(url, f"it cannot be fetched ({type(error).__name__})") from error


def _connection(scheme: str, host: str, address: str, family: int, deadline: float) -> http.client.HTTPConnection:
    """A connection to the address that was checked, which speaks to the host that was named."""
    left = max(deadline - time.monotonic(), 0.1)
    connection = http.client.HTTPConnection(host, _PORTS[scheme], timeout=left)
    plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        plain.settimeout(left)
        plain.connect((address, _PORTS[scheme]))
        context = ssl.create_default_context()
        connection.sock = context.wrap_socket(plain, server_hostname=host) if scheme == "https" else plain
    except OSError:
        plain.close()
        raise
    return connection


def _body(response: http.client.HTTPResponse, url: str, most_bytes: int, deadline: float) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := response.read1(65536):
        size += len(piece)
        if size > most_bytes:
            raise _refused(url, f"more than {most_bytes:,} bytes")
        if time.monotonic() > deadline:
            raise _refused(url, "it takes too long")
        pieces.append(piece)
    return b"".join(pieces)


def _refused(url: str, why: str) -> ConversationError:
    return ConversationError(why, where=url[:100], fix="send the medium itself as a data: address")
