"""Metrics of how well scores rank samples. They need all scores at once; the order of the samples does not matter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def auroc(scores: Scores, positive: Flags) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counted half.

    That is the Mann-Whitney statistic over the number of pairs, here a ratio of integers.

    Args:
        scores: float32 of shape (N,).
        positive: Of shape (N,).

    Returns:
        In [0, 1]; NaN where all are positive, or none is, or a score is NaN.
    """
    positives, negatives = _grouped(scores, positive)
    pairs = int(positives.sum()) * int(negatives.sum())
    if not pairs or np.isnan(scores).any():
        return float("nan")
    lower = np.cumsum(negatives[::-1])[::-1] - negatives
    return int((positives * (2 * lower + negatives)).sum()) / (2 * pairs)


def average_precision(scores: Scores, positive: Flags) -> float:
    """Sum over thresholds of precision times the recall that the threshold adds, as scikit-learn has it.

    Samples of the same score pass a threshold together, and nothing is interpolated.

    Args:
        scores: float32 of shape (N,).
        positive: Of shape (N,).

    Returns:
        In [0, 1]; NaN where none is positive, or a score is NaN.
    """
    positives, negatives = _grouped(scores, positive)
    total = int(positives.sum())
    if not total or np.isnan(scores).any():
        return float("nan")
    found = np.cumsum(positives)
    precision = found / (found + np.cumsum(negatives))
    return float((precision * positives).sum() / total)


def _grouped(scores: Scores, positive: Flags) -> tuple[Ints, Ints]:
    """Positives and negatives of each distinct score, the highest first, int64 each."""
    order = np.argsort(-scores)
    ranked, flags = scores[order], positive[order].astype(np.int64)
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, dtype=np.int64)
    found = np.cumsum(flags)[last]
    seen = last + 1
    positives = np.diff(found, prepend=0)
    return positives, np.diff(seen, prepend=0) - positives
