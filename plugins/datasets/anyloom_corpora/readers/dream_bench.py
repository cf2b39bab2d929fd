"""DreamBench: thirty subjects, 25 prompts each, with the two protocols that papers use.

``kosmos-g`` keeps one fixed picture a subject, which is what the model sees and what its answers are compared with, and
drops the class word from the prompt. ``dreambooth`` shows a picture and compares with all pictures of the subject.
CoDi-2's Table 4 quotes numbers of both and states neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from anyloom.errors import BadRecord, ConfigError
from anyloom.interfaces import Record
from anyloom_corpora.media import MediaFolder
from anyloom_corpora.reader import Reader, require_split

__all__ = ["KEPT", "DreamBench", "DreamBenchPrompts", "SubjectPictures"]

LIVE: Final = frozenset({"cat", "dog"})

# xichenpan/Kosmos-G scripts/remove_dreambench_multiimg.sh: the one picture of a subject that is kept
KEPT: Final = MappingProxyType(
    {
        "backpack": "02",
        "backpack_dog": "02",
        "bear_plushie": "03",
        "berry_bowl": "02",
        "can": "01",
        "candle": "02",
        "cat": "04",
        "cat2": "02",
        "clock": "03",
        "colorful_sneaker": "01",
        "dog": "02",
        "dog2": "02",
        "dog3": "05",
        "dog5": "00",
        "dog6": "02",
        "dog7": "01",
        "dog8": "04",
        "duck_toy": "01",
        "fancy_boot": "02",
        "grey_sloth_plushie": "04",
        "monster_toy": "04",
        "pink_sunglasses": "04",
        "poop_emoji": "00",
        "rc_car": "03",
        "red_cartoon": "00",
        "robot_toy": "00",
        "shiny_sneaker": "01",
        "teapot": "04",
        "vase": "02",
        "wolf_plushie": "04",
    }
)


class SubjectPictures:
    """Every picture of every subject; pictures of one subject belong together. For concept and subject tasks.

    Args:
        folder: The data set.
        pictures: Subject and file of each.
        classes: Subject -> class word.
    """

    def __init__(self, folder: MediaFolder, pictures: Sequence[tuple[str, str]], classes: Mapping[str, str]) -> None:
        self.folder, self.pictures, self.classes = folder, list(pictures), dict(classes)

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def shards(self) -> Sequence[range]:
        """One range."""
        return [range(len(self))]

    def related(self, index: int) -> Sequence[int]:
        """Return the other pictures of the subject."""
        own = self.pictures[index][0]
        return [n for n, (subject, _) in enumerate(self.pictures) if subject == own and n != index]

    def __getitem__(self, index: int) -> Record:
        """Return a picture with its subject.

        Raises:
            anyloom.errors.BadRecord: The file is missing or broken.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        subject, name = self.pictures[index]
        where = f"{self.folder.root}/{name}"
        word = self.classes[subject]
        return {
            "key": f"{subject}/{Path(name).stem}",
            "where": where,
            "image": self.folder.media(name, "image", where),
            "subject": word,
            "caption": f"a photo of a {word}",
        }


