"""One dataset builder that does all it must, and others that each get one thing wrong."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import torch

from anyloom.conversation import Conversation, Media, Message
from anyloom.errors import ConfigError
from anyloom.interfaces import ComponentConfig, DatasetBuilder, Sample

__all__ = ["BROKEN", "Whole"]


class Whole(DatasetBuilder):
    """Scans and what they are called."""

    class Config(ComponentConfig):
        """Options.

        Args:
            size: Samples.
        """

        size: int = 3

    def data(self, number: int) -> torch.Tensor:
        return torch.randn(4, generator=torch.Generator().manual_seed(number % 2))

    def media(self, number: int) -> Media:
        return Media("scan", self.data(number), key=f"scan-{number % 2}")

    def answer(self, number: int) -> list[Message]:
        return [Message("assistant", f"scan {number}")]

    def build(self, split: str, epoch: int = 0) -> Any:
        """The samples."""
        if split != "train":
            raise ConfigError(f"there is no split {split!r}", fix="the split is train")
        return [
            Sample(Conversation([Message("user", ["what is ", self.media(n)]), *self.answer(n)]), "name")
            for n in range(self.config.size)
        ]


class NoTarget(Whole):
    """Asks and does not answer."""

    def answer(self, number: int) -> list[Message]:
        return []


class NotANumber(Whole):
    """Has media that are no numbers."""

    def data(self, number: int) -> torch.Tensor:
        return super().data(number) * 0 + float("inf")


class Restless(Whole):
    """Differs from build to build."""

    def answer(self, number: int) -> list[Message]:
        return [Message("assistant", f"scan {torch.rand(()).item()}")]


class OneKeyForAll(Whole):
    """Gives different media one key."""

    def media(self, number: int) -> Media:
        return Media("scan", self.data(number), key="scan")


class Stuck(Whole):
    """Cannot be sent to data workers."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.callback = lambda: None


class AnySplit(Whole):
    """Builds splits that do not exist."""

    def build(self, split: str, epoch: int = 0) -> Any:
        """The samples."""
        return super().build("train", epoch)


class Downloads(Whole):
    """Looks for something newer on the network."""

    def build(self, split: str, epoch: int = 0) -> Any:
        """The samples."""
        with contextlib.suppress(OSError):
            socket.getaddrinfo("localhost", 80)
        return super().build(split, epoch)


BROKEN: dict[type[Whole], set[str]] = {
    NoTarget: {"samples_are_conversations_with_a_target"},
    NotANumber: {"media_load"},
    Restless: {"same_epoch_gives_the_same_samples", "pickles"},
    OneKeyForAll: {"keys_name_content"},
    Stuck: {"pickles"},
    AnySplit: {"unknown_split_is_refused"},
    Downloads: {"needs_no_network"},
}
