"""From the scores of all classes to the labels that a user asked for, alike for every runtime."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt

from lt_data.errors import PredictionArgumentError
from lt_data.task import TaskSpec


class Prediction(TypedDict):
    """Labels and scores of one image.

    Attributes:
        labels: Class IDs, int64 of shape (k,).
        scores: Their probabilities, float32 of shape (k,), in [0, 1], falling.
    """

    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


def check_selection(task: TaskSpec, *, topk: int, threshold: float) -> None:
    """Refuse a `topk` or `threshold` that the task cannot serve, before any image is read.

    Raises:
        PredictionArgumentError: `topk` is not from 1 to the number of classes, or `threshold` not in (0, 1).
    """
    count = len(task.classes)
    if isinstance(topk, bool) or not isinstance(topk, int) or not 1 <= topk <= count:
        raise PredictionArgumentError(f"topk must be an integer from 1 to {count}, the number of classes, got {topk!r}")
    if not 0.0 < threshold < 1.0:
        raise PredictionArgumentError(f"threshold must be above 0 and below 1, got {threshold!r}")


def select_labels(scores: npt.NDArray[np.float32], task: TaskSpec, *, topk: int, threshold: float) -> Prediction:
    """Pick class IDs from the scores of one image.

    Args:
        scores: Probability of each class in output order, float32 of shape (classes,).
        task: Says which rule applies and what the outputs mean.
        topk: Multiclass: number of classes to return, ties in output order.
        threshold: Multilabel: every class whose score is greater is returned.

    Raises:
        PredictionArgumentError: As `check_selection`.
    """
    check_selection(task, topk=topk, threshold=threshold)
    order = np.argsort(-scores, kind="stable")
    chosen = order[:topk] if task.task == "multiclass" else order[scores[order] > threshold]
    ids = np.asarray(task.classes.ids, dtype=np.int64)
    return {"labels": ids[chosen], "scores": scores[chosen].astype(np.float32, copy=False)}
