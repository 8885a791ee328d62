"""Metrics of tasks with one class an image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lt_train.metrics.averages import ClassCounts, mean_over_classes, ratio
from lt_train.metrics.calibration import count_bins, expected_calibration_error
from lt_train.metrics.plan import MetricPlan
from lt_train.metrics.tally import ClassTable, Ints, Scores, Tally, present_only

COLUMNS = ("precision", "recall", "f1")


class MulticlassTally(Tally):
    """Counts from which every multiclass metric follows.

    A score's rank obeys the rule of `predict`: higher scores first, ties in output order. So top-1 accuracy counted
    here is exactly the accuracy counted from `predict`.

    Attributes:
        counts: `true_positives`, `predicted` and `support` by class; `hits`, of shape (len(topk), classes), samples of
            each class that are among the k best; `bins` of the calibration error.
        rows: `pairs`, class * classes + predicted class of each sample, int64.
    """

    def __init__(self, plan: MetricPlan) -> None:
        super().__init__(plan)
        self.counts["hits"] = np.zeros((len(plan.topk), len(plan.classes)), dtype=np.int64)
        self.counts["bins"] = np.zeros((2, plan.num_bins), dtype=np.int64)
        self.rows["pairs"] = [np.empty(0, dtype=np.int64)]

    def _support(self, targets: npt.NDArray[Any]) -> Ints:
        return np.bincount(targets, minlength=len(self.plan.classes))

    def _count(self, scores: Scores, targets: npt.NDArray[Any]) -> None:
        num_classes = len(self.plan.classes)
        predicted = scores.argmax(axis=1)
        correct = predicted == targets
        self.counts["predicted"] += np.bincount(predicted, minlength=num_classes)
        self.counts["true_positives"] += np.bincount(targets[correct], minlength=num_classes)
        self.rows["pairs"].append(targets.astype(np.int64) * num_classes + predicted)
        if self.plan.topk:
            own = np.take_along_axis(scores, targets[:, np.newaxis], axis=1)
            earlier = np.arange(num_classes) < targets[:, np.newaxis]
            rank = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
            for hits, k in zip(self.counts["hits"], self.plan.topk, strict=True):
                hits += np.bincount(targets[rank < k], minlength=num_classes)
        if self.plan.num_bins:
            self.counts["bins"] += count_bins(scores.max(axis=1), correct, self.plan.num_bins)

    def _values(self) -> dict[str, float]:
        """All in [0, 1], but for Matthews' coefficient in [-1, 1]."""
        values: dict[str, float] = {}
        support = self.counts["support"]
        for k, hits in zip(self.plan.topk, self.counts["hits"], strict=True):
            for average in self.plan.averages("accuracy"):
                micro = float(hits.sum()) / max(1, self.samples)
                by_class = mean_over_classes(ratio(hits, support), support, average) if average != "micro" else micro
                values[f"top{k}_acc_{average}"] = by_class
        for key in ("f1", "precision", "recall"):
            values |= {f"{key}_{average}": self._classes.average(key, average) for average in self.plan.averages(key)}
        if "balanced_accuracy" in self.plan.metrics:
            values["balanced_accuracy"] = self._classes.average("recall", "macro")
        if "matthews_corrcoef" in self.plan.metrics:
            values["matthews_corrcoef"] = matthews_corrcoef(self._classes)
        if self.plan.num_bins:
            values["expected_calibration_error"] = expected_calibration_error(self.counts["bins"], self.samples)
        if self.plan.classwise:
            for key in ("f1", "precision", "recall"):
                values |= self._by_name(key, self._classes.by_class(key)) if key in self.plan.metrics else {}
        return values

    def _table(self) -> ClassTable:
        """Precision, recall, F1 and support of each class, and the confusions."""
        support = self.counts["support"]
        columns = {key: present_only(self._classes.by_class(key), support) for key in COLUMNS}
        return ClassTable(support.copy(), columns, self._confusion())

    def _confusion(self) -> Ints:
        pairs, often = np.unique(self._whole("pairs"), return_counts=True)
        return np.stack([*np.divmod(pairs, len(self.plan.classes)), often], axis=1).astype(np.int64)

    @property
    def _classes(self) -> ClassCounts:
        return ClassCounts(self.counts["true_positives"], self.counts["predicted"], self.counts["support"])


def matthews_corrcoef(counts: ClassCounts) -> float:
    """Correlation of class and prediction, in [-1, 1]; 0 where either is always the same.

    Gorodkin: Comparing two K-category assignments by a K-category correlation coefficient, 2004, in integers until the
    last division.
    """
    right = int(counts.true_positives.sum())
    total = int(counts.support.sum())
    truth, predicted = counts.support.tolist(), counts.predicted.tolist()
    both = right * total - sum(t * p for t, p in zip(truth, predicted, strict=True))
    of_truth = total * total - sum(t * t for t in truth)
    of_predicted = total * total - sum(p * p for p in predicted)
    return both / (math.sqrt(of_truth) * math.sqrt(of_predicted)) if of_truth and of_predicted else 0.0
