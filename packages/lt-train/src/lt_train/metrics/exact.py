"""Real numbers as integers, so that a sum is the same in any order and for any number of ranks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

UNIT_BITS = 32
"""Real numbers are counted in units of 2^-32, rounded once a number; 2^31 numbers of [0, 1] fit into an int64."""

LARGEST = 2.0**31
"""Numbers above it count as it, so that 2^32 whole parts fit into an int64."""


def to_units(values: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Numbers of [0, 1] in units of 2^-32, rounded to the nearest."""
    return np.rint(np.ldexp(values.astype(np.float64), UNIT_BITS)).astype(np.int64)


def exact_sum(values: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """A sum of numbers ≥ 0 that can be added to others.

    Returns:
        int64 of shape (3,): the sum of the whole parts, that of the rest in units of 2^-32, and how many numbers were
        not finite and are in neither.
    """
    finite = np.isfinite(values)
    kept = np.minimum(values[finite].astype(np.float64), LARGEST)
    whole = np.floor(kept)
    return np.array([whole.sum(dtype=np.int64), to_units(kept - whole).sum(), (~finite).sum()], dtype=np.int64)


def exact_mean(total: npt.NDArray[np.int64], count: int) -> float:
    """Mean of `count` numbers whose `exact_sum`s add up to `total`; NaN where one was not finite or there are none."""
    whole, units, broken = total.tolist()
    return float(Fraction(whole * 2**UNIT_BITS + units, count * 2**UNIT_BITS)) if count and not broken else float("nan")
