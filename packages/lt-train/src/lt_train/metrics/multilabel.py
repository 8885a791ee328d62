"""Metrics of tasks with any number of classes an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lt_train.metrics.averages import ClassCounts, mean_over_classes
from lt_train.metrics.config import Average
from lt_train.metrics.plan import MetricPlan
from lt_train.metrics.ranking import auroc, average_precision, rank
from lt_train.metrics.tally import ClassTable, Floats, Ints, Scores, Tally, present_only

RANKINGS = {"auroc": auroc, "average_precision": average_precision}


class MultilabelTally(Tally):
    """Counts from which every multilabel metric follows, and the scores where counts do not do.

    A class counts as predicted by the rule of `predict`: where its score is greater than the threshold.

    Attributes:
        counts: `true_positives`, `predicted` and `support` by class; `exact`, samples whose labels are all right.
        rows: Where AUROC or average precision is asked for, `scores`, float32 of shape (N, classes), and `targets`,
            bool of the same shape.
    """

    def __init__(self, plan: MetricPlan) -> None:
        super().__init__(plan)
        self.counts["exact"] = np.zeros(1, dtype=np.int64)
        self._ranked: tuple[int, dict[str, Floats]] | None = None
        if plan.keeps_scores:
            self.rows["scores"] = [np.empty((0, len(plan.classes)), dtype=np.float32)]
            self.rows["targets"] = [np.empty((0, len(plan.classes)), dtype=np.bool_)]

    def _support(self, targets: npt.NDArray[Any]) -> Ints:
        support: Ints = (targets > 0.5).sum(axis=0)
        return support

    def _count(self, scores: Scores, targets: npt.NDArray[Any]) -> None:
        present = targets > 0.5
        predicted = scores > np.asarray(self.plan.threshold, dtype=np.float32)
        self.counts["predicted"] += predicted.sum(axis=0)
        self.counts["true_positives"] += (predicted & present).sum(axis=0)
        self.counts["exact"] += (predicted == present).all(axis=1).sum()
        if self.plan.keeps_scores:
            self.rows["scores"].append(scores)
            self.rows["targets"].append(present)

    def _values(self) -> dict[str, float]:
        """All in [0, 1]; rankings NaN where no class has both samples with it and without."""
        plan, classes = self.plan, self._classes
        rankings = self._rankings()
        decisions = max(1, self.samples * len(plan.classes))
        wrong = int((classes.predicted + classes.support - 2 * classes.true_positives).sum())
        plain = {
            "accuracy": (decisions - wrong) / decisions if self.samples else 0.0,
            "hamming_distance": wrong / decisions,
            "exact_match": int(self.counts["exact"][0]) / max(1, self.samples),
        }
        values: dict[str, float] = {}
        for key in plan.metrics:
            if key in plain:
                values[key] = plain[key]
            elif key in RANKINGS:
                for average in plan.averages(key):
                    values[f"{key}_{average}"] = self._average(key, rankings[key], average)
            else:
                values |= {f"{key}_{average}": classes.average(key, average) for average in plan.averages(key)}
        if plan.classwise:
            for key in plan.metrics:
                if key not in plain:
                    values |= self._by_name(key, rankings[key] if key in rankings else classes.by_class(key))
        return values

    def _table(self) -> ClassTable:
        """Precision, recall, F1, average precision, AUROC and support of each class."""
        support = self.counts["support"]
        columns = {key: present_only(self._classes.by_class(key), support) for key in ("precision", "recall", "f1")}
        off = np.full(len(support), np.nan)
        columns |= {key: self._rankings().get(key, off) for key in ("average_precision", "auroc")}
        return ClassTable(support.copy(), columns, np.empty((0, 3), dtype=np.int64))

    @property
    def _classes(self) -> ClassCounts:
        return ClassCounts(self.counts["true_positives"], self.counts["predicted"], self.counts["support"])

    def _rankings(self) -> dict[str, Floats]:
        """Ranking metrics of each class, NaN where they are not defined; sorting takes long, so they are kept."""
        if self._ranked is None or self._ranked[0] != self.samples:
            keys = [key for key in RANKINGS if key in self.plan.metrics]
            columns = np.empty((len(keys), len(self.plan.classes)))
            if keys:
                scores, targets = self._whole("scores"), self._whole("targets")
                for i in range(len(self.plan.classes)):
                    ranking = rank(scores[:, i], targets[:, i])
                    columns[:, i] = [RANKINGS[key](ranking) for key in keys]
            self._ranked = self.samples, dict(zip(keys, columns, strict=True))
        return self._ranked[1]

    def _average(self, key: str, by_class: Floats, average: Average) -> float:
        """Average over the classes that have a value."""
        if average == "micro":
            return RANKINGS[key](rank(self._whole("scores").ravel(), self._whole("targets").ravel()))
        defined = np.where(np.isnan(by_class), 0, self.counts["support"])
        return mean_over_classes(np.nan_to_num(by_class), defined, average, empty=float("nan"))
