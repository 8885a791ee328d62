"""From the scores of all classes to the labels that a user asked for, alike for every runtime."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from lt_data.errors import PredictionArgumentError
from lt_data.task import TaskSpec
from lt_data.threshold import Threshold


class Prediction(TypedDict):
    """Labels and scores of one image.

    Attributes:
        labels: Class IDs, int64 of shape (k,).
        scores: Their probabilities, float32 of shape (k,), in [0, 1], falling.
    """

    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


def check_selection(task: TaskSpec, *, topk: int, threshold: Threshold) -> None:
    """Refuse a `topk` or `threshold` that the task cannot serve, before any image is read.

    Raises:
        PredictionArgumentError: `topk` is not from 1 to the number of classes, or `threshold` is neither in (0, 1) nor
            `"auto"`, or is `"auto"` for a multilabel model without thresholds of its own.
    """
    count = len(task.classes)
    if isinstance(topk, bool) or not isinstance(topk, Integral) or not 1 <= topk <= count:
        raise PredictionArgumentError(f"topk must be an integer from 1 to {count}, the number of classes, got {topk!r}")
    if threshold == "auto":
        if task.task == "multilabel" and task.calibration.thresholds is None:
            raise PredictionArgumentError(
                'threshold is "auto", but this model has no thresholds; `ImageClassification.calibrate`, or the '
                "command `lightly-train calibrate`, fits them; or give a number"
            )
    elif isinstance(threshold, bool) or not isinstance(threshold, Real) or not 0.0 < threshold < 1.0:
        raise PredictionArgumentError(f'threshold must be above 0 and below 1, or "auto", got {threshold!r}')


def select_labels(scores: npt.NDArray[np.float32], task: TaskSpec, *, topk: int, threshold: Threshold) -> Prediction:
    """Pick class IDs from the scores of one image.

    Args:
        scores: Probability of each class in output order, float32 of shape (classes,).
        task: Says which rule applies and what the outputs mean.
        topk: Multiclass: number of classes to return, ties in output order. Changes nothing for multilabel.
        threshold: Multilabel: every class whose score is greater is returned; `"auto"`: greater than the class's own
            threshold in `task.calibration`.

    Raises:
        PredictionArgumentError: As `check_selection`.
    """
    check_selection(task, topk=topk, threshold=threshold)
    order = np.argsort(-scores, kind="stable")
    if task.task == "multiclass":
        chosen = order[:topk]
    else:
        limits = np.asarray(task.calibration.thresholds if threshold == "auto" else threshold, dtype=np.float32)
        chosen = order[(scores > limits)[order]]
    ids = np.asarray(task.classes.ids, dtype=np.int64)
    return {"labels": ids[chosen], "scores": scores[chosen].astype(np.float32, copy=False)}
