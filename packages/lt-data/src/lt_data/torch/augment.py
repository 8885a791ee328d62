"""Training augmentation: what is drawn for a sample, and its geometry on uint8 in the worker."""

from __future__ import annotations

import logging
import math
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from lt_data.preprocessing import Box, fit_size
from lt_data.task import Preprocessing
from lt_data.torch.color import ColorDraw, draw_color, mean_color
from lt_data.torch.rand_augment import rand_augment
from lt_data.torch.reading import Jpeg, Pixels
from lt_data.torch.resizing import resize
from lt_data.torch.turns import QUARTER_TURNS, UPRIGHT, Turn
from lt_data.transform_config import RandomCrop, TransformConfig

logger = logging.getLogger(__name__)

CROP_RATIO = (3 / 4, 4 / 3)
"""Bounds of the crop's width / height over that of the input, from Szegedy et al. 2015 (https://arxiv.org/abs/1409.4842),
where the input is square: whatever its shape, content is stretched by no more than this."""
CROP_ATTEMPTS = 10

FOR_RGB = ("color_jitter", "random_grayscale", "rand_augment")


@attrs.frozen
class Geometry:
    """What is drawn for the geometry of one sample.

    Attributes:
        quarter_turn: Comes first.
        box: Crop of the turned image; None fits it as evaluation does.
        mirror: Comes after the resize.
        angle: Turn against the clock in degrees, last.
    """

    quarter_turn: Turn
    box: Box | None
    mirror: Turn
    angle: float


@attrs.frozen(kw_only=True)
class Augmentation:
    """What training does to a sample.

    Attributes:
        preprocessing: The evaluation preprocessing at training's image size: gives size, channels, filter and
            normalisation.
        transforms: The random transforms; None is off.
    """

    preprocessing: Preprocessing
    transforms: TransformConfig

    @classmethod
    def from_config(cls, config: TransformConfig, preprocessing: Preprocessing) -> Augmentation:
        """The augmentation that `config` asks for; changes of colour turn themselves off unless images are RGB."""
        channels = preprocessing.num_channels
        off = [] if channels == 3 else [name for name in FOR_RGB if getattr(config, name) is not None]
        if off:
            logger.info("%s: off, because images have %d channels and not 3", ", ".join(off), channels)
        changes: dict[str, Any] = dict.fromkeys(off)
        return cls(preprocessing=preprocessing, transforms=attrs.evolve(config, **changes))

    def draw_geometry(self, height: int, width: int, rng: np.random.Generator) -> Geometry:
        """Draw the geometry of one sample, for an image of this size."""
        transforms = self.transforms
        turns = transforms.random_rotate_90
        turned = UPRIGHT
        if turns and rng.random() < turns.prob:
            turned = QUARTER_TURNS[int(rng.integers(1, 4))]
        box = None
        if transforms.random_crop:
            target_height, target_width = self.preprocessing.image_size
            aspect = target_width / target_height
            box = random_box(*turned.size(height, width), transforms.random_crop, rng, aspect=aspect)
        flip = transforms.random_flip
        horizontal = flip is not None and rng.random() < flip.horizontal_prob
        vertical = flip is not None and rng.random() < flip.vertical_prob
        rotate = transforms.random_rotate
        angle = 0.0
        if rotate and rng.random() < rotate.prob:
            angle = float(rng.uniform(-rotate.degrees, rotate.degrees))
        return Geometry(turned, box, Turn(False, vertical, horizontal), angle)

    def geometry(self, image: Jpeg | Pixels, rng: np.random.Generator) -> torch.Tensor:
        """Crop, resize, turn and mirror, then `rand_augment`: to uint8 (C, height, width) of the training size."""
        spec = self.preprocessing
        drawn = self.draw_geometry(*image.size, rng)
        if drawn.box is None:
            whole = drawn.quarter_turn.apply(torch.from_numpy(np.array(image.whole())).permute(2, 0, 1))
            fitted = fit_size(whole.permute(1, 2, 0).numpy(), spec)
            pixels = torch.from_numpy(np.array(fitted.transpose(2, 0, 1), order="C"))
        else:
            pixels = crop(image, drawn.quarter_turn, drawn.box, spec)
        pixels = drawn.mirror.apply(pixels)
        if drawn.angle:
            pixels = rotate(pixels, drawn.angle, spec)
        if self.transforms.rand_augment:
            pixels = rand_augment(pixels, self.transforms.rand_augment, spec, rng)
        return pixels.contiguous()

    def color(self, rng: np.random.Generator) -> ColorDraw:
        """Draw what `Finisher` does to one sample."""
        return draw_color(self.transforms, self.preprocessing, rng)


def crop(image: Jpeg | Pixels, turn: Turn, box: Box, spec: Preprocessing) -> torch.Tensor:
    """Resize a box of the turned image to `spec.image_size`: uint8 (C, height, width)."""
    upright = turn.box_before(box, *turn.size(*image.size))
    wanted = turn.size(*spec.image_size)
    part, stored = image.read(upright, wanted)
    return turn.apply(stored.apply(resize(part, stored.size(*wanted), spec.interpolation)))


def random_box(height: int, width: int, crop: RandomCrop, rng: np.random.Generator, *, aspect: float = 1.0) -> Box:
    """A box of random area and log-uniform aspect ratio; the largest centred one of a legal ratio if none fits.

    Args:
        height: Of the image.
        width: Of the image.
        crop: Bounds of the area.
        rng: Draws.
        aspect: Width / height of what the box will be resized to.
    """
    least, most = CROP_RATIO[0] * aspect, CROP_RATIO[1] * aspect
    for _ in range(CROP_ATTEMPTS):
        area = height * width * rng.uniform(crop.min_scale, crop.max_scale)
        ratio = math.exp(rng.uniform(math.log(least), math.log(most)))
        box_height, box_width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < box_height <= height and 0 < box_width <= width:
            top = int(rng.integers(height - box_height + 1))
            left = int(rng.integers(width - box_width + 1))
            return Box(top, left, box_height, box_width)
    box_height = min(height, max(1, round(width / least)))
    box_width = min(width, max(1, round(height * most)))
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width)


def rotate(pixels: torch.Tensor, angle: float, spec: Preprocessing) -> torch.Tensor:
    """Turn uint8 (C, H, W) by degrees against the clock around its centre; the mean colour fills the corners."""
    bands: list[npt.NDArray[np.uint8]] = [
        np.asarray(Image.fromarray(band).rotate(angle, Image.Resampling.BILINEAR, fillcolor=fill))
        for band, fill in zip(pixels.numpy(), mean_color(spec), strict=True)
    ]
    return torch.from_numpy(np.stack(bands))
