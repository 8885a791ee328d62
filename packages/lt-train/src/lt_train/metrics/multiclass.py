"""Metrics of tasks with one class an image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

TOP_K = (1, 5)


class MulticlassCounts:
    """Counts from which every metric follows.

    A score's rank obeys the rule of `predict`: higher scores first, ties in output order. So top-1 accuracy counted
    here is exactly the accuracy counted from `predict`.

    Attributes:
        true_positives: Samples of each class that were predicted as it, int64 of shape (classes,).
        predicted: Samples predicted as each class, int64 of shape (classes,).
        support: Samples of each class, int64 of shape (classes,).
        hits: Samples whose class is among the k best, int64, one for each of `TOP_K`.
    """

    def __init__(self, num_classes: int) -> None:
        self.true_positives = np.zeros(num_classes, dtype=np.int64)
        self.predicted = np.zeros(num_classes, dtype=np.int64)
        self.support = np.zeros(num_classes, dtype=np.int64)
        self.hits = np.zeros(len(TOP_K), dtype=np.int64)

    def update(self, scores: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]) -> None:
        """Count a batch.

        Args:
            scores: Probabilities, float32 of shape (N, classes).
            targets: Class indices of shape (N,).
        """
        num_classes = len(self.support)
        predicted = scores.argmax(axis=1)
        self.predicted += np.bincount(predicted, minlength=num_classes)
        self.support += np.bincount(targets, minlength=num_classes)
        self.true_positives += np.bincount(targets[predicted == targets], minlength=num_classes)
        own = np.take_along_axis(scores, targets[:, np.newaxis], axis=1)
        earlier = np.arange(num_classes) < targets[:, np.newaxis]
        rank = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
        self.hits += np.array([(rank < k).sum() for k in TOP_K], dtype=np.int64)

    def reduce(self, add_up: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]]) -> None:
        """Replace every count by its sum over ranks, which `add_up` computes for one array."""
        parts = [self.true_positives, self.predicted, self.support, self.hits]
        total = add_up(np.concatenate(parts))
        splits = np.cumsum([len(part) for part in parts])[:-1]
        self.true_positives, self.predicted, self.support, self.hits = np.split(total, splits)

    def compute(self) -> dict[str, float]:
        """Metrics by name, each in [0, 1]; macro averages leave out classes without a sample."""
        return multiclass_metrics(self.true_positives, self.predicted, self.support, self.hits)


def metric_names(num_classes: int) -> list[str]:
    """The metrics that `compute` gives for so many classes."""
    zeros = np.zeros(num_classes, dtype=np.int64)
    return list(multiclass_metrics(zeros, zeros, zeros, np.zeros(len(TOP_K), dtype=np.int64)))


def multiclass_metrics(
    true_positives: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    support: npt.NDArray[np.int64],
    hits: npt.NDArray[np.int64],
) -> dict[str, float]:
    """Accuracies, and precision, recall and F1 averaged over classes; a ratio with nothing below it counts 0."""
    total = max(1, int(support.sum()))
    present = support > 0
    precision = _ratio(true_positives, predicted)
    recall = _ratio(true_positives, support)
    f1 = _ratio(2 * true_positives, predicted + support)
    accuracies = {
        f"top{k}_acc_micro": float(hit) / total
        for k, hit in zip(TOP_K, hits, strict=True)
        if k == 1 or len(support) > k
    }
    return {
        **accuracies,
        "f1_macro": _mean(f1[present]),
        "precision_macro": _mean(precision[present]),
        "recall_macro": _mean(recall[present]),
    }


def _ratio(above: npt.NDArray[np.int64], below: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return above / np.maximum(below, 1)


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
