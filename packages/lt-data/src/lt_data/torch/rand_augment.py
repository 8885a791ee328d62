"""RandAugment on uint8 images: Cubuk et al. 2019, https://arxiv.org/abs/1909.13719."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from lt_data.task import Preprocessing
from lt_data.torch.color import mean_color
from lt_data.transform_config import RandAugment

MAX_MAGNITUDE = 30.0
MAX_ANGLE = 30.0
"""Degrees; this and the next three are the ends of AutoAugment's ranges (https://arxiv.org/abs/1805.09501, table 6)."""
MAX_SHEAR = 0.3
MAX_SHIFT = 0.45
"""Of the side; 150 of 331 pixels in the paper."""
MAX_ENHANCEMENT = 0.9
MIN_BITS = 4

Fill = tuple[int, int, int]
Operation = Callable[[Image.Image, float, Fill], Image.Image]


def rand_augment(
    pixels: torch.Tensor, config: RandAugment, spec: Preprocessing, rng: np.random.Generator
) -> torch.Tensor:
    """Apply `config.num_ops` operations to an RGB image, uint8 of shape (3, H, W); uncovered parts get the mean."""
    image = Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
    red, green, blue = mean_color(spec)
    for choice in rng.integers(len(OPERATIONS), size=config.num_ops):
        level = config.magnitude / MAX_MAGNITUDE * (1.0 if rng.random() < 0.5 else -1.0)
        image = OPERATIONS[int(choice)](image, level, (red, green, blue))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _affine(image: Image.Image, matrix: tuple[float, float, float, float, float, float], fill: Fill) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=fill)


def _shear_x(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    slope = MAX_SHEAR * level
    return _affine(image, (1, slope, -slope * image.height / 2, 0, 1, 0), fill)


def _shear_y(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    slope = MAX_SHEAR * level
    return _affine(image, (1, 0, 0, slope, 1, -slope * image.width / 2), fill)


def _shift_x(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    return _affine(image, (1, 0, MAX_SHIFT * level * image.width, 0, 1, 0), fill)


def _shift_y(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    return _affine(image, (1, 0, 0, 0, 1, MAX_SHIFT * level * image.height), fill)


def _turn(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    return image.rotate(MAX_ANGLE * level, Image.Resampling.BILINEAR, fillcolor=fill)


def _solarize(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    return ImageOps.solarize(image, round(256 * (1 - abs(level))))


def _posterize(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    return ImageOps.posterize(image, 8 - round((8 - MIN_BITS) * abs(level)))


def _color(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    return ImageEnhance.Color(image).enhance(1 + MAX_ENHANCEMENT * level)


def _contrast(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(1 + MAX_ENHANCEMENT * level)


def _brightness(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1 + MAX_ENHANCEMENT * level)


def _sharpness(image: Image.Image, level: float, fill: Fill) -> Image.Image:
    return ImageEnhance.Sharpness(image).enhance(1 + MAX_ENHANCEMENT * level)


OPERATIONS: tuple[Operation, ...] = (
    lambda image, level, fill: image,
    lambda image, level, fill: ImageOps.autocontrast(image),
    lambda image, level, fill: ImageOps.equalize(image),
    _turn,
    _solarize,
    _posterize,
    _color,
    _contrast,
    _brightness,
    _sharpness,
    _shear_x,
    _shear_y,
    _shift_x,
    _shift_y,
)
"""The paper's fourteen, each of (image, level in [-1, 1], colour of what is uncovered)."""
