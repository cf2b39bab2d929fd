"""Pictures and clips that were answered, beside their references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.plugins.metrics.scored import metric, pair, values

from anyloom.conversation import Media
from anyloom.errors import MediaError
from anyloom_metrics.tiny_metrics import clip, picture


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("psnr", {}),
        ("ssim", {}),
        ("frechet-distance", {"extractor": {"name": "inception-fid", "thin": 16}, "modality": "image"}),
        (
            "torchmetrics",
            {
                "class_path": "torchmetrics.image.PeakSignalNoiseRatio",
                "init_args": {"data_range": 1.0},
                "modality": "image",
            },
        ),
    ],
)
@pytest.mark.parametrize("scale", [255.0, -1.0])
def test_float_pictures_of_another_range_are_an_error(name: str, options: dict[str, Any], scale: float) -> None:
    strange = Media("image", scale * torch.rand(3, 20, 24), key="strange")
    for answer, target in ((strange, picture(1)), (picture(1), strange)):
        with pytest.raises(MediaError, match=r"0\.\.1"):
            metric(name, **options).update([pair(answer, target)])


def test_equal_pictures() -> None:
    same = [pair(picture(n), picture(n), number=n) for n in range(3)]
    assert values(metric("psnr"), same)["edit/psnr"] == 100
    assert values(metric("ssim"), same)["edit/ssim"] == pytest.approx(1)


def test_bytes_and_floats_are_one_picture() -> None:
    data = torch.randint(0, 256, (2, 3, 20, 24), dtype=torch.uint8)
    as_bytes = pair(Media("image", data[0]), Media("image", data[1]))
    as_floats = pair(Media("image", data[0].float() / 255), Media("image", data[1].float() / 255))
    for name in ("psnr", "ssim"):
        assert values(metric(name), [as_bytes]) == pytest.approx(values(metric(name), [as_floats]))


def test_lpips_of_bytes_equals_lpips(tmp_path: Path) -> None:
    """lpips.npz, lpips_normalize01: 1e-5."""
    from anyloom.storage.tensors import write_tensors
    from anyloom_metrics.extractors.perceptual import PerceptualNetwork
    from metric_golden import fan_in, golden, seeded

    g = golden("lpips")
    backbone = seeded(g["backbone_keys"], lambda key, n: np.float32(0.05) * n if n.ndim == 1 else fan_in(n))
    state = {k: v for k, v in PerceptualNetwork().state_dict().items() if k.startswith("scaling_layer.")}
    state |= {f"net.{k}": v for k, v in backbone.items()}
    state |= {f"lin{n}.model.1.weight": g[f"lin{n}"][None, :, None, None] for n in range(5)}
    write_tensors(state, tmp_path / "lpips.safetensors")
    pairs = [
        pair(Media("image", a), Media("image", b), n=i)
        for i, (a, b) in enumerate(zip(g["img0_uint8"], g["img1_uint8"]))
    ]
    measure = metric("lpips", weights=str(tmp_path / "lpips.safetensors"))
    measure.update(pairs)
    assert [s.values["lpips"] for s in measure.scores()] == pytest.approx(g["lpips_normalize01"].tolist(), abs=1e-5)


def test_clips_are_judged_frame_by_frame(tmp_path: Path) -> None:
    from anyloom_metrics.metrics.looking import Looking
    from anyloom_metrics.tiny_extractors import write_clip

    extractor = {"name": "clip-joint", "weights": str(write_clip(tmp_path))}
    one = pair(clip(1), clip(2), prompt="a red cat")
    found = values(metric("clip-frame-text", extractor=extractor), [one])
    looking, device = Looking(extractor, "image"), torch.device("cpu")
    frames = torch.stack(looking.media([Media("image", f) for f in clip(1).tensor()], device))[:, 0]
    expected = torch.cosine_similarity(frames, looking.texts(["a red cat"], device)).mean()
    assert found["edit/alignment"] == pytest.approx(float(expected), abs=1e-6)
