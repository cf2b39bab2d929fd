"""MIMIC-IT's subsets together, as the mix file of Otter's training names them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import Field

from anyloom.config.yaml_text import read_yaml
from anyloom.errors import BadRecord, ConfigError
from anyloom.interfaces import ComponentConfig, DatasetBuilder, TaskSamples
from anyloom_corpora.media import MAX_BYTES, MediaFolder
from anyloom_corpora.reader import Part, Share, split_by_order
from anyloom_corpora.readers.mimic_it import MimicIt
from anyloom_corpora.tasks.choice import Weights, one_of

__all__ = ["MimicItMix"]

_GROUPS: Final = ("IMAGE_TEXT", "TEXT_ONLY", "IMAGE_TEXT_IN_CONTEXT")
_KEYS: Final = ("mimicit_path", "images_path", "num_samples", "train_config_path", "task_description")


class MimicItMix(DatasetBuilder):
    """Every subset of a mix file under its own name, which a mixture can weigh: ``weight: {LACR_T2T: 2, DC: 1}``.

    The file has the groups IMAGE_TEXT, TEXT_ONLY and IMAGE_TEXT_IN_CONTEXT; each names subsets with ``mimicit_path``,
    ``images_path``, ``num_samples`` (-1 for all) and ``train_config_path``.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("mimic-it-mix", Path(folder))  # as `anyloom layouts` does
    ...     data = MimicItMix(MimicItMix.Config(root=root, mix="mix.yaml"))
    ...     {name: len(samples) for name, samples in data.build("train").items()}
    {'DC': 6, 'TXT': 4}
    """

    natural: ClassVar[Mapping[str, float]] = {"question": 1}

    class Config(ComponentConfig):
        """Options.

        Args:
            root: Folder that the paths of the file are inside.
            mix: The file, inside ``root``.
            frames: Most pictures of an instruction.
            shares: Of train, val and test, by order in each subset.
            tasks: How often each task is drawn, relative to the others.
            max_bytes: Largest picture that is read, in bytes.
        """

        root: Path
        mix: str
        frames: int = Field(8, ge=1)
        shares: tuple[Share, Share, Share] = (1.0, 0.0, 0.0)
        tasks: Weights | None = None
        max_bytes: int = Field(MAX_BYTES, gt=0)

    config: Config

    def build(self, split: str, epoch: int = 0) -> dict[str, TaskSamples]:
        """Return the samples of each subset.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or the mix file or a file that it names is missing.
        """
        del epoch
        task = one_of(self.config.tasks or self.natural)
        return {name: TaskSamples(source, task) for name, source in self.sources(split).items()}

    def sources(self, split: str) -> dict[str, Part]:
        """Return the records of each subset.

        Raises:
            anyloom.errors.ConfigError: As for :meth:`build`.
        """
        return {name: self._part(name, entry, split) for name, entry in self._entries().items()}

    def _part(self, name: str, entry: Mapping[str, Any], split: str) -> Part:
        c = self.config
        options: dict[str, Any] = {
            "root": str(c.root),
            "subset": name,
            "instructions": self._inside(entry.get("mimicit_path"), name),
            "images": self._inside(entry["images_path"], name) if entry.get("images_path") else "none",
            "frames": c.frames,
            "max_bytes": c.max_bytes,
        }
        if entry.get("train_config_path"):
            options["examples"] = self._inside(entry["train_config_path"], name)
        whole = MimicIt.from_options(options).source("train").whole
        count = int(entry.get("num_samples", -1))
        used = len(whole) if count < 0 else min(count, len(whole))
        return Part(whole, split_by_order(used, c.shares, split, "mimic-it-mix"))

    def _inside(self, name: Any, subset: str) -> str:
        """Return a path of the file relative to the root; Otter's own begin with a folder of its authors."""
        where = f"{self.config.mix}.{subset}"
        try:
            path = MediaFolder(self.config.root).path(str(name or ""), where)
        except BadRecord as error:
            raise ConfigError(error.what, where=where, fix="give paths inside 'root'") from error
        if not path.exists():
            raise ConfigError(f"there is no {name}", where=where, fix="give paths inside 'root'")
        return str(name)

    def _entries(self) -> dict[str, Mapping[str, Any]]:
        path = self.config.root / self.config.mix
        value = read_yaml(path)
        found: dict[str, Mapping[str, Any]] = {}
        for group, subsets in value.items():
            if group not in _GROUPS or not isinstance(subsets, Mapping):
                raise ConfigError(f"no group {group!r}", where=str(path), fix=f"groups are {', '.join(_GROUPS)}")
            for name, entry in subsets.items():
                unknown = sorted(set(entry) - set(_KEYS)) if isinstance(entry, Mapping) else ["(no mapping)"]
                if unknown or name in found:
                    what = f"unknown key {unknown[0]}" if unknown else "this name is there twice"
                    raise ConfigError(what, where=f"{path}: {group}.{name}", fix=f"keys are {', '.join(_KEYS)}")
                found[str(name)] = entry
        if not found:
            raise ConfigError("it names no subset", where=str(path), fix="add one")
        return found
