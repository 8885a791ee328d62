"""Whether two runtimes of one model say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from lt_data import TaskSpec

MULTILABEL_THRESHOLD = 0.5


@attrs.frozen
class Agreement:
    """How scores compare.

    Attributes:
        largest_difference: Of any score; NaN where a score is not finite.
        agreement: Share of images with the same best class (multiclass) or the same classes above 0.5 (multilabel),
            where scores nearer to each other than the limit count as equal. Where the task has thresholds of its own,
            the smaller of this share and that above these.
        images: How many were compared.
    """

    largest_difference: float
    agreement: float
    images: int

    def __str__(self) -> str:
        return (
            f"{self.images} images, largest score difference {self.largest_difference:.1e}, "
            f"{self.agreement:.2%} with the same labels"
        )


@attrs.frozen
class Limits:
    """What is allowed.

    Attributes:
        difference: Of a score.
        agreement: Least share of images with the same labels.
    """

    difference: float
    agreement: float

    def allow(self, found: Agreement) -> bool:
        """Whether `found` keeps to them; NaN does not."""
        return found.largest_difference <= self.difference and found.agreement >= self.agreement


LIMITS: Mapping[str, Limits] = {
    # Rounding alone stays below 1e-5.
    "fp32": Limits(1e-4, 1.0),
    "fp16": Limits(5e-3, 0.999),
    # Between machines with and without instructions for 8-bit products; the loss against fp32 has a limit of its own.
    "int8": Limits(5e-2, 0.98),
}
"""By precision of the weights."""


def label_thresholds(task: TaskSpec) -> Sequence[npt.NDArray[np.float32]]:
    """Thresholds that labels may come from, each float32 of shape (classes,): 0.5, and the task's own where it has any.

    Args:
        task: Multilabel.
    """
    own = task.calibration.thresholds
    fixed = np.full(len(task.classes), MULTILABEL_THRESHOLD, np.float32)
    return [fixed] if own is None else [fixed, np.array(own, np.float32)]


def compare(
    found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], task: TaskSpec, tolerance: float
) -> Agreement:
    """Compare scores of the same images, each float32 of shape (N, classes), N ≥ 1."""
    if task.task == "multiclass":
        chosen = np.take_along_axis(expected, found.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
        share = (chosen >= expected.max(axis=1) - tolerance).mean()
    else:
        share = min(_share_alike(found, expected, thresholds, tolerance) for thresholds in label_thresholds(task))
    return Agreement(float(np.abs(found - expected).max()), float(share), len(expected))


def _share_alike(
    found: npt.NDArray[np.float32],
    expected: npt.NDArray[np.float32],
    thresholds: npt.NDArray[np.float32],
    tolerance: float,
) -> float:
    """Share of images with the same classes above the thresholds; scores within `tolerance` of these count as equal."""
    alike = (found > thresholds) == (expected > thresholds)
    return float((alike | (np.abs(expected - thresholds) <= tolerance)).all(axis=1).mean())
