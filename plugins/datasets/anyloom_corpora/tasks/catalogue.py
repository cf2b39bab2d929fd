"""All tasks by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from anyloom_corpora.tasks import captions, picture_edits, sequences, sounds, subjects, texts, together
from anyloom_corpora.tasks.view import RecordTask

__all__ = ["TASKS"]

_MEDIA: Final = ("image", "audio", "video")
_PAIR: Final = ("before", "edit", "after")
_SOUND: Final = ("audio", "caption")

_ALL: Final = (
    *(RecordTask(f"{m}-to-text", captions.media_to_caption, (m, "caption"), {"modality": m}) for m in _MEDIA),
    *(RecordTask(f"text-to-{m}", captions.caption_to_media, (m, "caption"), {"modality": m}) for m in _MEDIA),
    RecordTask("image-edit", picture_edits.edit_picture, _PAIR),
    RecordTask("image-exemplar", picture_edits.exemplar_picture, ("before", "after")),
    RecordTask("image-rounds", picture_edits.picture_rounds, _PAIR),
    *(RecordTask(f"image-turns-{n}", picture_edits.picture_turns, _PAIR, {"turns": n}) for n in (1, 2, 3, 4)),
    RecordTask("audio-add", sounds.add_sound, _SOUND),
    RecordTask("audio-drop", sounds.drop_sound, _SOUND),
    RecordTask("audio-replace", sounds.replace_sound, _SOUND),
    RecordTask("audio-inpainting", sounds.fill_gap, _SOUND),
    RecordTask("audio-super-resolution", sounds.restore_band, _SOUND),
    RecordTask("audio-effect", sounds.apply_effect, ("audio",)),
    RecordTask("audio-exemplar", sounds.exemplar_sound, _SOUND),
    RecordTask("audio-rounds", sounds.sound_rounds, _SOUND),
    RecordTask("composition", subjects.compose, ("image", "parts")),
    RecordTask("concept", subjects.learn_concept, ("image",)),
    RecordTask("subject", subjects.place_subject, ("image", "subject")),
    RecordTask("next-image", sequences.next_picture, ("images",)),
    RecordTask("next-frame", sequences.next_frame, ("video",)),
    RecordTask("next-frame-with-sound", sequences.next_frame_with_sound, ("video", "audio")),
    RecordTask("inference", sequences.infer_picture, ("examples", "query", "image")),
    RecordTask("image-by-sound", together.picture_by_sound, ("audio",)),
    RecordTask("image-to-audio", together.picture_to_sound, ("audio",)),
    RecordTask("subject-clip-with-sound", together.subject_clip_with_sound, ("video", "audio", "caption")),
    RecordTask("instruction", texts.follow_instruction, ("instruction", "output")),
    RecordTask("text-repurposed", texts.repurpose_text, ("instruction", "output")),
    RecordTask("question", texts.question_in_context, ("instruction", "output")),
    RecordTask("conversation", texts.as_it_is, ("conversation",)),
)

TASKS: Final[Mapping[str, RecordTask]] = MappingProxyType({task.name: task for task in _ALL})
