"""Write tiny random checkpoints in the published layouts, and conversations with real media, for the recipe codi2.

    python scripts/make_tiny_codi2.py tiny
    anyloom fit scripts/tiny_codi2.yaml

Every folder is written by the class that reads the published one, so the full-size recipe runs end to end with sizes
alone changed. The media are pictures and sounds of the starter pack; the clips pan over a picture.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

import anyloom
from anyloom.config.compose import compose
from anyloom.conversation import Media
from anyloom.media import write_media
from anyloom.storage.tensors import write_tensors

RECIPE = Path(__file__).with_name("tiny_codi2.yaml")
TEXTS = [
    "[INST] make it blue and let it ring [/INST] here it is",
    "turn the picture and the sound into a clip",
    "a red heart, a waving hand, the sound of a bell",
]
LLAMA_2_TEMPLATE = (
    "{% set first = 1 if messages[0]['role'] == 'system' else 0 %}{% for message in messages[first:] %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' }}{% if first and loop.first %}"
    "{{ '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' }}{% endif %}"
    "{{ message['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
"""The turns as Llama-2-chat was trained on them."""


def main() -> None:
    """Write everything into the folder that the command line names."""
    parser = argparse.ArgumentParser(description="tiny checkpoints and data for the recipe codi2")
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)


def write(folder: Path) -> None:
    """Write ``checkpoints/`` and ``data/``."""
    torch.manual_seed(0)
    checkpoints = folder / "checkpoints"
    sections = compose([RECIPE], [f"variables.checkpoints={checkpoints}", f"variables.data={folder / 'data'}"])
    write_llama(checkpoints / "llama-2-7b-chat")
    parts = {
        (kind, key): anyloom.build(kind, options["name"], as_published(options))
        for kind in ("encoder", "decoder")
        for key, options in sections["model"][f"{kind}s"].items()
    }
    write_tensors(parts["encoder", "imagebind"].network.state_dict(), checkpoints / "imagebind_huge.safetensors")
    image = checkpoints / "stable-diffusion-2-1-unclip"
    write_diffusion(parts["decoder", "image"], image, "StableUnCLIPImg2ImgPipeline")
    write_prompt_encoder(image, width=int(parts["decoder", "image"].config.unet.cross_attention_dim))
    write_normaliser(image, dim=int(parts["decoder", "image"].config.dim))
    write_diffusion(parts["decoder", "audio"], checkpoints / "audioldm2", "AudioLDM2Pipeline")
    write_vocoder(checkpoints / "audioldm2" / "vocoder")
    video = checkpoints / "zeroscope_v2_576w"
    write_diffusion(parts["decoder", "video"], video, "TextToVideoSDPipeline")
    write_prompt_encoder(video, width=int(parts["decoder", "video"].config.dim))
    write_conversations(folder / "data")


def as_published(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a part that starts from random numbers and, like the published decoders, reads no reference."""
    return {key: value for key, value in options.items() if key not in ("name", "weights", "reference")}


def llama_tokenizer() -> Any:
    """A tokenizer of Llama 2's class and manner: byte fallback, a space before what it gets, the chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaTokenizer

    core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    core.train_from_iterator(TEXTS * 4, trainer)
    trained = json.loads(core.to_str())["model"]
    tokenizer = LlamaTokenizer(vocab=trained["vocab"], merges=[tuple(pair) for pair in trained["merges"]])
    tokenizer.chat_template = LLAMA_2_TEMPLATE
    return tokenizer


def write_llama(folder: Path) -> None:
    """A language model and its tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = llama_tokenizer()
    tokenizer.save_pretrained(folder)
    sizes = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
    )
    LlamaForCausalLM(sizes).save_pretrained(folder)


def write_diffusion(decoder: Any, folder: Path, pipeline: str) -> None:
    """Denoiser, autoencoder, scheduler and index of a diffusers pipeline."""
    decoder.unet.save_pretrained(folder / "unet")
    decoder.autoencoder.vae.save_pretrained(folder / "vae")
    decoder.scheduler.save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline}) + "\n")


def write_prompt_encoder(folder: Path, width: int) -> None:
    """The CLIP text model and tokenizer that the empty prompt goes through."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    vocabulary = {token: n for n, token in enumerate(["a", "a</w>", "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    tokenizer.save_pretrained(folder / "tokenizer")
    sizes = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=3,
    )
    CLIPTextModel(sizes).save_pretrained(folder / "text_encoder")


def write_normaliser(folder: Path, dim: int) -> None:
    """Mean and deviation of picture features."""
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer

    StableUnCLIPImageNormalizer(embedding_dim=dim).save_pretrained(folder / "image_normalizer")


def write_vocoder(folder: Path) -> None:
    """A HiFi-GAN for 64 mel bands at 16 kHz."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    sizes = SpeechT5HifiGanConfig(
        model_in_dim=64,
        sampling_rate=16000,
        upsample_initial_channel=32,
        upsample_rates=[5, 4, 4, 2],
        upsample_kernel_sizes=[10, 8, 8, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        normalize_before=False,
    )
    SpeechT5HifiGan(sizes).save_pretrained(folder)


def write_conversations(folder: Path, count: int = 4) -> None:
    """``train.jsonl``, ``val.jsonl`` and ``test.jsonl``: a picture and a sound in; a picture, a sound, a clip out."""
    pictures, sounds = starter_media("picture-to-text", count + 1), starter_media("sound-to-text", count + 1)
    lines = []
    for n in range(count):
        given = [part(pictures[n], folder / f"{n}-given.png"), part(sounds[n], folder / f"{n}-given.wav")]
        clip = Media("video", pan(pictures[n].tensor()), meta={"fps": 4.0})
        targets = [
            part(pictures[n + 1], folder / f"{n}-target.png"),
            part(sounds[n + 1], folder / f"{n}-target.wav"),
            part(clip, folder / f"{n}-target.mp4"),
        ]
        messages = [
            {"role": "user", "content": [{"type": "text", "text": TEXTS[1]}, *given]},
            {"role": "assistant", "content": [{"type": "text", "text": TEXTS[2]}, *targets]},
        ]
        lines.append(json.dumps({"messages": messages, "task": "tiny"}))
    for split, chosen in (("train", lines), ("val", lines[:1]), ("test", lines[:1])):
        (folder / f"{split}.jsonl").write_text("\n".join(chosen) + "\n")


def starter_media(task: str, count: int) -> list[Media]:
    """The first media of so many samples of the starter pack."""
    samples = anyloom.build("dataset", "starter", {"tasks": {task: 1}, "num_samples": count}).build("train")
    return [samples[n].conversation.media[0] for n in range(count)]


def part(media: Media, path: Path) -> dict[str, str]:
    """Write a media item and return its part of a message."""
    return {"type": media.modality, "path": write_media(media, path).name}


def pan(picture: torch.Tensor) -> torch.Tensor:
    """Eight frames ``(8, 3, H, W)`` of a picture that moves to the side."""
    return torch.stack([picture.roll(4 * step, -1) for step in range(8)])


if __name__ == "__main__":
    main()
