"""Metrics of how well scores rank samples. They need all scores at once; the order of the samples does not matter."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@attrs.frozen(eq=False)
class Ranking:
    """How many samples have each score, the highest first.

    Attributes:
        positives: Samples with the class, int64 of shape (K,) for K distinct scores.
        negatives: Samples without it, likewise.
    """

    positives: Ints
    negatives: Ints


def rank(scores: Scores, positive: Flags) -> Ranking:
    """Sort samples by score, those of the same score together.

    Args:
        scores: Finite, float32 of shape (N,).
        positive: Of shape (N,).
    """
    order = np.argsort(-scores)
    ranked, flags = scores[order], positive[order].astype(np.int64)
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], np.ones(min(1, len(ranked)), dtype=np.bool_)))
    positives = np.diff(np.cumsum(flags)[last], prepend=0)
    return Ranking(positives, np.diff(last + 1, prepend=0) - positives)


def auroc(ranking: Ranking) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counted half.

    That is the Mann-Whitney statistic over the number of pairs, here a ratio of integers.

    Returns:
        In [0, 1]; NaN where all are positive, or none is.
    """
    positives, negatives = ranking.positives, ranking.negatives
    pairs = int(positives.sum()) * int(negatives.sum())
    if not pairs:
        return float("nan")
    lower = np.cumsum(negatives[::-1])[::-1] - negatives
    return int((positives * (2 * lower + negatives)).sum()) / (2 * pairs)


def average_precision(ranking: Ranking) -> float:
    """Sum over thresholds of precision times the recall that the threshold adds, as scikit-learn has it.

    Samples of the same score pass a threshold together, and nothing is interpolated.

    Returns:
        In [0, 1]; NaN where none is positive.
    """
    positives, negatives = ranking.positives, ranking.negatives
    total = int(positives.sum())
    if not total:
        return float("nan")
    found = np.cumsum(positives)
    precision = found / (found + np.cumsum(negatives))
    return float((precision * positives).sum() / total)
