"""The commands that this plugin adds."""

from __future__ import annotations

from anyloom.discovery import CommandSpec, hookimpl


@hookimpl
def anyloom_commands() -> list[CommandSpec]:
    """Conversations in a terminal or a browser, and what made an answer."""
    return [
        CommandSpec(
            name="chat", target="anyloom_chat.command:main", summary="talk to a model in the terminal, or with --web"
        ),
        CommandSpec(
            name="replay", target="anyloom_chat.replaying:main", summary="make the answers of a session or file again"
        ),
        CommandSpec(name="show", target="anyloom_chat.showing:main", summary="print what made a file"),
    ]
