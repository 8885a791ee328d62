"""What one process has counted, and how the counts of several become one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from lt_train.metrics.exact import exact_mean, exact_sum
from lt_train.metrics.plan import MetricPlan

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


class Ranks(Protocol):
    """The processes of a run, taken together."""

    def add_up(self, counts: Ints) -> Ints:
        """Sum of an array over the processes."""

    def collect(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Rows of all processes, each may bring another number of them."""


@attrs.frozen(eq=False)
class ClassTable:
    """Figures of each class, NaN where a class has none.

    Attributes:
        support: Samples of each class, int64 of shape (classes,).
        columns: By name, float64 of shape (classes,) each.
        confusion: Multiclass: rows of class index, predicted class index and how often, int64 of shape (K, 3), of the
            pairs that occur; of shape (0, 3) for multilabel.
    """

    support: Ints
    columns: Mapping[str, Floats]
    confusion: Ints

    def confusion_matrix(self) -> Ints:
        """How often each class (row) was predicted as each (column), int64 of shape (classes, classes)."""
        counts = np.zeros((len(self.support), len(self.support)), dtype=np.int64)
        counts[self.confusion[:, 0], self.confusion[:, 1]] = self.confusion[:, 2]
        return counts


class Tally(ABC):
    """Counts of scored samples; the metrics follow from them.

    Whoever counts a sample, in whichever batch and order, the values are the same to the bit.

    A sample with a score that is not finite is in the support of its classes and in nothing else: it is neither right
    nor wrong. One such sample, and no metric is defined.

    Attributes:
        plan: What is computed.
        counts: int64 arrays by name, which add up over processes.
        rows: Arrays by name of what was kept of each sample, one after the other; they are put together.
    """

    plan: MetricPlan
    counts: dict[str, Ints]
    rows: dict[str, list[npt.NDArray[Any]]]

    def __init__(self, plan: MetricPlan) -> None:
        self.plan = plan
        num_classes = len(plan.classes)
        self.counts = {
            name: np.zeros(num_classes, dtype=np.int64) for name in ("true_positives", "predicted", "support")
        }
        self.counts["samples"] = np.zeros(1, dtype=np.int64)
        self.counts["not_finite"] = np.zeros(1, dtype=np.int64)
        self.counts["loss"] = np.zeros(3, dtype=np.int64)
        self.rows = {}

    def update(self, scores: Scores, targets: npt.NDArray[Any]) -> None:
        """Count a batch.

        Args:
            scores: Probabilities, float32 of shape (N, classes).
            targets: Class indices of shape (N,); for multilabel 0 and 1, of shape (N, classes).
        """
        finite = np.isfinite(scores).all(axis=1)
        self.counts["samples"] += len(targets)
        self.counts["not_finite"] += (~finite).sum()
        self.counts["support"] += self._support(targets)
        self._count(scores[finite], targets[finite])

    def values(self) -> dict[str, float]:
        """Metrics by name, class-wise ones as `f1/cat`; NaN where one is not defined."""
        values = self._values()
        return dict.fromkeys(values, float("nan")) if self.not_finite else values

    def table(self) -> ClassTable:
        """Figures of each class; the confusions are those of samples with finite scores."""
        table = self._table()
        if not self.not_finite:
            return table
        undefined = {name: np.full_like(column, np.nan) for name, column in table.columns.items()}
        return attrs.evolve(table, columns=undefined)

    @abstractmethod
    def _support(self, targets: npt.NDArray[Any]) -> Ints:
        """Samples of each class, of shape (classes,)."""

    @abstractmethod
    def _count(self, scores: Scores, targets: npt.NDArray[Any]) -> None:
        """Count samples whose scores are all finite; as `update`."""

    @abstractmethod
    def _values(self) -> dict[str, float]:
        """What `values` gives, of the samples that `_count` has counted."""

    @abstractmethod
    def _table(self) -> ClassTable:
        """What `table` gives, likewise."""

    @property
    def samples(self) -> int:
        """How many samples were counted."""
        return int(self.counts["samples"][0])

    @property
    def not_finite(self) -> int:
        """How many of them have a score that is not finite."""
        return int(self.counts["not_finite"][0])

    def update_loss(self, losses: npt.NDArray[np.float32]) -> None:
        """Count the loss of each sample of a batch, ≥ 0, of shape (N,)."""
        self.counts["loss"] += exact_sum(losses)

    def mean_loss(self) -> float:
        """Mean loss of the samples; NaN where one is not finite or there are none."""
        return exact_mean(self.counts["loss"], self.samples)

    def reduce(self, ranks: Ranks) -> None:
        """Replace everything by what all processes have together."""
        sizes = np.cumsum([array.size for array in self.counts.values()])[:-1]
        total = ranks.add_up(np.concatenate([array.ravel() for array in self.counts.values()]))
        parts = np.split(total, sizes)
        self.counts = {
            name: part.reshape(array.shape) for (name, array), part in zip(self.counts.items(), parts, strict=True)
        }
        self.rows = {name: [ranks.collect(self._whole(name))] for name in self.rows}

    def content(self) -> dict[str, npt.NDArray[Any]]:
        """All of it, as arrays by name."""
        return {**self.counts, **{name: self._whole(name) for name in self.rows}}

    def restore(self, content: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from the `content` of another.

        Raises:
            KeyError: Something is missing.
            ValueError: Something has another shape.
        """
        for name, array in self.counts.items():
            if content[name].shape != array.shape:
                raise ValueError(f"{name} has shape {content[name].shape}, not {array.shape}")
        self.counts = {name: content[name].copy() for name in self.counts}
        self.rows = {name: [content[name]] for name in self.rows}

    def missing(self) -> tuple[str, ...]:
        """Names of the classes without a sample."""
        support = self.counts["support"]
        return tuple(name for name, count in zip(self.plan.classes, support, strict=True) if not count)

    def _whole(self, name: str) -> npt.NDArray[Any]:
        parts = self.rows[name]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _by_name(self, key: str, values: Floats) -> dict[str, float]:
        """Class-wise values; a class without a sample has none."""
        present = self.counts["support"] > 0
        return {
            f"{key}/{name}": float(value) if there else float("nan")
            for name, value, there in zip(self.plan.classes, values, present, strict=True)
        }


def present_only(values: Floats, support: Ints) -> Floats:
    """Values of classes that have samples, NaN for the others."""
    return np.where(support > 0, values, np.nan)
