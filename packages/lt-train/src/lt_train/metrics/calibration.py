"""Whether a score means what it says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lt_train.metrics.exact import UNIT_BITS, to_units

Ints = npt.NDArray[np.int64]


def count_bins(confidence: npt.NDArray[np.float32], correct: npt.NDArray[np.bool_], num_bins: int) -> Ints:
    """Counts that the calibration error follows from, which can be added to others.

    Bin m of M holds confidences in (m / M, (m + 1) / M].

    Args:
        confidence: Score of the predicted class, float32 of shape (N,), in [0, 1].
        correct: Whether it is the sample's class, of shape (N,).
        num_bins: M.

    Returns:
        int64 of shape (2, num_bins): right predictions, and the sum of confidences in units of 2^-32.
    """
    # A float32 times at most 1000 is exact in float64, so a bin's edge is never a matter of rounding.
    bins = np.ceil(confidence.astype(np.float64) * num_bins).astype(np.int64) - 1
    bins = bins.clip(0, num_bins - 1)
    counts = np.zeros((2, num_bins), dtype=np.int64)
    np.add.at(counts[0], bins, correct.astype(np.int64))
    np.add.at(counts[1], bins, to_units(confidence))
    return counts


def expected_calibration_error(counts: Ints, samples: int) -> float:
    """Mean over samples of the gap between accuracy and mean confidence of their bin, in [0, 1]; 0 without samples.

    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    gaps: int = sum(abs((right << UNIT_BITS) - units) for right, units in counts.T.tolist())
    return gaps / (max(1, samples) << UNIT_BITS)
