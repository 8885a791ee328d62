"""Training augmentation: geometry on uint8 in the worker, colour and normalisation in batches on the device."""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt
import torch

from lt_data.preprocessing import Box, crop_and_resize, fit_size
from lt_data.task import Preprocessing
from lt_data.transform_config import ColorJitter, RandomCrop, RandomFlip, TransformConfig

CROP_RATIO = (3 / 4, 4 / 3)
"""Bounds of the crop's width / height, from Szegedy et al. 2015, https://arxiv.org/abs/1409.4842."""
CROP_ATTEMPTS = 10

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B in luma Y', ITU-R BT.601."""
RGB_TO_YIQ = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
"""NTSC's YIQ: luma, and two axes of colour in whose plane a rotation changes hue and keeps luma."""


@attrs.frozen
class ColorChange:
    """A linear change of colour: x to matrix @ x, then contrast around the image's mean luma.

    Attributes:
        matrix: float32 of shape (3, 3).
        contrast: Factor, at least 0; 1 changes nothing.
    """

    matrix: npt.NDArray[np.float32]
    contrast: float


NO_COLOR_CHANGE = ColorChange(np.eye(3, dtype=np.float32), 1.0)


@attrs.frozen(kw_only=True)
class Augmentation:
    """What training does to a sample; `preprocessing` gives size, channels, filter and normalisation.

    Attributes:
        preprocessing: The evaluation preprocessing at training's image size.
        random_crop: None fits the image as in evaluation.
        random_flip: None never mirrors.
        color_jitter: None leaves colours as they are.
    """

    preprocessing: Preprocessing
    random_crop: RandomCrop | None
    random_flip: RandomFlip | None
    color_jitter: ColorJitter | None

    @classmethod
    def from_config(cls, config: TransformConfig, preprocessing: Preprocessing) -> Augmentation:
        """The augmentation that `config` asks for; colour changes turn themselves off unless images are RGB."""
        return cls(
            preprocessing=preprocessing,
            random_crop=config.random_crop,
            random_flip=config.random_flip,
            color_jitter=config.color_jitter if preprocessing.num_channels == 3 else None,
        )

    def geometry(self, image: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """Crop, resize and mirror: uint8 (H, W, C) to uint8 (height, width, C) of the training size."""
        if self.random_crop:
            box = random_box(image.shape[0], image.shape[1], self.random_crop, rng)
            image = crop_and_resize(image, box, self.preprocessing.image_size, self.preprocessing.interpolation)
        else:
            image = fit_size(image, self.preprocessing)
        if self.random_flip and rng.random() < self.random_flip.horizontal_prob:
            image = image[:, ::-1]
        if self.random_flip and rng.random() < self.random_flip.vertical_prob:
            image = image[::-1]
        return image

    def color(self, rng: np.random.Generator) -> ColorChange:
        """Draw one sample's change of colour."""
        if self.color_jitter is None or rng.random() >= self.color_jitter.prob:
            return NO_COLOR_CHANGE
        return random_color(self.color_jitter, rng)


def random_box(height: int, width: int, crop: RandomCrop, rng: np.random.Generator) -> Box:
    """A box of random area and log-uniform aspect ratio; the largest centred one of a legal ratio if none fits."""
    for _ in range(CROP_ATTEMPTS):
        area = height * width * rng.uniform(crop.min_scale, crop.max_scale)
        ratio = math.exp(rng.uniform(math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])))
        box_height, box_width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < box_height <= height and 0 < box_width <= width:
            top = int(rng.integers(height - box_height + 1))
            left = int(rng.integers(width - box_width + 1))
            return Box(top, left, box_height, box_width)
    box_height = min(height, max(1, round(width / CROP_RATIO[0])))
    box_width = min(width, max(1, round(height * CROP_RATIO[1])))
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width)


def random_color(jitter: ColorJitter, rng: np.random.Generator) -> ColorChange:
    """Draw brightness, saturation, hue and contrast, in this order."""
    brightness = _factor(jitter.brightness * jitter.strength, rng)
    saturation = _factor(jitter.saturation * jitter.strength, rng)
    angle = 2 * math.pi * rng.uniform(-1.0, 1.0) * min(0.5, jitter.hue * jitter.strength)
    contrast = _factor(jitter.contrast * jitter.strength, rng)
    # In YIQ, saturation scales the colour plane and hue rotates it: one matrix, and luma keeps its value.
    cos, sin = saturation * math.cos(angle), saturation * math.sin(angle)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    matrix = brightness * np.linalg.inv(RGB_TO_YIQ) @ turn @ RGB_TO_YIQ
    return ColorChange(matrix.astype(np.float32), contrast)


def _factor(strength: float, rng: np.random.Generator) -> float:
    return float(rng.uniform(max(0.0, 1.0 - strength), 1.0 + strength))


def finish(
    images: torch.Tensor, matrix: torch.Tensor, contrast: torch.Tensor, preprocessing: Preprocessing
) -> torch.Tensor:
    """Change colours and normalise a batch on its device.

    Args:
        images: uint8 of shape (N, C, H, W), values 0 to 255.
        matrix: float32 of shape (N, 3, 3), ignored unless C is 3.
        contrast: float32 of shape (N,), ignored unless C is 3.
        preprocessing: Gives mean and standard deviation.

    Returns:
        float32 of shape (N, C, H, W).
    """
    device = images.device
    mean = torch.tensor(preprocessing.mean, dtype=torch.float32, device=device).view(1, -1, 1, 1)
    std = torch.tensor(preprocessing.std, dtype=torch.float32, device=device).view(1, -1, 1, 1)
    pixels = images.float().div_(255.0)
    if images.shape[1] == 3:
        pixels = _recolor(pixels, matrix, contrast)
    return pixels.sub_(mean).div_(std)


def _recolor(pixels: torch.Tensor, matrix: torch.Tensor, contrast: torch.Tensor) -> torch.Tensor:
    """clamp(contrast * matrix @ x + (1 - contrast) * mean luma), one small matrix product a batch."""
    count, channels, height, width = pixels.shape
    flat = pixels.view(count, channels, height * width)
    changed = torch.bmm(matrix, flat.mean(dim=2, keepdim=True))
    luma = torch.tensor(LUMA, dtype=torch.float32, device=pixels.device) @ changed.squeeze(2).T
    offset = ((1.0 - contrast) * luma).view(count, 1, 1)
    result = torch.baddbmm(offset, contrast.view(count, 1, 1) * matrix, flat)
    return result.clamp_(0.0, 1.0).view_as(pixels)
