"""What a loader gives."""

from __future__ import annotations

from typing import NamedTuple

import torch


class TrainBatch(NamedTuple):
    """Training samples as they leave the worker; `Finisher` makes them the model's input.

    Attributes:
        images: uint8 of shape (N, C, H, W), a single sample without N.
        targets: Class indices, int64 of shape (N,); for multilabel 0 and 1, float32 of shape (N, classes).
        color_matrix: float32 of shape (N, 3, 3).
        contrast: float32 of shape (N,).
        sigma: Of the blur in pixels, float32 of shape (N,); 0 is none.
        kept: 1 for channels that stay, float32 of shape (N, C).
        erased: Top, left, height and width of the erased rectangle in pixels, int64 of shape (N, 4).
    """

    images: torch.Tensor
    targets: torch.Tensor
    color_matrix: torch.Tensor
    contrast: torch.Tensor
    sigma: torch.Tensor
    kept: torch.Tensor
    erased: torch.Tensor


class EvalBatch(NamedTuple):
    """Evaluation samples as `predict` and the edge see them.

    Attributes:
        images: float32 of shape (N, C, H, W), a single sample without N.
        targets: Class indices, int64 of shape (N,); for multilabel 0 and 1, float32 of shape (N, classes).
    """

    images: torch.Tensor
    targets: torch.Tensor
