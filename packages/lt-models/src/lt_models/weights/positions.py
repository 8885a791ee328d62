"""Position embeddings for images of another size."""

from __future__ import annotations

import math

import torch
from torch.nn import functional


def resample_positions(positions: torch.Tensor, grid: tuple[int, int], prefix: int) -> torch.Tensor | None:
    """Position embeddings for another grid of patches, bicubic with antialiasing, as timm does.

    Args:
        positions: Float of shape (1, prefix + n², D); the patches form a square.
        grid: Rows and columns of patches wanted.
        prefix: How many positions belong to other tokens; they stay.

    Returns:
        Float of shape (1, prefix + rows x columns, D); None where the given patches form no square.
    """
    count = positions.shape[1] - prefix
    side = math.isqrt(max(count, 0))
    if count < 1 or side * side != count:
        return None
    given = positions[:, prefix:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    wanted = functional.interpolate(given, grid, mode="bicubic", antialias=True)
    patches = wanted.permute(0, 2, 3, 1).flatten(1, 2).to(positions.dtype)
    return torch.cat([positions[:, :prefix], patches], dim=1)
