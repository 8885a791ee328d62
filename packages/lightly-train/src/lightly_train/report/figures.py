"""Figures of a report that follow from scores and labels; counts and formulas are those of training's metrics."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from lightly_train.scored import ScoredSamples
from lt_train import CalibrationArgs, ClassTable, MetricArgs, measure
from lt_train.metrics import UNIT_BITS, ClassCounts, count_bins, expected_calibration_error

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ROWS_AT_ONCE = 4096
"""So that counting takes little memory beside the scores."""

THRESHOLDS = (np.arange(101) / 100).astype(np.float32)
MOST_PAIRED_CLASSES = 500
"""Multilabel: pairs are sought among the classes with the most mistakes."""


def class_table(scored: ScoredSamples, threshold: float) -> ClassTable:
    """Figures of each class, and the confusions, as training counts them."""
    multilabel = scored.task.task == "multilabel"
    args = MetricArgs(threshold=threshold, auroc=None, average_precision=None) if multilabel else MetricArgs()
    return measure(scored.task, scored.scores, scored.truth, args).table


@attrs.frozen
class Confusion:
    """One class taken for another.

    Attributes:
        true: Class index of the label.
        predicted: Class index of what the model said in its place.
        count: How often.
        share: Of the images with the label, in [0, 1].
    """

    true: int
    predicted: int
    count: int
    share: float


def most_confused(scored: ScoredSamples, table: ClassTable, threshold: float, limit: int) -> list[Confusion]:
    """Pairs of classes that are taken for each other most often.

    Multilabel counts the images that lack a label of theirs and have a wrong one; such an image counts for each pair.
    """
    if scored.task.task == "multiclass":
        pairs = table.confusion[table.confusion[:, 0] != table.confusion[:, 1]]
    else:
        pairs = _missed_and_added(scored, threshold)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -pairs[:, 2]))[:limit]
    return [
        Confusion(true, predicted, often, often / max(1, int(table.support[true])))
        for true, predicted, often in pairs[order].tolist()
    ]


def _missed_and_added(scored: ScoredSamples, threshold: float) -> Ints:
    predicted, truth = scored.scores > threshold, scored.truth.astype(np.bool_)
    mistakes = (predicted != truth).sum(axis=0)
    classes = np.sort(np.argsort(-mistakes, kind="stable")[:MOST_PAIRED_CLASSES])
    missed = (truth & ~predicted)[:, classes].astype(np.float32)
    added = (predicted & ~truth)[:, classes].astype(np.float32)
    # float32 is exact up to 2^24, which is more than the images of a report.
    counts = (missed.T @ added).astype(np.int64)
    true, other = np.nonzero(counts)
    return np.stack([classes[true], classes[other], counts[true, other]], axis=1).astype(np.int64)


def confusion_counts(table: ClassTable, classes: Ints) -> Ints:
    """Counts of the images of `classes` by predicted class, of shape (K, K + 1); the last column is all others."""
    size = len(classes)
    position = np.full(len(table.support), size, dtype=np.int64)
    position[classes] = np.arange(size)
    counts = np.zeros((size, size + 1), dtype=np.int64)
    rows = table.confusion[position[table.confusion[:, 0]] < size]
    np.add.at(counts, (position[rows[:, 0]], position[rows[:, 1]]), rows[:, 2])
    return counts


def worst_classes(table: ClassTable, limit: int) -> Ints:
    """Indices of the classes with the lowest F1, those without images last; in output order."""
    order = np.argsort(np.nan_to_num(table.columns["f1"], nan=np.inf), kind="stable")
    return np.sort(order[:limit])


@attrs.frozen(eq=False)
class Reliability:
    """How often what was said with a confidence is so.

    Attributes:
        samples: Decisions in each bin of equal width, int64 of shape (bins,).
        confidence: Their mean confidence, float64 of shape (bins,), NaN for an empty bin.
        accuracy: The share of them that is so, likewise.
        error: Expected calibration error over all of them, in [0, 1].
    """

    samples: Ints
    confidence: Floats
    accuracy: Floats
    error: float


def reliability(scored: ScoredSamples, num_bins: int = CalibrationArgs().num_bins) -> Reliability:
    """Reliability diagram; bins and error are those of `expected_calibration_error`, Guo et al. 2017.

    Of multiclass the confidence is the highest score, and it is so if that class is the image's. Of multilabel each
    score of each class is a decision, and it is so if the image has the class.
    """
    truth = scored.truth
    if scored.task.task == "multiclass":
        confidence, correct = scored.scores.max(axis=1), scored.scores.argmax(axis=1) == truth
    else:
        confidence, correct = scored.scores.ravel(), truth.ravel().astype(np.bool_)
    confidence = np.nan_to_num(confidence)
    counts = count_bins(confidence, correct, num_bins)
    samples = count_bins(confidence, np.ones(len(confidence), dtype=np.bool_), num_bins)[0]
    with np.errstate(invalid="ignore"):
        means = counts[1] / 2.0**UNIT_BITS / samples
        shares = counts[0] / samples
    return Reliability(samples, means, shares, expected_calibration_error(counts, len(confidence)))


@attrs.frozen(eq=False)
class ThresholdCurve:
    """Precision, recall and F1 of multilabel decisions over the threshold.

    Attributes:
        precision: At each of `THRESHOLDS`, in [0, 1], float64 of shape (101,); NaN where nothing is predicted.
        recall: Likewise; 0 where there is nothing to be found.
        f1: Likewise.
        best: Index of the threshold with the highest F1, the one nearest to 0.5 of several.
    """

    precision: Floats
    recall: Floats
    f1: Floats
    best: int


def threshold_curves(scored: ScoredSamples) -> tuple[ThresholdCurve, list[ThresholdCurve]]:
    """Over all decisions together (micro), and for each class, in output order."""
    num_classes = len(scored.task.classes)
    truth = scored.truth.astype(np.bool_)
    shape = (num_classes, len(THRESHOLDS))
    hits, predicted = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for index in range(num_classes):
        scores = np.nan_to_num(scored.scores[:, index])
        predicted[index] = _above(scores)
        hits[index] = _above(scores[truth[:, index]])
    support = np.repeat(truth.sum(axis=0)[:, np.newaxis], len(THRESHOLDS), axis=1)
    micro = _curve(hits.sum(axis=0), predicted.sum(axis=0), support.sum(axis=0))
    return micro, [_curve(*counts) for counts in zip(hits, predicted, support, strict=True)]


def _above(scores: npt.NDArray[np.float32]) -> Ints:
    """How many scores are greater than each threshold."""
    above: Ints = len(scores) - np.searchsorted(np.sort(scores), THRESHOLDS, side="right")
    return above


def _curve(hits: Ints, predicted: Ints, support: Ints) -> ThresholdCurve:
    # One entry a threshold where training has one a class: the ratios are the same.
    counts = ClassCounts(hits, predicted, support)
    f1 = counts.by_class("f1")
    best = min(np.flatnonzero(f1 == f1.max()).tolist(), key=lambda i: abs(i - len(THRESHOLDS) // 2))
    precision = np.where(predicted > 0, counts.by_class("precision"), np.nan)
    return ThresholdCurve(precision, counts.by_class("recall"), f1, best)


def most_wrong(scored: ScoredSamples, threshold: float, limit: int) -> tuple[Ints, int]:
    """Images that were classified wrongly, the worst first, at most `limit` of them, and how many there are in all.

    Multiclass: by the score of the image's own class, the lowest first. Multilabel: by how far the worst wrong decision
    is from right.
    """
    truth, scores = scored.truth, np.nan_to_num(scored.scores)
    if scored.task.task == "multiclass":
        wrong = scores.argmax(axis=1) != truth
        badness = -np.take_along_axis(scores, truth[:, np.newaxis].astype(np.int64), axis=1)[:, 0]
    else:
        present = truth.astype(np.bool_)
        mistaken = (scores > threshold) != present
        wrong = mistaken.any(axis=1)
        badness = np.where(mistaken, np.abs(present - scores), -1.0).max(axis=1, initial=-1.0)
    indices = np.flatnonzero(wrong)
    order = np.argsort(-badness[indices], kind="stable")
    return indices[order[:limit]].astype(np.int64), len(indices)
