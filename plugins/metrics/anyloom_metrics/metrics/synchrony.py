"""Synchrony of answers that hold a clip and its sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import PositiveFloat

from anyloom.conversation import Media
from anyloom.errors import MediaError
from anyloom.interfaces import Evaluated, Sample, ValueInfo
from anyloom_metrics.functional.synchrony import Synchrony, audio_onsets, synchrony, video_onsets
from anyloom_metrics.metrics.asked import answered, fault_of
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.means import MeanMetric
from anyloom_metrics.metrics.pairs import media_of
from anyloom_metrics.metrics.rows import RowConfig

__all__ = ["AudioVideoSynchrony"]


class AudioVideoSynchrony(MeanMetric):
    """How far the events of a generated clip are from those of its sound, in seconds.

    >>> from anyloom.conversation import Conversation, Message
    >>> from anyloom.interfaces import Sample
    >>> from anyloom_metrics.tiny_metrics import beep, clip  # a flash, and a beep a frame (0.1 s) after it
    >>> asked = Sample(Conversation([Message("user", "Flash!"), Message("assistant", [clip(0), beep(0)])]), "joint")
    >>> metric = AudioVideoSynchrony(AudioVideoSynchrony.Config())
    >>> metric.update([Evaluated(asked, Message("assistant", [clip(0), beep(0)]))])
    >>> values = metric.compute()
    >>> [round(values[f"joint/{name}"].item(), 3) for name in ("late", "correlation")]
    [0.1, 1.0]
    """

    class Config(RowConfig):
        """Options.

        Args:
            video: Modality of the clips; ``(T, C, H, W)`` with ``fps`` in ``meta``.
            audio: Modality of the sounds; ``(C, T)`` with ``sample_rate`` in ``meta``.
            most: Largest offset that is looked for, in seconds.
        """

        video: str = "video"
        audio: str = "audio"
        most: PositiveFloat = 1.0

    config: Config
    needs_media = True
    columns: ClassVar[tuple[str, ...]] = ("offset", "late", "correlation", "score")
    measures: Mapping[str, ValueInfo] = {
        "offset": ValueInfo("Offset of sound and picture", "Mean size in seconds.", better="lower", form="number"),
        "score": ValueInfo("Synchrony", "Correlation of events in sound and picture, unshifted.", form="number"),
    }

    def contract(self) -> Contract:
        """A clip and a sound of one answer."""
        return Contract(("answer",), paired=True, value_range=(0, 1))

    def wants(self, sample: Sample) -> bool:
        """Samples whose target has both modalities."""
        there = {m.modality for m in sample.conversation.messages[-1].media}
        return super().wants(sample) and {self.config.video, self.config.audio} <= there

    def refuse(self, evaluated: Evaluated) -> str:
        """Answers without clip or sound, broken, silent or still."""
        clip, sound = (answered(evaluated, m) for m in (self.config.video, self.config.audio))
        fault = fault_of(clip) or fault_of(sound)
        if fault or clip is None:
            return fault
        frames = clip.tensor()
        still = len(frames) < 2 or not bool((frames[1:] != frames[:-1]).any())
        return "nothing moves in the answer" if still else ""

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Offsets: their size, their sign, and how sure they are."""
        found = []
        for one in evaluated:
            clip, sound = (answered(one, m) for m in (self.config.video, self.config.audio))
            value = self._of(media_of(clip), media_of(sound))
            found.append({"offset": abs(value.offset), "late": value.offset, **_rest(value)})
        return found

    def _of(self, clip: Media, sound: Media) -> Synchrony:
        rate, frames, wave = clip.meta.get("fps", 0), clip.tensor().cpu(), sound.tensor().cpu()
        if rate <= 0:
            raise MediaError("the frame rate is unknown", where=clip.path or clip.key, fix="give meta={'fps': ...}")
        hertz = sound.meta.get("sample_rate", 0)
        if hertz <= 0:
            raise MediaError("the sample rate is unknown", where=sound.path or sound.key)
        curves = (
            audio_onsets(wave[0].float(), sample_rate=hertz, rate=rate, steps=len(frames)),
            video_onsets(frames, fps=rate, rate=rate, steps=len(frames)),
        )
        return synchrony(*curves, rate=rate, most=self.config.most)


def _rest(value: Synchrony) -> dict[str, float]:
    return {"correlation": value.correlation, "score": value.score}
