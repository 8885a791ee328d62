"""Images that are tensors, as the arrays that lt-data reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from lt_data import ImageDecodeError, ImageLike, check_several


def without_tensors(images: Sequence[ImageLike | torch.Tensor], num_channels: int) -> Sequence[ImageLike]:
    """The same images, those that are tensors as arrays, for a model of `num_channels`.

    Raises:
        ImageDecodeError: A tensor is not an image.
        PredictionArgumentError: `images` is a single image.
    """
    check_several(images)
    return [as_array(image, num_channels) if isinstance(image, torch.Tensor) else image for image in images]


def as_array(image: torch.Tensor, num_channels: int) -> npt.NDArray[np.uint8]:
    """An image of shape (C, H, W), uint8 or float in [0, 1], as uint8 of shape (H, W, C).

    Raises:
        ImageDecodeError: It has another shape, type or range.
    """
    if image.ndim != 3 or not (image.dtype == torch.uint8 or image.dtype.is_floating_point):
        raise ImageDecodeError(
            f"expected a tensor of shape (C, H, W), uint8 or float in [0, 1], got {image.dtype} of {tuple(image.shape)}"
        )
    can_be_had = (1, 3, 4, num_channels)
    if image.shape[0] not in can_be_had:
        hint = "; (H, W, C) becomes (C, H, W) by tensor.permute(2, 0, 1)" if image.shape[2] in can_be_had else ""
        raise ImageDecodeError(
            f"expected a tensor of shape (C, H, W) for {num_channels} channels, got {tuple(image.shape)}{hint}"
        )
    if image.dtype != torch.uint8:
        if not bool(((image >= 0) & (image <= 1)).all()):
            raise ImageDecodeError("a float tensor must lie in [0, 1]; pass uint8 for values from 0 to 255")
        image = (image * 255).round().to(torch.uint8)
    return image.permute(1, 2, 0).cpu().numpy()
