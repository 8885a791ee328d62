"""From stored values to 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

MOST_LEVELS = 2**16


def linear(values: Floats, black: float, white: float) -> Floats:
    """Brightness from 0 at `black` (and beyond) to 1 at `white`, which may be the smaller."""
    return np.clip((values - black) / (white - black), 0.0, 1.0)


def eight_bit(brightness: Floats) -> npt.NDArray[np.uint8]:
    """Brightness from 0 to 1 as 0 to 255, rounded."""
    return np.floor(brightness * 255.0 + 0.5).astype(np.uint8)


def through(stored: npt.NDArray[Any], brightness: Callable[[Floats], Floats]) -> npt.NDArray[np.uint8]:
    """8-bit pixels of stored values by a function from values to brightness in [0, 1].

    The function sees each value at least once, but integers within 16 bits only once each, which is many times faster.

    Raises:
        ValueError: Values are NaN or infinite, or `brightness` raised it.
    """
    if stored.dtype.kind == "f":
        if not np.isfinite(stored).all():
            raise ValueError("holds NaN or infinity")
        return eight_bit(brightness(stored.astype(np.float64)))
    lowest, highest = int(stored.min()), int(stored.max())
    if highest - lowest >= MOST_LEVELS:
        return eight_bit(brightness(stored.astype(np.float64)))
    steps = (stored.astype(np.int64) - lowest).astype(np.uint16)
    is_used = np.zeros(highest - lowest + 1, dtype=bool)
    is_used[steps] = True
    table = np.zeros(is_used.shape, dtype=np.uint8)
    table[is_used] = eight_bit(brightness(np.flatnonzero(is_used).astype(np.float64) + lowest))
    return table[steps]
