"""The components of a model, and the one list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from anyloom.discovery.guarding import tell
from anyloom.interfaces.component import NeuralComponent
from anyloom.interfaces.coupler import Coupler
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.llm import LLM
from anyloom.interfaces.loss import Loss
from anyloom.interfaces.representation import Representation
from anyloom.storage.first_use import check_first_use
from anyloom.storage.saved_part import split_part

__all__ = ["Part", "Parts"]


@dataclass(frozen=True)
class Part:
    """One component of a model.

    Args:
        key: Its YAML key.
        kind: Its kind.
        prefix: What its tensors' names begin with.
        component: The component itself.
    """

    key: str
    kind: str
    prefix: str
    component: NeuralComponent

    @property
    def fixed(self) -> bool:
        """Whether the model keeps all of it fixed and in evaluation mode."""
        return self.kind in ("encoder", "decoder") and self.component.frozen


class Parts(nn.Module):
    """The components of a model, by the keys of its config; :func:`assemble` fills it."""

    called = "model"
    """What errors about tensors call it."""

    llm: LLM

    later: Callable[[Parts], None] | None = None
    """Adds the decoders when somebody asks for one, where a model is read without them; see :meth:`complete`."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        self.representations = nn.ModuleDict()
        self.couplers = nn.ModuleDict()
        self.losses = nn.ModuleDict()

    def encoder(self, key: str) -> Encoder:
        """The encoder of a config key."""
        encoder = self.encoders[key]
        assert isinstance(encoder, Encoder)
        return encoder

    def decoder(self, key: str) -> Decoder:
        """The decoder of a config key."""
        self.complete()
        decoder = self.decoders[key]
        assert isinstance(decoder, Decoder)
        return decoder

    def representation(self, modality: str) -> Representation:
        """The representation of a modality."""
        representation = self.representations[modality]
        assert isinstance(representation, Representation)
        return representation

    def coupler(self, key: str) -> Coupler:
        """The coupler of a config key."""
        coupler = self.couplers[key]
        assert isinstance(coupler, Coupler)
        return coupler

    def loss(self, key: str) -> Loss:
        """The extra loss of a config key."""
        loss = self.losses[key]
        assert isinstance(loss, Loss)
        return loss

    def complete(self) -> None:
        """Add the decoders, if they were left for later. If that fails, the next who asks is told so again."""
        later, self.later = self.later, None
        if later is not None:
            try:
                later(self)
            except BaseException:
                self.later = later
                raise

    def components(self) -> list[Part]:
        """Every component there is: the one list for loading, saving, checking, freezing and sharding."""
        self.complete()
        return self.present()

    def present(self) -> list[Part]:
        """The components without decoders that were left for later."""
        listed = [Part("model.llm", "llm", "llm", self.llm)] if "llm" in self._modules else []
        for kind, group, key in (
            ("encoder", "encoders", "model.encoders.{}"),
            ("decoder", "decoders", "model.decoders.{}"),
            ("representation", "representations", "model.modalities.{}.representation"),
            ("coupler", "couplers", "model.couple.{}.coupler"),
            ("loss", "losses", "model.losses.{}"),
        ):
            for name, component in getattr(self, group).items():
                listed.append(Part(key.format(name), kind, f"{group}.{name}", component))
        return listed

    def load_weights(self) -> None:
        """Let every component read the files that its config names."""
        for part in self.components():
            part.component.load_weights()
            for note in check_first_use(split_part(path)[0] for path in part.component.weight_files()):
                tell(note)

    def freeze(self) -> None:
        """Switch off gradients of encoders and decoders whose config says ``freeze`` (an LLM does that for itself)."""
        for part in self.components():
            if part.fixed:
                part.component.requires_grad_(False)
