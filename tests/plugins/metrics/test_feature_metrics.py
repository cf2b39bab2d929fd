"""Distances and similarities of features against the golden files and closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from anyloom.errors import AnyloomError, ConfigError, FeatureSpaceError, MediaError
from anyloom_metrics import functional as F
from metric_golden import golden

NAN = torch.tensor([[1.0, math.nan], [0.0, 1.0]])


@pytest.mark.parametrize(("suffix", "tolerance"), [("", 5e-6), ("_singular", 1e-4)])
@pytest.mark.filterwarnings("ignore:.*samples.*dimensions")
def test_frechet_distance_equals_audioldm_fd(suffix: str, tolerance: float) -> None:
    """audioldm_fd.npz: 5e-6, singular 1e-4."""
    g = golden("audioldm_fd")
    found = float(F.frechet_distance(g[f"x{suffix}"], g[f"y{suffix}"]))
    assert found == pytest.approx(g[f"fd{suffix}"], abs=tolerance)
    assert found == pytest.approx(g[f"fad_fn{suffix}"], abs=tolerance)
    theirs = g["fd_torchmetrics" if not suffix else "fd_singular_torchmetrics"]
    assert found == pytest.approx(theirs, abs=tolerance), "torchmetrics has the same formula"
    ours = F.frechet_distance(F.Statistics.of(g[f"x{suffix}"]), F.Statistics.of(g[f"y{suffix}"]))
    assert float(ours) == pytest.approx(found, abs=1e-6), "features and their statistics give one number"


def test_frechet_distance_and_friends_equal_torch_fidelity() -> None:
    """torch_fidelity.npz: 1e-5, precision and recall exactly."""
    g = golden("torch_fidelity")
    assert float(F.frechet_distance(g["x"], g["y"])) == pytest.approx(g["fid"], abs=1e-5)
    score = F.inception_score(g["logits"])
    assert score == pytest.approx((g["is_mean"], g["is_std"]), abs=1e-5)
    sizes = {"subsets": g["kid_subsets"], "subset_size": g["kid_subset_size"], "seed": g["rng_seed"]}
    assert F.kernel_distance(g["x"], g["y"], **sizes) == pytest.approx((g["kid_mean"], g["kid_std"]), abs=1e-5)
    found = F.precision_recall(g["x"], g["y"])
    assert found == pytest.approx((g["precision"], g["recall"], g["f_score"]), abs=1e-7)


def test_frechet_distance_of_normal_distributions_has_its_closed_form() -> None:
    x = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]]).repeat(50, 1)
    moved = F.frechet_distance(x, 3 * x + torch.tensor([2.0, 0.0]))
    variance = float(x[:, 0].double().var())
    assert float(moved) == pytest.approx(4 + 2 * variance * (3 - 1) ** 2)
    assert float(F.frechet_distance(x, x)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("samples", "said"), [(5, "singular"), (12, "fewer than 2 x 8")])
def test_too_few_samples_are_warned_of(samples: int, said: str) -> None:
    many, few = torch.randn(40, 8), torch.randn(samples, 8)
    for pair in ((many, few), (few, many)):
        with pytest.warns(UserWarning, match=said):
            F.frechet_distance(*pair)


def test_fad_and_its_limit_equal_fadtk() -> None:
    """fadtk_fad.npz: 1e-5."""
    g = golden("fadtk_fad")
    assert float(F.frechet_distance(g["baseline"], g["eval"])) == pytest.approx(g["fad"], abs=1e-5)
    found = F.frechet_distance_at_infinity(
        g["baseline"], g["eval"], g["fad_inf_ns"].tolist(), seed=g["fad_inf_np_seed"]
    )
    assert found.points == pytest.approx(g["fad_inf_points"].tolist(), abs=1e-5)
    assert (found.score, found.slope) == pytest.approx((g["fad_inf_score"], g["fad_inf_slope"]), abs=1e-5, rel=1e-5)


def test_inception_score_equals_audioldm_isc() -> None:
    """audioldm_isc.npz: 1e-9."""
    g = golden("audioldm_isc")
    found = F.inception_score(g["logits"], splits=g["splits"], seed=g["rng_seed"])
    assert found == pytest.approx((g["is_mean"], g["is_std"]), abs=1e-9)
    single = F.inception_score(g["logits"], splits=1, seed=None)
    assert single.mean == pytest.approx(g["is_single_split_noshuffle"], abs=1e-9)


def test_classes_without_any_probability_do_not_break_the_score() -> None:
    logits = torch.full((20, 3), -2000.0)
    logits[torch.arange(20), torch.arange(20) % 2] = 0.0
    assert F.inception_score(logits, splits=1).mean == pytest.approx(2)
    for form in ("softmax", "sigmoid"):
        assert F.paired_kl_divergence(logits, logits.roll(1, 0), form=form).isfinite().all()


def test_kernel_distance_equals_audioldm_kid() -> None:
    """audioldm_kid.npz: 1e-6."""
    g = golden("audioldm_kid")
    sizes = {"subsets": g["subsets"], "subset_size": g["subset_size"], "seed": g["rng_seed"]}
    assert F.kernel_distance(g["x"], g["y"], **sizes) == pytest.approx((g["kid_mean"], g["kid_std"]), abs=1e-6)
    assert float(F.squared_mmd(g["x"][:95], g["y"])) == pytest.approx(g["mmd2_full_first95"], abs=1e-6)


def test_paired_kl_equals_audioldm_kl() -> None:
    """audioldm_kl.npz: 1e-5 (its reference is float32)."""
    g = golden("audioldm_kl")
    found = F.paired_kl_divergence(g["gen_logits"], g["ref_logits"])
    torch.testing.assert_close(found, g["kl_softmax_per_pair"], atol=1e-5, rtol=1e-5)
    assert float(found.mean()) == pytest.approx(g["kl_softmax"], abs=1e-5)
    sigmoid = F.paired_kl_divergence(g["gen_logits"], g["ref_logits"], form="sigmoid")
    assert float(sigmoid.mean()) == pytest.approx(g["kl_sigmoid"], abs=1e-5)
    turned = F.paired_kl_divergence(g["ref_logits"], g["gen_logits"])
    assert abs(float(turned.mean()) - g["kl_softmax"]) > 0.01, "the direction counts"


def test_directional_similarity_equals_instruct_pix2pix() -> None:
    """ip2p_directional.npz: 1e-6."""
    g = golden("ip2p_directional")
    raw = [g[name] for name in ("image0", "image1", "text0", "text1")]
    found = F.edit_similarities(*raw)
    for name, expected in (("input_text", "sim_0"), ("output_text", "sim_1"), ("image", "sim_image")):
        torch.testing.assert_close(getattr(found, name).float(), g[expected], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.directional.float(), g["sim_direction"], atol=1e-6, rtol=0)
    assert float(F.clip_directional_similarity(*raw).mean()) == pytest.approx(g["sim_direction_mean"], abs=1e-6)
    unchanged = F.clip_directional_similarity(raw[0], raw[0], raw[2], raw[3])
    assert unchanged.tolist() == [0.0] * 8


def test_alignment_equals_kosmosg() -> None:
    """kosmosg_dreambench.npz: 1e-4 on the scale of 100."""
    g = golden("kosmosg_dreambench")
    dino = 100 * F.image_alignment(g["gen_dino"], g["real_dino"])
    clip_i = 100 * F.image_alignment(g["gen_clip"], g["real_clip"])
    clip_t = 100 * F.text_image_alignment(g["gen_clip"], g["text_clip"])
    for found, name in ((dino, "dino"), (clip_i, "clip_i"), (clip_t, "clip_t")):
        torch.testing.assert_close(found.float(), g[f"{name}_per_sample_x100"], atol=1e-4, rtol=0)
        assert float(found.mean().clamp(min=0)) == pytest.approx(g[f"{name}_x100"], abs=1e-4)
    assert float(dino.min()) < 0, "no value is cut off at 0, the mean is"


def test_all_pairs_equal_the_formula_of_dreambooth() -> None:
    """kosmosg_dreambench.npz, dino_allpairs_formula: 1e-6."""
    g = golden("kosmosg_dreambench")
    subjects, each = g["subject_real_dino"].shape[:2]
    owners = g["subject"], torch.arange(subjects).repeat_interleave(each)
    found = F.image_alignment(g["gen_dino"], g["subject_real_dino"].flatten(0, 1), pairing="all", owners=owners)
    torch.testing.assert_close(found, g["dino_allpairs_formula_per_gen"], atol=1e-6, rtol=0)
    with pytest.raises(MediaError, match="no reference of their subject"):
        F.image_alignment(g["gen_dino"], g["real_dino"], pairing="all", owners=(g["subject"] + 9, owners[1]))
    with pytest.raises(ConfigError, match="owners"):
        F.image_alignment(g["gen_dino"], g["real_dino"], pairing="all")


def test_clip_scores_equal_hessel() -> None:
    """clipscore_hessel.npz: 1e-5."""
    g = golden("clipscore_hessel")
    score = F.clip_score(g["image"], g["cand"])
    torch.testing.assert_close(score.float(), g["clipscore_per"], atol=1e-5, rtol=0)
    assert float(score.mean()) == pytest.approx(g["clipscore"], abs=1e-5)
    assert float(score[0]) == 0, "opposite directions are cut off at 0"
    with_references = F.ref_clip_score(g["image"], g["cand"], g["refs"], g["ref_owner"])
    torch.testing.assert_close(with_references.float(), g["refclipscore_per"], atol=1e-5, rtol=0)
    assert float(with_references.mean()) == pytest.approx(g["refclipscore"], abs=1e-5)
    alone = F.ref_only_score(g["cand"], g["refs"], g["ref_owner"])
    torch.testing.assert_close(alone.float(), g["ref_only_per"], atol=1e-5, rtol=0)
    other = F.clip_score(g["image"], g["cand"], convention="torchmetrics")
    torch.testing.assert_close(other[1:], 40 * score[1:])
    assert float(other[0]) == pytest.approx(-100)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("frechet", lambda: F.frechet_distance(NAN, NAN)),
        ("one sample", lambda: F.frechet_distance(torch.ones(1, 2), torch.ones(9, 2))),
        ("widths", lambda: F.frechet_distance(torch.randn(9, 2), torch.randn(9, 3))),
        ("kernel", lambda: F.squared_mmd(NAN, NAN)),
        ("subset", lambda: F.kernel_distance(torch.ones(9, 2), torch.ones(9, 2))),
        ("inception", lambda: F.inception_score(NAN, splits=1)),
        ("splits", lambda: F.inception_score(torch.ones(5, 2))),
        ("unpaired", lambda: F.paired_kl_divergence(torch.ones(5, 2), torch.ones(4, 2))),
        ("kl", lambda: F.paired_kl_divergence(NAN, NAN)),
        ("cosine", lambda: F.text_image_alignment(NAN, NAN)),
        ("rows", lambda: F.clap_score(torch.ones(5, 2), torch.ones(4, 2))),
        ("neighbours", lambda: F.precision_recall(torch.ones(3, 2), torch.ones(9, 2))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_measured_is_an_error(name: str, call) -> None:
    with pytest.raises((MediaError, FeatureSpaceError)) as caught, pytest.MonkeyPatch.context():
        call()
    assert isinstance(caught.value, AnyloomError), name


def test_retrieval_equals_torchmetrics() -> None:
    """retrieval.npz: 1e-6."""
    g = golden("retrieval")
    diagonal = torch.eye(60, dtype=torch.bool)
    for k, expected in g["recall_at"].items():
        assert float(F.recall_at(g["sim"], diagonal, int(k)).mean()) == pytest.approx(expected, abs=1e-6)
        assert float(F.hit_rate_at(g["sim"], diagonal, int(k)).mean()) == pytest.approx(expected, abs=1e-6)
    ranks = F.ranks_of(g["sim"], diagonal)
    expected = (g["median_rank_1based"], g["mean_rank_1based"], g["mrr"])
    assert (ranks.median, ranks.mean, ranks.reciprocal) == pytest.approx(expected, abs=1e-6)
    own = g["owner"][None] == torch.arange(12)[:, None]
    for measure, table in ((F.hit_rate_at, "i2t_hit_at"), (F.recall_at, "i2t_recall_at")):
        for k, expected in g[table].items():
            assert float(measure(g["sim_img_to_5txt"], own, int(k)).mean()) == pytest.approx(expected, abs=1e-6)
    for k, expected in g["t2i_recall_at"].items():
        assert float(F.recall_at(g["sim_img_to_5txt"].T, own.T, int(k)).mean()) == pytest.approx(expected, abs=1e-6)


def test_a_constant_similarity_is_no_success() -> None:
    similarity, positives = torch.zeros(4, 10), torch.eye(10)[:4].bool()
    assert F.recall_at(similarity, positives, 1).tolist() == pytest.approx([0.1] * 4)
    assert F.hit_rate_at(similarity, positives, 5).tolist() == pytest.approx([0.5] * 4)
    assert F.ranks_of(similarity, positives).mean == 5.5
    with pytest.raises(MediaError, match="no positive"):
        F.recall_at(similarity, ~positives & False, 1)
