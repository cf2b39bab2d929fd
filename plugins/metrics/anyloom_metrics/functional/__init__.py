"""The metrics as functions of tensors and texts: no model, no files, no state."""

from anyloom_metrics.functional.alignment import frame_text_alignment, image_alignment, text_image_alignment
from anyloom_metrics.functional.captions import CaptionScores, caption_scores, caption_words
from anyloom_metrics.functional.clip_score import clap_score, clip_score, ref_clip_score, ref_only_score
from anyloom_metrics.functional.directional import EditSimilarities, clip_directional_similarity, edit_similarities
from anyloom_metrics.functional.divergence import paired_kl_divergence
from anyloom_metrics.functional.frechet import (
    FADInfinity,
    Statistics,
    covariance_problem,
    frechet_distance,
    frechet_distance_at_infinity,
)
from anyloom_metrics.functional.inception import InceptionScore, inception_score
from anyloom_metrics.functional.kernel import KernelDistance, kernel_distance, squared_mmd
from anyloom_metrics.functional.lpips import lpips_distance
from anyloom_metrics.functional.mel_picture import mel_picture, mel_psnr, mel_ssim
from anyloom_metrics.functional.precision_recall import PrecisionRecall, precision_recall
from anyloom_metrics.functional.psnr import psnr
from anyloom_metrics.functional.retrieval import Ranks, hit_rate_at, ranks_of, recall_at
from anyloom_metrics.functional.spectral import (
    aligned_waves,
    log_spectral_distance,
    raw_log_spectral_distance,
    scale_invariant_spectral_ratio,
    spectral_ssim,
)
from anyloom_metrics.functional.ssim import ssim
from anyloom_metrics.functional.structure import Structure, structure_of
from anyloom_metrics.functional.synchrony import Synchrony, audio_onsets, synchrony, video_onsets
from anyloom_metrics.functional.treebank import stanford_words
from anyloom_metrics.functional.vqa import normalised_answer, vqa_accuracy
from anyloom_metrics.functional.wer import WordErrors, word_errors

__all__ = [
    "CaptionScores",
    "EditSimilarities",
    "FADInfinity",
    "InceptionScore",
    "KernelDistance",
    "PrecisionRecall",
    "Ranks",
    "Statistics",
    "Structure",
    "Synchrony",
    "WordErrors",
    "aligned_waves",
    "audio_onsets",
    "caption_scores",
    "caption_words",
    "clap_score",
    "clip_directional_similarity",
    "clip_score",
    "covariance_problem",
    "edit_similarities",
    "frame_text_alignment",
    "frechet_distance",
    "frechet_distance_at_infinity",
    "hit_rate_at",
    "image_alignment",
    "inception_score",
    "kernel_distance",
    "log_spectral_distance",
    "lpips_distance",
    "mel_picture",
    "mel_psnr",
    "mel_ssim",
    "normalised_answer",
    "paired_kl_divergence",
    "precision_recall",
    "psnr",
    "ranks_of",
    "raw_log_spectral_distance",
    "recall_at",
    "ref_clip_score",
    "ref_only_score",
    "scale_invariant_spectral_ratio",
    "spectral_ssim",
    "squared_mmd",
    "ssim",
    "stanford_words",
    "structure_of",
    "synchrony",
    "text_image_alignment",
    "video_onsets",
    "vqa_accuracy",
    "word_errors",
]
