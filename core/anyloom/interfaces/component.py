"""What every component has in common: a nested, frozen Config and a class that is built from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import nn

from anyloom.options import Section, validate

__all__ = ["Component", "ComponentConfig", "NeuralComponent"]


class ComponentConfig(Section):
    """Base of every nested ``Config``: frozen, and an unknown key is an error instead of a silent default.

    >>> class Sizes(ComponentConfig):
    ...     layers: int = 2
    >>> Sizes(layers=3).layers
    3
    """


class Component:
    """A part that a config can name. Subclasses nest a ``Config`` and take it as their only argument.

    >>> class Greeter(Component):
    ...     class Config(ComponentConfig):
    ...         word: str = "hello"
    >>> Greeter.from_options(word="good day").config.word
    'good day'
    """

    Config: ClassVar[type[ComponentConfig]] = ComponentConfig

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def from_options(cls, options: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Build from plain options, as a config would give them.

        Raises:
            anyloom.errors.ConfigError: An option is unknown or has the wrong type.
        """
        return cls(validate(cls.Config, {**(options or {}), **more}, where=cls.__name__))


class NeuralComponent(Component, nn.Module):
    """A component with parameters.

    ``__init__`` builds the structure and must work on the meta device (``anyloom check`` builds the whole model
    there); :meth:`load_weights` then fills it from the files that the config names.

    >>> import torch
    >>> class Scale(NeuralComponent):
    ...     def __init__(self, config):
    ...         super().__init__(config)
    ...         self.factor = nn.Parameter(torch.ones(2))
    >>> Scale.from_options().stored_bytes()
    8
    """

    def load_weights(self) -> None:
        """Load the files that the config names. The default does nothing: the part is trained from scratch.

        Raises:
            anyloom.errors.CheckpointError: A file is missing, truncated or has other keys or shapes.
        """

    def weight_files(self) -> list[Path]:
        """Return the files or folders that :meth:`load_weights` will read, present or not."""
        return []

    def nested(self) -> dict[str, NeuralComponent]:
        """Components inside this one, by the option that describes each: they have files and options of their own."""
        return {}

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """Return option changes under which this part is rebuilt from a saved model's folder.

        The tensors are saved with the model, so the default drops the ``weights`` option. A part that needs other
        files (a tokenizer) writes them into ``folder / name`` and returns ``"@/<name>/..."`` for their options.
        """
        del folder, name
        return {"weights": None} if "weights" in type(self.config).model_fields else {}

    @property
    def frozen(self) -> bool:
        """Whether the config keeps this part's parameters fixed (``freeze: true``)."""
        return bool(getattr(self.config, "freeze", False))

    @property
    def portable(self) -> bool:
        """Whether a saved model can hold this part's tensors; if not, it refers to the files they came from."""
        return True

    def shard_units(self) -> list[nn.Module]:
        """Modules inside this part that are gathered one at a time where parameters are sharded over processes.

        The default gathers the part as a whole; one with a stack of blocks names the blocks.
        """
        return []

    def stored_bytes(self) -> int:
        """Bytes of all tensors once they are loaded; also right on the meta device, for memory estimates."""
        return sum(t.numel() * t.element_size() for t in (*self.parameters(), *self.buffers()))

    def memory_choices(self) -> dict[str, int]:
        """Bytes as :meth:`stored_bytes`, under options that were not chosen, such as ``{"load_in_8bit: true": 7_000}``.

        ``anyloom check`` prints them; it asks on the meta device. The default has no such options.
        """
        return {}
