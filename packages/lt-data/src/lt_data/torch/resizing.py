"""PyTorch's native resize of uint8 images: the result of Pillow's to about a level, in a quarter of the time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from lt_data.task import Interpolation


def resize(pixels: npt.NDArray[np.uint8], size: tuple[int, int], interpolation: Interpolation) -> torch.Tensor:
    """Resize with antialiasing.

    Args:
        pixels: uint8 of shape (H, W, C).
        size: Height and width of the result.
        interpolation: Filter.

    Returns:
        uint8 of shape (C, height, width).
    """
    # A copy even of a whole image: PyTorch shares memory, and Pillow's must not be written to.
    batch = torch.from_numpy(np.array(pixels[np.newaxis], order="C")).permute(0, 3, 1, 2)
    if tuple(batch.shape[2:]) == size:
        return batch[0].contiguous()
    return functional.interpolate(batch, size=size, mode=interpolation, antialias=True)[0].contiguous()
