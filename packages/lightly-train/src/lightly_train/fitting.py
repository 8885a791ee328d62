"""What labelled images say about scores: a temperature for the logits, and a threshold for each class."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Logits = npt.NDArray[np.float32]
Truth = npt.NDArray[np.int64] | npt.NDArray[np.bool_]

RANGE = 1024.0
"""A temperature is looked for from 1 / RANGE to RANGE."""
HALVINGS = 26
"""Of the range of its logarithm, which leaves a relative error below 1e-6."""
ROWS = 4096
"""So many images at once: the exponentials take memory for each image and class."""

UNKNOWN_THRESHOLD = 0.5
"""Of a class that no image has."""


def fit_temperature(logits: Logits, truth: Truth) -> float:
    """The temperature with the least log loss (Guo et al. 2017, "On Calibration of Modern Neural Networks", 4.2).

    A model that errs nowhere would want ever sharper scores. So, as in Platt 1999 ("Probabilistic Outputs for Support
    Vector Machines", 2.2), what counts as sure is (N + 1) / (N + 2) after N images, and not 1. Of few images the log
    loss itself can thus be greater than with a temperature of 1.

    Args:
        logits: float32 of shape (N, classes), N at least 1.
        truth: Class index of each image, int64 (N,); for multilabel whether it has each class, bool (N, classes).

    Returns:
        What divides the logits, from 1 / 1024 to 1024.
    """
    low, high = -math.log(RANGE), math.log(RANGE)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        # The loss is convex in 1 / temperature, so its slope tells on which side the least is.
        if _slope(logits, truth, math.exp(middle)) < 0:
            low = middle
        else:
            high = middle
    return math.exp(-(low + high) / 2)


def log_loss(logits: Logits, truth: Truth, temperature: float) -> float:
    """Mean cross entropy of softmax (multiclass) or sigmoid (multilabel) of `logits / temperature`, in nats."""
    total = 0.0
    for rows in _parts(len(logits)):
        scaled = logits[rows].astype(np.float64) / temperature
        if truth.ndim == 1:
            total += float(np.sum(np.logaddexp.reduce(scaled, axis=1) - scaled[_places(truth[rows])]))
        else:
            total += float(np.sum(np.logaddexp(0.0, np.where(truth[rows], -scaled, scaled))))
    return total / (len(logits) if truth.ndim == 1 else logits.size)


def fit_thresholds(scores: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """For each class the threshold with the greatest F1, in the middle between two scores; 0.5 where no image has it.

    Args:
        scores: Probabilities, float32 of shape (N, classes).
        truth: Whether each image has each class, bool of shape (N, classes).

    Returns:
        Values in (0, 1) that float32 holds exactly, so that every runtime compares with the same.
    """
    return tuple(_fit_threshold(scores[:, k], truth[:, k]) for k in range(scores.shape[1]))


def _slope(logits: Logits, truth: Truth, sharpness: float) -> float:
    """Derivative of the log loss by `sharpness`, which is 1 / temperature, times some positive constant."""
    total = 0.0
    for rows in _parts(len(logits)):
        part = logits[rows].astype(np.float64)
        expected = _softmax(part * sharpness) if truth.ndim == 1 else _sigmoid(part * sharpness)
        total += float(np.sum((expected - _targets(truth, rows, part.shape)) * part))
    return total


def _targets(truth: Truth, rows: slice, shape: tuple[int, ...]) -> Floats:
    """What scores of some images should be: sure of their class, but for one more image that anything may be."""
    if truth.ndim == 2:
        positive = int(np.count_nonzero(truth))
        negative = truth.size - positive
        return np.where(truth[rows], (positive + 1) / (positive + 2), 1 / (negative + 2))
    doubt = 1 / (len(truth) + 2)
    targets = np.full(shape, doubt / max(1, shape[1] - 1))
    targets[_places(truth[rows])] = 1 - doubt
    return targets


def _fit_threshold(scores: npt.NDArray[np.float32], present: npt.NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    falling, hits = scores[order], np.cumsum(present[order])
    below = np.append(falling[1:], np.float32(0.0))
    # Only between different scores can a threshold lie; above 0 all of them do.
    cuts = np.flatnonzero(falling > below)
    if not len(cuts) or not hits[-1]:
        return UNKNOWN_THRESHOLD
    f1 = 2 * hits[cuts] / (cuts + 1 + hits[-1])
    best = cuts[f1 == f1.max()]
    middles = [_between(below[i], falling[i]) for i in best]
    return min(middles, key=lambda threshold: abs(threshold - 0.5))


def _between(low: np.float32, high: np.float32) -> float:
    """A float32 that `high` exceeds and `low` does not, above 0."""
    middle = np.float32((float(low) + float(high)) / 2)
    return float(middle if low < middle < high else max(low, np.nextafter(np.float32(0.0), high)))


def _softmax(logits: Floats) -> Floats:
    powers: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _sigmoid(logits: Floats) -> Floats:
    half: Floats = 0.5 * np.tanh(0.5 * logits)
    return 0.5 + half


def _places(truth: Truth) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return np.arange(len(truth)), truth.astype(np.int64)


def _parts(count: int) -> list[slice]:
    return [slice(start, start + ROWS) for start in range(0, count, ROWS)]
