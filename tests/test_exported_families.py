"""A small model of every family goes to ONNX and comes back with the scores that it had."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lt_export
from lt_data import Classes, Preprocessing, TaskSpec
from lt_export import export_onnx
from lt_models import ClassifierSpec, build_classifier

SMALL_SWIN = {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4), "window_size": 4}
SMALL_VIT = {"depth": 2}

FAMILIES = [
    ("timm/test_resnet", "multiclass", 64, 3, {}),
    ("timm/test_convnext", "multilabel", 64, 1, {}),
    ("timm/test_efficientnet", "multilabel", 64, 4, {}),
    ("timm/test_vit", "multilabel", 64, 3, {}),
    ("timm/swin_tiny_patch4_window7_224", "multiclass", 64, 1, SMALL_SWIN),
    ("timm/test_maxvit", "multiclass", 64, 3, {}),
    ("torchvision/resnet18", "multilabel", 32, 1, {}),
    ("dinov2/vits14", "multiclass", 28, 3, SMALL_VIT),
    ("dinov3/vitt16", "multilabel", 32, 4, SMALL_VIT),
    ("dinov3/convnext-tiny", "multiclass", 32, 3, {}),
]


@pytest.mark.parametrize(
    ("model", "task", "side", "channels", "backbone_args"), FAMILIES, ids=[one[0] for one in FAMILIES]
)
def test_a_model_of_every_family_is_exported_in_fp32_and_fp16(tmp_path, model, task, side, channels, backbone_args):
    torch.manual_seed(0)
    classifier = build_classifier(
        ClassifierSpec(
            model=f"{model}-notpretrained",
            num_classes=5,
            image_size=(side, side),
            num_channels=channels,
            backbone_args=backbone_args,
        )
    ).eval()
    with torch.no_grad():
        # A fresh head gives nearly equal scores, whatever comes in.
        for parameter in classifier.head.parameters():
            parameter.normal_(std=3.0 / parameter.shape[-1] ** 0.5)
    spec = TaskSpec(
        task=task,
        classes=Classes(tuple(range(5)), tuple("abcde")),
        preprocessing=Preprocessing(
            image_size=(side, side), num_channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels
        ),
    )
    images = list(np.random.default_rng(0).integers(0, 256, (7, 50, 60, channels), dtype=np.uint8))
    for precision, difference in (("fp32", 1e-4), ("fp16", 5e-3)):
        out = tmp_path / f"{precision}.onnx"
        report = export_onnx(classifier, spec, out, precision=precision, images=images)
        assert report.verification is not None
        assert report.verification.largest_difference <= difference
        assert report.verification.images == 8, "batches of 1, 2 and 5"
        edge = lt_export.load(out)
        assert edge.scores(images).shape == (7, 5)
        assert edge.task == spec
    sizes = [(tmp_path / f"{precision}.onnx").stat().st_size for precision in ("fp32", "fp16")]
    assert sizes[1] < 0.7 * sizes[0]
