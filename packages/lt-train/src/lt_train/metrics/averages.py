"""Precision, recall and F1 of each class, and their averages."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from lt_train.metrics.config import Average

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@attrs.frozen(eq=False)
class ClassCounts:
    """What precision, recall and F1 follow from, int64 of shape (classes,) each.

    Attributes:
        true_positives: Samples of each class that were predicted as it.
        predicted: Samples predicted as each class.
        support: Samples of each class.
    """

    true_positives: Ints
    predicted: Ints
    support: Ints

    def by_class(self, key: str) -> Floats:
        """`"precision"`, `"recall"` or `"f1"` of each class, in [0, 1]; a ratio with nothing below it is 0."""
        above, below = self._ratio(key)
        return ratio(above, below)

    def average(self, key: str, average: Average) -> float:
        """The average over classes; 0 where nothing was counted.

        Macro and weighted leave out classes without a sample; micro counts what was predicted as one of them too.
        """
        if average == "micro":
            above, below = self._ratio(key)
            return float(above.sum()) / max(1.0, float(below.sum()))
        return mean_over_classes(self.by_class(key), self.support, average)

    def _ratio(self, key: str) -> tuple[Ints, Ints]:
        if key == "precision":
            return self.true_positives, self.predicted
        if key == "recall":
            return self.true_positives, self.support
        return 2 * self.true_positives, self.predicted + self.support


def ratio(above: Ints, below: Ints) -> Floats:
    """Elementwise ratio of counts, 0 where nothing is below."""
    quotient: Floats = above / np.maximum(below, 1)
    return quotient


def mean_over_classes(values: Floats, support: Ints, average: Average, empty: float = 0.0) -> float:
    """Mean of the classes that have samples, each alike (macro) or by its samples (weighted); `empty` for none."""
    present = support > 0
    if not present.any():
        return empty
    if average == "macro":
        return float(values[present].mean())
    return float((values[present] * support[present]).sum() / support.sum())
