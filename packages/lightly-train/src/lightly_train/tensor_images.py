"""Images that are tensors, as the arrays that lt-data reads."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from lt_data import ImageDecodeError, ImageLike


def without_tensors(images: Sequence[ImageLike | torch.Tensor]) -> Sequence[ImageLike]:
    """The same images, those that are tensors as arrays.

    Raises:
        ImageDecodeError: A tensor is not an image, or a single image was given.
    """
    if isinstance(images, (str, bytes, os.PathLike, Image.Image)):
        raise ImageDecodeError("expected a list of images; `predict` takes a single one")
    return [as_array(image) if isinstance(image, torch.Tensor) else image for image in images]


def as_array(image: torch.Tensor) -> npt.NDArray[np.uint8]:
    """An image of shape (C, H, W), uint8 or float in [0, 1], as uint8 of shape (H, W, C).

    Raises:
        ImageDecodeError: It has another shape, type or range.
    """
    if image.ndim != 3 or not (image.dtype == torch.uint8 or image.dtype.is_floating_point):
        raise ImageDecodeError(
            f"expected a tensor of shape (C, H, W), uint8 or float in [0, 1], got {image.dtype} of {tuple(image.shape)}"
        )
    if image.dtype != torch.uint8:
        if not bool(((image >= 0) & (image <= 1)).all()):
            raise ImageDecodeError("a float tensor must lie in [0, 1]; pass uint8 for values from 0 to 255")
        image = (image * 255).round().to(torch.uint8)
    return image.permute(1, 2, 0).cpu().numpy()
