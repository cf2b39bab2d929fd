"""Where the numbers of a latent diffusion decoder come from and go to: its own folders, and published ones."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.diffusion.autoencoder import LatentAutoencoder
from anyloom.diffusion.denoiser import ConditionedDenoiser
from anyloom.diffusion.published import Networks, is_published
from anyloom.diffusion.published_schedule import under_trained
from anyloom.diffusion.saved import check_options, read_saved, write_saved
from anyloom.diffusion.schedule import Schedule
from anyloom.diffusion.widening import widened
from anyloom.errors import ConfigError
from anyloom.options import validate
from anyloom.storage.repositories import is_repository
from anyloom.storage.saved_part import split_part
from anyloom.storage.tensors import load_into

__all__ = ["StoredDenoiser"]

_INPUT = "unet.conv_in.weight"


class StoredDenoiser(ConditionedDenoiser):
    """A denoiser with its autoencoder, and what is read and written of both."""

    autoencoder: LatentAutoencoder
    fixed_options: ClassVar[tuple[str, ...]] = (
        "prediction",
        "space",
        "dim",
        "tokens",
        "scale",
        "autoencoder.",
    )
    """Options, as dotted prefixes, that must be those the weights were trained with ..."""
    changeable_options: ClassVar[tuple[str, ...]] = ("autoencoder.kl_weight", "autoencoder.scaling_factor")
    """... and the exceptions from them. Of the schedule, what is left out is as the weights were trained."""

    @abstractmethod
    def finish_parts(self) -> None:
        """Apply the options to networks that are new."""

    def load_weights(self) -> None:
        """Load what ``weights`` names: a folder written by :meth:`save`, or the published layout."""
        weights = self.config.weights
        if weights is None:
            return
        if is_repository(weights) or is_published(Path(weights)):
            self.load_published(weights)
            self.finish_parts()
        else:
            self._load_saved(Path(weights))

    def _load_saved(self, folder: Path) -> None:
        saved = read_saved(folder)
        options = saved.options
        if split_part(folder)[1]:  # a model's options leave out what is as by default
            given = {key: value for key, value in options.items() if key != "name"}
            options = validate(type(self.config), given, where=str(folder)).model_dump(mode="json")
        check_options(
            options,
            self.config.model_dump(mode="json"),
            # weights that were trained with a reference know what it means; others get zeros for it
            fixed=(*self.fixed_options, *(("reference",) if options.get("reference") else ())),
            changeable=(*self.changeable_options, "reference_"),
            where=str(folder / "config.json"),
        )
        if "schedule" in options:
            where = str(folder / "config.json")
            trained = validate(Schedule, options["schedule"], where=f"{where}: schedule")
            self.take_schedule(under_trained(self.config.schedule, trained, where=where))
        tensors = saved.tensors
        if self.uses_reference and _INPUT in tensors:
            tensors[_INPUT] = widened(tensors[_INPUT], self.denoiser_channels + self.reference_channels)
        load_into(self, tensors, where=str(folder))

    def weight_files(self) -> list[Path]:
        """The folder ``weights`` names, unless that is a repository."""
        weights = self.config.weights
        return [] if weights is None or is_repository(weights) else [Path(weights)]

    def load_published(self, source: str) -> None:
        """Load the diffusers folder or repository ``source``; subclasses say which parts it has."""
        raise ConfigError("this decoder reads no published layout", where="weights", fix="give a saved folder")

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """The schedule may have come with the weights."""
        return {**super().portable_options(folder, name), "schedule": self.schedule.model_dump(mode="json")}

    @torch.no_grad()
    def take_networks(self, networks: Networks, null: Tensor | None = None) -> None:
        """Take published networks for one's own; their latents have one scale.

        Args:
            networks: Denoiser and autoencoder.
            null: What they were trained with in place of a condition, ``(L, D)``; None stands for zeros.
        """
        self.unet, self.autoencoder.vae = networks.unet, networks.vae
        self.null.copy_(torch.zeros_like(self.null) if null is None else null)
        self.autoencoder.latent_mean.zero_()
        self.autoencoder.latent_std.fill_(1 / networks.vae.config.scaling_factor)

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``config.json``, which ``weights: folder`` loads."""
        options = self.config.model_dump(mode="json", exclude={"weights", "download"})
        write_saved(self.state_dict(), {**options, "schedule": self.schedule.model_dump(mode="json")}, folder)
