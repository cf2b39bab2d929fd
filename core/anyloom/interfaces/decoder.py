"""features -> media, by whatever means; also a loss whose gradient goes back into the LLM."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.utils._pytree import register_dataclass

from anyloom.conversation.segments import Media
from anyloom.errors import ConfigError
from anyloom.interfaces.component import ComponentConfig, NeuralComponent
from anyloom.interfaces.feature_space import FeatureSpace

__all__ = ["Condition", "Decoder", "Doubt"]


@dataclass(frozen=True)
class Condition:
    """What a decoder is told about each of B media.

    Args:
        features: ``(B, L, D)`` in the decoder's feature space.
        reference: Media that are edited or must be kept to, ``(B, ...)`` from :meth:`Decoder.preprocess`; rows
            without one hold zeros. None if no row has one. Only decoders with :attr:`Decoder.uses_reference` get any.
        has_reference: Which rows have one, ``(B,)`` bool; None if all have, where there are references.
        encoded: The references, and the targets that go with the condition, are latents from :meth:`Decoder.latents`.
            Only decoders with a :meth:`Decoder.latent_encoder` get such.

    >>> import torch
    >>> Condition(torch.zeros(2, 1, 8)).reference is None
    True
    """

    features: Tensor
    reference: Tensor | None = None
    has_reference: Tensor | None = None
    encoded: bool = False


register_dataclass(Condition)  # FSDP and DDP find tensors by walking pytrees


@dataclass(frozen=True)
class Doubt:
    """Something that is wrong between a decoder and what it gets, and that would end in noise.

    Args:
        name: Short name, which a test or a log can look for.
        option: Option of the decoder that it is about.
        what: What was measured.
        fix: What to do.
    """

    name: str
    option: str
    what: str
    fix: str


class Decoder(NeuralComponent):
    """Makes media of one modality from features; frozen while the assembled model trains (paper section 3.2).

    >>> import torch
    >>> class Flat(Decoder):
    ...     modality = "picture"
    ...     def feature_space(self):
    ...         return FeatureSpace(name="here", tokens=1, dim=3)
    ...     def preprocess(self, media):
    ...         return media.tensor()
    ...     def forward(self, condition, targets, seeds=None):
    ...         return (condition.features[:, 0, :, None, None] - targets).square().flatten(1).mean(1)
    ...     def generate(self, condition, *, seeds, sampling=None):
    ...         return [Media("picture", f[0, :, None, None].expand(3, 2, 2)) for f in condition.features]
    >>> made = Flat.from_options().generate(Condition(torch.zeros(1, 1, 3)), seeds=[0])
    >>> made[0].tensor().shape
    torch.Size([3, 2, 2])
    """

    class Config(ComponentConfig):
        """Options that every decoder has.

        Args:
            freeze: Keep the parameters fixed. Gradient to the features flows all the same.
        """

        freeze: bool = True

    class Sampling(ComponentConfig):
        """How media are made: options of this decoder class alone. An option left at None takes the config's."""

    modality: str
    uses_reference: bool = False
    """Whether :attr:`Condition.reference` is wanted: the medium of the same modality that an answer edits."""

    differentiable: ClassVar[bool] = True
    """Whether :meth:`forward` gives a loss with gradient to the features; without it there is no L_DM."""

    @abstractmethod
    def feature_space(self) -> FeatureSpace:
        """Return the space its features must live in."""

    @abstractmethod
    def preprocess(self, media: Media) -> Tensor:
        """Return one media item as the tensor that :meth:`forward` takes a stack of; runs in data workers.

        It may read the config, but neither parameters nor buffers: a worker may have a copy without weights.
        """

    @abstractmethod
    def forward(self, condition: Condition, targets: Tensor, seeds: Sequence[int] | Tensor | None = None) -> Tensor:
        """Loss of each row ``(B,)``, with gradient to ``condition.features``.

        Args:
            condition: B rows.
            targets: Stack ``(B, ...)`` from :meth:`preprocess`, or latents if the condition says so.
            seeds: One per row, for repeatable chance that no other row has a part in: plain numbers, or in training a
                tensor ``(B,)``; None takes torch's global state. ``anyloom.diffusion.draws.RowDraws`` takes all three.
        """

    @abstractmethod
    def generate(self, condition: Condition, *, seeds: Sequence[int], sampling: Any = None) -> list[Media]:
        """Make one media item per row.

        Args:
            condition: B rows.
            seeds: One per row: a row's result does not depend on the others in the batch.
            sampling: Options, an instance of :attr:`Sampling`; None takes the config's.
        """

    def latent_encoder(self) -> nn.Module | None:
        """What turns prepared media into the latents that the loss is about, alike in every epoch.

        A feature store keeps the latents as long as none of its parameters is trained. None, the default, if the loss
        has to see the media themselves.
        """
        return None

    def latents(self, targets: Tensor) -> Tensor:
        """Latents ``(B, ...)`` of prepared media ``(B, ...)``, without gradient; no row depends on another."""
        raise NotImplementedError(f"{type(self).__name__} has a latent_encoder(), which needs latents() too")

    def doubts(self, condition: Condition, targets: Tensor) -> Iterator[Doubt]:
        """What looks wrong about true features and media, before anything is learnt; called once at the start of a run.

        Args:
            condition: B rows of true features.
            targets: The media they are the features of, a stack from :meth:`preprocess`.
        """
        yield from ()

    def chosen(self, sampling: Any = None) -> Any:
        """Options of one call: what is None in ``sampling`` is as in the config, where that has the option.

        Raises:
            anyloom.errors.ConfigError: They are the options of another class.
        """
        given = self.Sampling() if sampling is None else sampling
        if not isinstance(given, self.Sampling):
            what = f"sampling options are a {type(given).__name__}, not a {self.Sampling.__qualname__}"
            raise ConfigError(what, where=type(self).__name__, fix="build them with the decoder's own Sampling")
        unset = [name for name in self.Sampling.model_fields if getattr(given, name) is None]
        return given.model_copy(update={name: getattr(self.config, name, None) for name in unset})

    def working_bytes(self) -> Mapping[str, int]:
        """Bytes that making one medium takes beside the weights, by what takes them; ``anyloom check`` prints it.

        Called on the meta device. What an option would change may have an entry of its own. The default knows nothing.
        """
        return {}

    def example(self) -> Tensor:
        """A stack ``(1, ...)`` of one blank medium as :meth:`preprocess` gives it.

        A process whose batch has nothing for this decoder runs it on this, times zero, so that processes which share
        its parameters do not wait for each other.
        """
        raise NotImplementedError(f"{type(self).__name__} has no example(), which training on several processes needs")
