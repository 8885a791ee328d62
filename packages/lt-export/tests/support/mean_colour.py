"""A classifier of mean colour, without PyTorch: its weights, and what its file says about itself."""

from __future__ import annotations

import attrs
import numpy as np

from lt_data import Calibration, Classes, Preprocessing, TaskSpec, preprocess
from lt_export.probes import PROBES, probe_images
from lt_export.runtime.description import Description

WEIGHTS = np.array([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]], np.float32)
"""Each output is three times the mean of one colour."""


def task_spec(task: str = "multiclass") -> TaskSpec:
    return TaskSpec(
        task=task,
        classes=Classes((10, 20, 30), ("red", "green", "blue")),
        preprocessing=Preprocessing(image_size=(16, 24), mean=(0.0,) * 3, std=(1.0,) * 3, resize_scale=1.0),
    )


def with_thresholds(*thresholds: float) -> Description:
    """The multilabel model, with thresholds for red, green and blue."""
    found = description("multilabel")
    return attrs.evolve(found, task=attrs.evolve(found.task, calibration=Calibration(thresholds=thresholds)))


def description(task: str = "multiclass") -> Description:
    """What a model of mean colour says about itself, with the scores that it gives."""
    spec = task_spec(task)
    images = np.stack([preprocess(image, spec.preprocessing) for image in probe_images(spec.preprocessing, PROBES)])
    logits = images.mean(axis=(2, 3)) @ WEIGHTS
    powers = np.exp(logits)
    scores = powers / powers.sum(axis=1, keepdims=True) if task == "multiclass" else powers / (1 + powers)
    return Description(
        task=spec,
        precision="fp32",
        includes_preprocessing=False,
        version="0",
        checkpoint_sha256="",
        reference_scores=scores.astype(np.float32),
    )
