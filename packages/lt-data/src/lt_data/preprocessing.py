"""The only evaluation preprocessing: validation, `predict` and the edge runtime all run this code."""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt
from PIL import Image

from lt_data.task import Interpolation, Preprocessing

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
"""Pillow's filters; all widen with the scale when shrinking (antialiasing)."""


@attrs.frozen
class Box:
    """A rectangle of whole pixels.

    Attributes:
        top: First row.
        left: First column.
        height: Rows.
        width: Columns.
    """

    top: int
    left: int
    height: int
    width: int


def preprocess(image: npt.NDArray[np.uint8], spec: Preprocessing) -> npt.NDArray[np.float32]:
    """Turn a decoded image into the model's input: crop or border, antialiased resize, normalisation.

    Args:
        image: uint8 of shape (H, W, C), values 0 to 255, with C = `spec.num_channels`.
        spec: What to do.

    Returns:
        float32 of shape (C, height, width) with height and width of `spec.image_size`.
    """
    return normalize(fit_size(image, spec), spec)


def fit_size(image: npt.NDArray[np.uint8], spec: Preprocessing) -> npt.NDArray[np.uint8]:
    """Bring an image, uint8 (H, W, C), to `spec.image_size` in the way of `spec.resize_mode`."""
    height, width = image.shape[:2]
    if spec.resize_mode == "letterbox":
        return _letterbox(image, spec)
    box = Box(0, 0, height, width) if spec.resize_mode == "squash" else center_box(height, width, spec)
    return crop_and_resize(image, box, spec.image_size, spec.interpolation)


def _letterbox(image: npt.NDArray[np.uint8], spec: Preprocessing) -> npt.NDArray[np.uint8]:
    """The whole image in the middle of a border whose colour is nearest to zero after normalisation."""
    height, width = image.shape[:2]
    scale = min(spec.image_size[0] / height, spec.image_size[1] / width)
    inner = (max(1, math.floor(height * scale + 0.5)), max(1, math.floor(width * scale + 0.5)))
    color = np.clip(np.floor(np.asarray(spec.mean) * 255.0 + 0.5), 0, 255).astype(np.uint8)
    canvas = np.empty((*spec.image_size, image.shape[2]), dtype=np.uint8)
    canvas[:] = color
    top, left = (spec.image_size[0] - inner[0]) // 2, (spec.image_size[1] - inner[1]) // 2
    whole = Box(0, 0, height, width)
    canvas[top : top + inner[0], left : left + inner[1]] = crop_and_resize(image, whole, inner, spec.interpolation)
    return canvas


def center_box(height: int, width: int, spec: Preprocessing) -> Box:
    """The centred part of a (height, width) image that the model sees, in whole pixels of the source.

    Cropping before resizing has the field of view of the customary resize-then-crop, resamples only what is kept,
    and can be written exactly in any language.
    """
    target_height, target_width = spec.image_size
    scale = min(height / target_height, width / target_width) / spec.resize_scale
    box_height = min(height, max(1, math.floor(target_height * scale + 0.5)))
    box_width = min(width, max(1, math.floor(target_width * scale + 0.5)))
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width)


def crop_and_resize(
    image: npt.NDArray[np.uint8], box: Box, size: tuple[int, int], interpolation: Interpolation
) -> npt.NDArray[np.uint8]:
    """Cut `box` out of an image and resize it with antialiasing.

    Args:
        image: uint8 of shape (H, W, C).
        box: Part to keep, inside the image.
        size: (height, width) of the result in pixels.
        interpolation: Filter.

    Returns:
        uint8 of shape (height, width, C).
    """
    part = image[box.top : box.top + box.height, box.left : box.left + box.width]
    if part.shape[2] == 3:
        return _resize(part, size, interpolation)
    # Band by band, since Pillow would weight the colours of four-channel images by their alpha.
    bands = [_resize(part[:, :, band], size, interpolation) for band in range(part.shape[2])]
    return np.stack(bands, axis=2)


def _resize(
    pixels: npt.NDArray[np.uint8], size: tuple[int, int], interpolation: Interpolation
) -> npt.NDArray[np.uint8]:
    height, width = size
    image = Image.fromarray(np.ascontiguousarray(pixels))
    # Rows first, by a call of its own: what comes first in one call, which decides how the 8-bit result in between is
    # rounded and clipped, depends on Pillow's version (13 differs from 12).
    narrow = image.resize((width, image.height), FILTERS[interpolation])
    return np.asarray(narrow.resize((width, height), FILTERS[interpolation]))


def normalize(image: npt.NDArray[np.uint8], spec: Preprocessing) -> npt.NDArray[np.float32]:
    """(x / 255 - mean) / std by channel, from uint8 (H, W, C) to float32 (C, H, W)."""
    mean = np.asarray(spec.mean, dtype=np.float64)
    std = np.asarray(spec.std, dtype=np.float64)
    scale = (1.0 / (255.0 * std)).astype(np.float32)
    offset = (-mean / std).astype(np.float32)
    channels_first: npt.NDArray[np.float32] = image.transpose(2, 0, 1).astype(np.float32, order="C")
    channels_first *= scale[:, np.newaxis, np.newaxis]
    channels_first += offset[:, np.newaxis, np.newaxis]
    return channels_first
