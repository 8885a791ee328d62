"""Images that every machine and language makes alike, to the bit: for verification, self-tests and benchmarks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lt_data import Preprocessing

PROBES = 3
"""So many of them have their scores in an exported file."""


def probe_images(spec: Preprocessing, count: int) -> list[npt.NDArray[np.uint8]]:
    """Triangular waves of several directions and lengths with an inverted rectangle, from integers alone.

    Noise, which is alike everywhere, would hide errors of position and of scale. Their sizes differ, so that resizing
    is tried both ways.

    Args:
        spec: Gives the number of channels, and the size that theirs are near.
        count: How many.

    Returns:
        uint8 arrays of shape (H, W, C); the first `k` are the same for any `count`.
    """
    return [_probe(spec, i) for i in range(count)]


def _probe(spec: Preprocessing, number: int) -> npt.NDArray[np.uint8]:
    quarters = (7, 5, 4, 3)[number % 4]
    height, width = (max(2, side * quarters // 4 + number % 3) for side in spec.image_size)
    rows, columns = np.mgrid[0:height, 0:width]
    length = max(height, width)
    bands = []
    for band in range(spec.num_channels):
        slope_down, slope_right = number % 5 + band + 1, (number * 3 + band * 2) % 7 - 3
        bands.append(_triangle(rows * slope_down + columns * slope_right, length))
    image = np.stack(bands, axis=2).astype(np.uint8)
    top, left = height // (number % 3 + 3), width // (number % 4 + 2)
    image[top : top + height // 3, left : left + width // 3] ^= 255
    return image


def _triangle(place: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """0 to 255 and back to 0 every 2 x `length` pixels."""
    return np.abs(place % (2 * length) - length) * 255 // length
