"""``anyloom serve``: a model over HTTP."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from anyloom.cli.arguments import add_device_arguments, add_download_argument, add_trust_arguments, split_sources
from anyloom.cli.console import note
from anyloom.cli.model_argument import HELP, NamedModel, load_named_model, placed
from anyloom.errors import ConfigError
from anyloom.options import validate
from anyloom_serve.limits import Limits

__all__ = ["main"]

_KEY = "ANYLOOM_API_KEY"


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom serve`` with the words after it."""
    options = _parser().parse_intermixed_args(list(arguments))
    key = options.api_key or os.environ.get(_KEY) or None
    if key is None and not _loopback(options.host):
        raise ConfigError(
            f"without a key only this computer may ask, but {options.host} is open to others",
            where="--host",
            fix=f"give --api-key or set {_KEY}, or leave --host out",
        )
    limits = validate(Limits, dict(_pair(word) for word in options.limit), where="--limit")
    try:
        import uvicorn

        from anyloom.replay.record import made_by
        from anyloom_serve.app import make_app
    except ImportError as error:
        fix = "pip install 'anyloom[serve]'"
        raise ConfigError(f"serving needs a package that is not installed ({error.name})", fix=fix) from error
    sources = split_sources(options)
    named = load_named_model(sources)
    model = placed(named.model, options.device, options.dtype, offload=options.offload)
    name = options.name or _name_of(named)
    maker = made_by(model, named.recipe or named.name, named.folder, sources.overrides) if options.metadata else None
    app = make_app(
        model,
        name=name,
        key=key,
        limits=limits,
        fetching=options.fetch_urls,
        drain_seconds=options.drain_seconds,
        made_by=maker,
    )
    note(f"serving {name} on http://{options.host}:{options.port}/v1; Ctrl-C ends it")
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=round(options.drain_seconds),
    )
    server = uvicorn.Server(config)
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    except SystemExit as error:
        raise ConfigError(f"port {options.port} cannot be listened on", where="--port", fix="give another") from error
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anyloom serve",
        description="Answer over HTTP, in the shape that clients of OpenAI know.",
    )
    parser.add_argument("sources", nargs="*", metavar="MODEL|KEY=VALUE", help=f"{HELP}; overrides for a config")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1")
    parser.add_argument("--port", type=_port, default=8000, help="default: 8000")
    parser.add_argument("--api-key", metavar="KEY", help=f"what clients must send; or the variable {_KEY}")
    parser.add_argument("--name", help="what the model is called to clients; default: its folder's name")
    parser.add_argument("--fetch-urls", action="store_true", help="fetch media from public addresses in requests")
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help=f"change a limit: {', '.join(Limits.model_fields)}",
    )
    text = "time for answers in the making when the server is stopped; default: 30"
    parser.add_argument("--drain-seconds", type=float, default=30.0, metavar="SECONDS", help=text)
    text = "do not say in answers and in their media what made them"
    parser.add_argument("--no-metadata", dest="metadata", action="store_false", help=text)
    add_download_argument(parser)
    add_device_arguments(parser)
    add_trust_arguments(parser)
    return parser


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 65536:
        raise ValueError(text)
    return number


_port.__name__ = "port (0 to 65535)"  # argparse names the type in its error


def _pair(word: str) -> tuple[str, str]:
    name, found, value = word.partition("=")
    if not found:
        raise ConfigError(f"{word!r} is not NAME=N", where="--limit", fix=f"known: {', '.join(Limits.model_fields)}")
    return name, value


def _name_of(named: NamedModel) -> str:
    """What the user called the model, without its folders; ``anyloom`` for the one that ships."""
    return Path(named.name).stem if os.path.exists(named.name) else "anyloom"


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
