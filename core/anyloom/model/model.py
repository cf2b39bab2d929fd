"""AnyToAnyModel: the network with everything a user does with it (CoDi-2, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anyloom.conversation.segments import Conversation, Message
from anyloom.errors import ConfigError
from anyloom.generation.generate import generate
from anyloom.generation.options import GenerationOptions, checked_conversations, checked_seeds
from anyloom.generation.session import Session
from anyloom.model.saving import load_model, save_model, save_sharded
from anyloom.network.config import ModelConfig
from anyloom.network.network import Network
from anyloom.options import checked_path, validate
from anyloom.storage.sharded import is_sharded

__all__ = ["AnyToAnyModel"]


class AnyToAnyModel(Network):
    """A model of text and any media, in any order, in and out.

    Build one with :meth:`from_config` or :meth:`from_pretrained`.

    >>> from anyloom import Conversation, Message
    >>> model = AnyToAnyModel.from_pretrained("mini", decoders_later=True)
    >>> model.generate(Conversation([Message("user", "hello")]), plan=["text"], max_new_tokens=2).role
    'assistant'
    """

    @classmethod
    def from_config(
        cls,
        config: str | Path | Mapping[str, Any],
        overrides: Sequence[str] = (),
        *,
        safe: bool = False,
        trust: bool = False,
    ) -> AnyToAnyModel:
        """Assemble a model from a recipe's name, a YAML file or a mapping with a ``model:`` section.

        Args:
            config: Name, path or mapping.
            overrides: Dotted overrides such as ``"model.llm.hidden_size=64"``.
            safe: For a stranger's config: refuse class paths and the environment.
            trust: Let saved models that the config names give class paths.

        Raises:
            anyloom.errors.ConfigError: Something in the config is wrong; names the YAML key.
            anyloom.errors.CheckpointError: Files that the config names are missing; says how to get them.
        """
        from anyloom.building import registered_names_only
        from anyloom.config.compose import compose, require_sections
        from anyloom.config.files import require_files

        sections = compose([config], overrides, safe=safe, trust=trust)
        require_sections(sections)
        require_files(sections)
        with registered_names_only(safe):
            return cls(validate(ModelConfig, sections.get("model", {}), where="model"))

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        overrides: Sequence[str] = (),
        *,
        trust: bool = False,
        download: bool = False,
        decoders_later: bool = False,
    ) -> AnyToAnyModel:
        """Load a model that :meth:`save_pretrained` wrote. Only safetensors and JSON are read.

        Args:
            folder: The folder, the name of a recipe that ships with weights, such as ``mini``, or ``owner/name`` of a
                repository on the Hugging Face hub.
            overrides: Dotted overrides of its options, such as ``"model.decoders.brush.denoising_steps=4"``.
            trust: Import the classes that its config names by path. That runs their code: say so only for a model that
                you have made or read. Components of installed plugins need no trust.
            download: Let the repository be fetched; otherwise it must have been fetched before.
            decoders_later: Build decoders when the first is asked for, where nothing else needs them: a first word then
                does not wait for the libraries that draw pictures. For one thread that talks; what moves, saves or
                counts the model asks for all of it.

        Raises:
            anyloom.errors.CheckpointError: There is no model, it is damaged, or it names code and is not trusted.
        """
        from anyloom.config.packages import model_folder, shipped_weights
        from anyloom.model.hub import fetched

        path = fetched(folder, download=download) or model_folder(folder)
        shipped = path == shipped_weights(str(folder))  # an installed plugin may name its own code
        return load_model(cls, path, overrides, trust=trust or shipped, decoders_later=decoders_later)

    def save_pretrained(self, folder: str | Path, *, include_frozen: bool = True, dtype: str | None = None) -> None:
        """Write config, tensors and what the model needs beside them into a folder.

        Of a model whose parts are sharded over processes, every process calls this: the first writes the folder that
        one process would, and all return when it is there.

        Args:
            folder: Made if missing.
            include_frozen: Also write frozen parts that were loaded from files of their own. If False, only a
                reference with the files' SHA-256 is kept, and loading needs those files.
            dtype: ``float16`` or ``bfloat16`` halves the file: matrices and kernels are rounded. Loading gives
                the dtypes of the config again.
        """
        path = checked_path(folder, where="save_pretrained", what="folder")
        if is_sharded(self):
            save_sharded(self, path, include_frozen=include_frozen, dtype=dtype)
        else:
            save_model(self, path, include_frozen=include_frozen, dtype=dtype)

    def push_to_hub(self, repository: str, *, private: bool = True, dtype: str | None = None) -> str:
        """Put the model with its card into a repository of the Hugging Face hub, as one commit.

        Token and address are those of huggingface_hub: ``hf auth login``, or ``HF_TOKEN``.

        Args:
            repository: ``owner/name``.
            private: Make it private if it is new.
            dtype: See :meth:`save_pretrained`.

        Returns:
            The address of the commit.

        Raises:
            anyloom.errors.ConfigError: That is no name of a repository, or the hub cannot be reached or refuses.
        """
        from tempfile import TemporaryDirectory

        from anyloom.model.card import card
        from anyloom.model.hub import push
        from anyloom.storage.repositories import names_repository

        if not isinstance(repository, str) or not names_repository(repository):
            raise ConfigError(f"{repository!r:.80} names no repository", where="push_to_hub", fix="give owner/name")
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            self.save_pretrained(folder, dtype=dtype)
            (folder / "README.md").write_text(card(self, repository), encoding="utf-8")
            return push(folder, repository, private=private)

    def generate(
        self,
        conversation: Conversation | Sequence[Conversation],
        media: Mapping[str, str] | None = None,
        seed: int | Sequence[int] = 0,
        **options: Any,
    ) -> Message | list[Message]:
        """Answer one conversation, or a batch of them. See :func:`anyloom.generation.options.GenerationOptions`."""
        conversations = checked_conversations(conversation)
        seeds = checked_seeds(seed, len(conversations))
        chosen = validate(GenerationOptions, {"media": media or {}, **options}, where="generate")
        answers = self.answer(conversations, seeds, [chosen] * len(conversations))
        return answers[0] if isinstance(conversation, Conversation) else answers

    def session(self, messages: Sequence[Message] = (), *, seed: int = 0, **options: Any) -> Session:
        """A conversation that goes on: a new turn reads its new tokens and media alone.

        Args:
            messages: What was said before.
            seed: Of the answers.
            options: How to answer, see :class:`anyloom.generation.options.GenerationOptions`.
        """
        return Session(self, messages, seed=seed, **options)

    def answer(
        self, conversations: Sequence[Conversation], seeds: Sequence[int], options: Sequence[GenerationOptions]
    ) -> list[Message]:
        """Answer conversations, each with options of its own, as one batch.

        Args:
            conversations: Prompts.
            seeds: One per conversation.
            options: One per conversation.

        Raises:
            anyloom.errors.AnyloomError: They are not as many, or not of these types.
        """
        conversations = checked_conversations(list(conversations))
        seeds = checked_seeds(list(seeds), len(conversations))
        if len(options) != len(conversations):
            what = f"{len(options)} options for {len(conversations)} conversations"
            raise ConfigError(what, where="answer", fix="give one for each")
        training = self.training
        if training:
            self.eval()
        try:
            return generate(self, conversations, seeds, options)
        finally:
            if training:
                self.train()
