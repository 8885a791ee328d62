"""Whether two runtimes of one model say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs
import numpy as np
import numpy.typing as npt

MULTILABEL_THRESHOLD = 0.5


@attrs.frozen
class Agreement:
    """How scores compare.

    Attributes:
        largest_difference: Of any score; NaN where a score is not finite.
        agreement: Share of images with the same best class (multiclass) or the same classes above 0.5 (multilabel),
            where scores nearer to each other than the limit count as equal.
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


def compare(
    found: npt.NDArray[np.float32],
    expected: npt.NDArray[np.float32],
    task: Literal["multiclass", "multilabel"],
    tolerance: float,
) -> Agreement:
    """Compare scores of the same images, each float32 of shape (N, classes), N ≥ 1."""
    if task == "multiclass":
        chosen = np.take_along_axis(expected, found.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
        same = chosen >= expected.max(axis=1) - tolerance
    else:
        alike = (found > MULTILABEL_THRESHOLD) == (expected > MULTILABEL_THRESHOLD)
        same = (alike | (np.abs(expected - MULTILABEL_THRESHOLD) <= tolerance)).all(axis=1)
    return Agreement(float(np.abs(found - expected).max()), float(same.mean()), len(expected))
