from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from anyloom.cli.main import main


def test_diffusers_and_transformers_read_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from diffusers import AutoencoderKL
    from transformers import GPT2Config, GPT2Model

    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, layers_per_block=1)
    vae.save_pretrained(tmp_path / "vae", safe_serialization=False)
    lm = GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=16, n_positions=8))
    lm.save_pretrained(tmp_path / "lm")
    (tmp_path / "lm" / "model.safetensors").unlink()
    torch.save(lm.state_dict(), tmp_path / "lm" / "pytorch_model.bin")

    assert main(["to-safetensors", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("wrote ") == 2
    options = {"use_safetensors": True, "local_files_only": True}
    for part, folder in ((vae, "vae"), (lm, "lm")):
        loaded = type(part).from_pretrained(tmp_path / folder, **options)
        assert all(torch.equal(t, loaded.state_dict()[k]) for k, t in part.state_dict().items())
    assert main(["to-safetensors", str(tmp_path)]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_variants_keep_their_names(tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, layers_per_block=1)
    vae.save_pretrained(tmp_path, safe_serialization=False, variant="fp16")
    assert main(["to-safetensors", str(tmp_path)]) == 0
    loaded = AutoencoderKL.from_pretrained(tmp_path, use_safetensors=True, variant="fp16", local_files_only=True)
    assert all(torch.equal(t, loaded.state_dict()[k]) for k, t in vae.state_dict().items())


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("pwned",)


@pytest.mark.parametrize("content", [Evil(), {"a": [1, 2]}, b"no pickle"], ids=["code", "lists", "noise"])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object) -> None:
    file = tmp_path / "pytorch_model.bin"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    assert main(["to-safetensors", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {file}: ")
    assert "pwned" not in captured.out
    assert not (tmp_path / "model.safetensors").exists()


def test_shared_tensors_are_written_apart(tmp_path: Path) -> None:
    table = torch.rand(3, 2)
    torch.save({"embedding": table, "head": table}, tmp_path / "pytorch_model.bin")
    assert main(["to-safetensors", str(tmp_path)]) == 0
    found = load_file(tmp_path / "model.safetensors")
    assert torch.equal(found["embedding"], found["head"])


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["to-safetensors", str(tmp_path / "nowhere")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