class DreamBenchPrompts:
    """Every prompt of every subject: 25 prompts times 30 subjects.

    Args:
        pictures: The pictures.
        prompts: Prompts of objects and of live subjects, with ``{}`` for the subject.
        protocol: Which pictures stand for a subject.
    """

    def __init__(
        self,
        pictures: SubjectPictures,
        prompts: Mapping[Literal["object", "live"], Sequence[str]],
        protocol: Literal["kosmos-g", "dreambooth"],
    ) -> None:
        self.pictures, self.protocol = pictures, protocol
        self.items: list[tuple[str, int, str]] = []
        for subject, word in pictures.classes.items():
            own = prompts["live" if word in LIVE else "object"]
            self.items += [(subject, number, prompt) for number, prompt in enumerate(own)]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def shards(self) -> Sequence[range]:
        """One range."""
        return [range(len(self))]

    def __getitem__(self, index: int) -> Record:
        """Return a prompt with the pictures of its subject.

        ``prompt`` has no class word ("{} in the jungle"), ``caption`` has it ("a backpack in the jungle"): the one is
        what the model sees, the other what CLIP-T compares with.

        Raises:
            anyloom.errors.BadRecord: A picture is missing or broken.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        subject, number, prompt = self.items[index]
        word = self.pictures.classes[subject]
        where = f"{self.pictures.folder.root}/{subject}: {prompt}"
        names = [name for own, name in self.pictures.pictures if own == subject]
        if self.protocol == "kosmos-g":
            names = [name for name in names if Path(name).stem == KEPT.get(subject)]
        if not names:
            raise BadRecord("missing", where, f"there is no picture of {subject}")
        media = [self.pictures.folder.media(name, "image", where) for name in names]
        return {
            "key": f"{subject}/{number:02d}",
            "names": [f"{subject}/{prompt.format(word)}", f"{subject}/{prompt.format(word).replace(' ', '_')}"],
            "where": where,
            "subject": word,
            "subject_images": media[:1],
            "real_images": media,
            "image": media[0],
            "prompt": _without_class(prompt),
            "caption": prompt.format(word),
        }


class DreamBench(Reader):
    """DreamBench: ``dataset/<subject>/NN.jpg`` and ``prompts_and_classes.txt``.

    ``test`` are the prompts (task ``subject``: the target is the picture that the answer is compared with); ``train``
    and ``val`` are the pictures of subjects, for concept learning on sets of one's own in the same layout.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("dream-bench", Path(folder))  # as `anyloom layouts` does
    ...     data = DreamBench(DreamBench.Config(root=root))
    ...     sample = data.build("test")[0]
    ...     sample.task, [getattr(s, "text", "<media>") for m in sample.conversation.messages for s in m.segments]
    ('subject', ['Draw ', '<media>', ' in the jungle', '<media>'])
    """

    natural: ClassVar[Mapping[str, float]] = {"subject": 1}

    class Config(Reader.Config):
        """Options.

        Args:
            protocol: Which pictures stand for a subject.
            held_out: Subjects of ``val``; ``train`` has the others.
        """

        protocol: Literal["kosmos-g", "dreambooth"] = "kosmos-g"
        held_out: tuple[str, ...] = ()

    config: Config

    def source(self, split: str) -> SubjectPictures | DreamBenchPrompts:
        """Return prompts (``test``), or pictures of subjects (``train``, ``val``).

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or the layout is another.
        """
        require_split(split, "dream-bench")
        base = "dataset/" if (self.config.root / "dataset").is_dir() else ""
        list_file = self.file(f"{base}prompts_and_classes.txt")
        classes, prompts = _parsed(list_file)
        wanted = {
            subject: word
            for subject, word in classes.items()
            if split == "test" or (subject in self.config.held_out) == (split == "val")
        }
        pictures = [
            (subject, f"{base}{subject}/{path.name}")
            for subject in wanted
            for path in sorted((self.config.root / f"{base}{subject}").glob("*.jpg"))
        ]
        source = SubjectPictures(self.folder, pictures, wanted)
        return source if split != "test" else DreamBenchPrompts(source, prompts, self.config.protocol)


def _parsed(path: Path) -> tuple[dict[str, str], dict[Literal["object", "live"], list[str]]]:
    """Read classes and prompts; the file is prose around a csv and two lists in Python's notation."""
    classes: dict[str, str] = {}
    prompts: dict[Literal["object", "live"], list[str]] = {"object": [], "live": []}
    kind: Literal["object", "live"] = "object"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 ({error})", where=str(path), fix="fetch it again") from error
    for line in lines:
        text = line.strip()
        if text.lower().startswith("live subject"):
            kind = "live"
        elif prompt := re.match(r"""['"](.*)['"]\.format\(""", text):
            prompts[kind].append(prompt.group(1).replace("{0} {1}", "{}"))
        elif (pair := re.fullmatch(r"([\w-]+),([\w -]+)", text)) and pair.group(1) != "subject_name":
            classes[pair.group(1)] = pair.group(2).strip()
    if not classes or not prompts["object"] or not prompts["live"]:
        raise ConfigError("no classes and prompts in this file", where=str(path), fix="fetch it again")
    return classes, prompts


def _without_class(prompt: str) -> str:
    """Return a prompt whose picture stands for the noun, as Kosmos-G drops it.

    >>> _without_class("a {} in the jungle"), _without_class("a red {}")
    ('{} in the jungle', '{}, red')
    """
    before, _, after = prompt.partition("{}")
    attribute = re.sub(r"^(a|an)\s+", "", before.strip() + " ").strip()
    return f"{{}}{after}" + (f", {attribute}" if attribute else "")
