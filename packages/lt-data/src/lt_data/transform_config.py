"""The `transform_args` of a run."""

from __future__ import annotations

from typing import Literal

import attrs

from lt_data.task import ResizeMode
from lt_data.validators import above, at_least, between


@attrs.frozen(kw_only=True)
class Normalize:
    """Mean and standard deviation by channel, of values in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...] = attrs.field(validator=above(0.0))


@attrs.frozen(kw_only=True)
class RandomCrop:
    """A crop of random area (a share of the image's) and aspect ratio (3/4 to 4/3), resized to `image_size`.

    The procedure of Szegedy et al. 2015 (https://arxiv.org/abs/1409.4842), known as random resized crop.
    """

    min_scale: float = attrs.field(default=0.2, validator=between(0.01, 1.0))
    max_scale: float = attrs.field(default=1.0, validator=between(0.01, 1.0))

    def __attrs_post_init__(self) -> None:
        if self.min_scale > self.max_scale:
            raise ValueError(f"min_scale ({self.min_scale}) must not be above max_scale ({self.max_scale})")


@attrs.frozen(kw_only=True)
class RandomFlip:
    """Mirroring, each direction with its own probability."""

    horizontal_prob: float = attrs.field(default=0.5, validator=between(0.0, 1.0))
    vertical_prob: float = attrs.field(default=0.0, validator=between(0.0, 1.0))


@attrs.frozen(kw_only=True)
class ColorJitter:
    """Random change of colour, applied with probability `prob` to a whole image.

    Each of `brightness`, `contrast` and `saturation`, times `strength`, is an s that draws a factor from
    [1 - s, 1 + s] (never below 0); `hue` times `strength` draws a rotation from [-hue, hue] turns.
    """

    prob: float = attrs.field(default=0.5, validator=between(0.0, 1.0))
    strength: float = attrs.field(default=1.0, validator=at_least(0.0))
    brightness: float = attrs.field(default=32 / 255, validator=at_least(0.0))
    contrast: float = attrs.field(default=0.5, validator=at_least(0.0))
    saturation: float = attrs.field(default=0.5, validator=at_least(0.0))
    hue: float = attrs.field(default=18 / 360, validator=between(0.0, 0.5))


@attrs.frozen(kw_only=True)
class ValTransformConfig:
    """What validation, `predict` and the edge do differently from training.

    Attributes:
        image_size: (height, width) in pixels; None takes training's.
        resize_scale: The shorter side is resized to this times `image_size` before the centre is cropped; None takes
            the model's own.
    """

    image_size: tuple[int, int] | None = attrs.field(default=None, validator=at_least(1))
    resize_scale: float | None = attrs.field(default=None, validator=at_least(1.0))


@attrs.frozen(kw_only=True)
class TransformConfig:
    """How images become inputs; a transform set to None is off.

    Attributes:
        image_size: (height, width) in pixels; `"auto"` takes the model's own.
        num_channels: 1 grey, 3 RGB, 4 RGBA; other numbers load images unchanged and must match them; `"auto"` is 3, or
            that of the exported model which training starts from.
        normalize: Mean and standard deviation; `"auto"` takes the model's own.
        resize_mode: `"crop"` keeps the centre, `"letterbox"` the whole image inside a border of the mean colour,
            `"squash"` the whole image with another aspect ratio; in validation, `predict` and on the edge, and in
            training where `random_crop` is None. `"auto"` is `"crop"`, or that of the exported model to start from.
        random_crop: Crop of random area and aspect ratio.
        random_flip: Mirroring.
        color_jitter: Change of colour, for RGB images.
        val: Overrides for validation, `predict` and the edge.
    """

    image_size: tuple[int, int] | Literal["auto"] = attrs.field(default="auto", validator=at_least(1))
    num_channels: int | Literal["auto"] = attrs.field(default="auto", validator=at_least(1))
    normalize: Normalize | Literal["auto"] = "auto"
    resize_mode: ResizeMode | Literal["auto"] = "auto"
    random_crop: RandomCrop | None = RandomCrop()
    random_flip: RandomFlip | None = RandomFlip()
    color_jitter: ColorJitter | None = ColorJitter()
    val: ValTransformConfig = ValTransformConfig()
