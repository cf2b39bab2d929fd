"""The command that this plugin adds."""

from __future__ import annotations

from anyloom.discovery import CommandSpec, hookimpl


@hookimpl
def anyloom_commands() -> list[CommandSpec]:
    """A server that clients of OpenAI's interface talk to."""
    return [
        CommandSpec(
            name="serve",
            target="anyloom_serve.command:main",
            summary="answer over HTTP, in the shape that clients of OpenAI know",
        )
    ]
