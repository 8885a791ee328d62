"""What is drawn for a sample's colours in the worker, for `Finisher` to carry out on the training device."""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.preprocessing import Box
from lt_data.task import Preprocessing
from lt_data.transform_config import ChannelDrop, ColorJitter, RandomErasing, TransformConfig

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B in luma Y', ITU-R BT.601."""
RGB_TO_YIQ = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
"""NTSC's YIQ: luma, and two axes of colour in whose plane a rotation changes hue and keeps luma."""
YIQ_TO_RGB = np.linalg.inv(RGB_TO_YIQ)
TO_GRAYSCALE = np.tile(LUMA, (3, 1))

ERASING_RATIO = (0.3, 1 / 0.3)
"""Bounds of an erased rectangle's width / height, from Zhong et al. 2017, https://arxiv.org/abs/1708.04896."""
ERASING_ATTEMPTS = 10

NOTHING = Box(0, 0, 0, 0)


def mean_color(spec: Preprocessing) -> tuple[int, ...]:
    """The 8-bit colour that normalisation takes nearest to zero."""
    return tuple(min(255, max(0, math.floor(mean * 255.0 + 0.5))) for mean in spec.mean)


@attrs.frozen
class ColorDraw:
    """Drawn for one sample.

    Attributes:
        matrix: float32 of shape (3, 3): x becomes matrix @ x, values in [0, 1].
        contrast: Factor around the image's mean luma, at least 0; 1 changes nothing.
        sigma: Standard deviation of the blur in pixels; 0 is none.
        kept: float32 of shape (C,): 1 for channels that stay, 0 for those that are dropped.
        erased: Rectangle that gets the mean colour; of no size for none.
    """

    matrix: npt.NDArray[np.float32]
    contrast: float
    sigma: float
    kept: npt.NDArray[np.float32]
    erased: Box


def draw_color(transforms: TransformConfig, spec: Preprocessing, rng: np.random.Generator) -> ColorDraw:
    """Draw one sample's change of colour, blur, channels and rectangle, in this order."""
    matrix, contrast = np.eye(3), 1.0
    jitter = transforms.color_jitter
    if jitter and rng.random() < jitter.prob:
        matrix, contrast = random_color(jitter, rng)
    gray = transforms.random_grayscale
    if gray and rng.random() < gray.prob:
        matrix = TO_GRAYSCALE @ matrix
    blur, sigma = transforms.gaussian_blur, 0.0
    if blur and rng.random() < blur.prob:
        sigma = float(rng.uniform(blur.min_sigma, blur.max_sigma))
    kept = np.ones(spec.num_channels, dtype=np.float32)
    if transforms.channel_drop:
        kept[dropped_channels(transforms.channel_drop, rng)] = 0.0
    erasing, erased = transforms.random_erasing, NOTHING
    if erasing and rng.random() < erasing.prob:
        erased = random_rectangle(*spec.image_size, erasing, rng)
    return ColorDraw(matrix.astype(np.float32), contrast, sigma, kept, erased)


def random_color(jitter: ColorJitter, rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], float]:
    """Draw brightness, saturation, hue and contrast, in this order: a (3, 3) matrix and the factor of contrast."""
    brightness = _factor(jitter.brightness * jitter.strength, rng)
    saturation = _factor(jitter.saturation * jitter.strength, rng)
    angle = 2 * math.pi * rng.uniform(-1.0, 1.0) * min(0.5, jitter.hue * jitter.strength)
    contrast = _factor(jitter.contrast * jitter.strength, rng)
    # In YIQ, saturation scales the colour plane and hue rotates it: one matrix, and luma keeps its value.
    cos, sin = saturation * math.cos(angle), saturation * math.sin(angle)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    matrix: npt.NDArray[np.float64] = brightness * YIQ_TO_RGB @ turn @ RGB_TO_YIQ
    return matrix, contrast


def _factor(strength: float, rng: np.random.Generator) -> float:
    return float(rng.uniform(max(0.0, 1.0 - strength), 1.0 + strength))


def dropped_channels(drop: ChannelDrop, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Indices of the channels that one sample loses."""
    weights = np.asarray(drop.weight_drop)
    return rng.choice(len(weights), len(weights) - drop.num_channels_keep, replace=False, p=weights / weights.sum())


def random_rectangle(height: int, width: int, erasing: RandomErasing, rng: np.random.Generator) -> Box:
    """A rectangle of random area and log-uniform aspect ratio inside the image; of no size if none fits."""
    for _ in range(ERASING_ATTEMPTS):
        area = height * width * rng.uniform(erasing.min_area, erasing.max_area)
        ratio = math.exp(rng.uniform(math.log(ERASING_RATIO[0]), math.log(ERASING_RATIO[1])))
        rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if rows <= height and columns <= width:
            return Box(int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1)), rows, columns)
    return NOTHING
