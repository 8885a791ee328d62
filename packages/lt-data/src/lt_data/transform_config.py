"""The `transform_args` of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import attrs

from lt_data.errors import ConfigError, Problem
from lt_data.structuring import REFUSE, STRUCTURE, structure
from lt_data.task import ResizeMode
from lt_data.validators import above, at_least, between, is_whole


def _no_single_side(value: object) -> None:
    side = value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value
    if is_whole(side):
        raise ValueError(f"expected height and width in pixels, such as [{side}, {side}], got {value!r}")


def _within_one(instance: object, attribute: attrs.Attribute[Any], value: tuple[float, ...]) -> None:
    if any(not 0.0 <= mean <= 1.0 for mean in value):
        hint = "images have values from 0 to 1 here; of values from 0 to 255 divide mean and std by 255"
        raise ValueError(f"{attribute.name} must be from 0 to 1, got {value}; {hint}")


def _normalize(value: object) -> Normalize | Literal["auto"]:
    """As by its type, but also with what is wrong with `mean` and `std` together."""
    kind: Any = Normalize | Literal["auto"]
    problems: list[Problem] = []
    built: Any = None
    try:
        built = structure(value, kind, "")
    except ConfigError as error:
        problems.extend(error.problems)
    mean, std = (value.get(key) if isinstance(value, Mapping) else None for key in ("mean", "std"))
    if isinstance(mean, (list, tuple)) and isinstance(std, (list, tuple)) and len(mean) != len(std):
        problems.append(Problem("", f"needs one mean and one std for each channel, got {len(mean)} and {len(std)}"))
    if problems:
        raise ConfigError(problems)
    return cast("Normalize | Literal['auto']", built)


@attrs.frozen(kw_only=True)
class Normalize:
    """Mean and standard deviation by channel, of values in [0, 1].

    Attributes:
        mean: Subtracted, one value a channel, from 0 to 1.
        std: Divided by, one value a channel, above 0.
    """

    mean: tuple[float, ...] = attrs.field(validator=_within_one)
    std: tuple[float, ...] = attrs.field(validator=above(0.0))


@attrs.frozen(kw_only=True)
class RandomCrop:
    """A crop of random area (a share of the image's) and aspect ratio (3/4 to 4/3), resized to `image_size`.

    The procedure of Szegedy et al. 2015 (https://arxiv.org/abs/1409.4842), known as random resized crop.

    Attributes:
        min_scale: Least area, as a share of the image's.
        max_scale: Greatest area.
    """

    min_scale: float = attrs.field(default=0.2, validator=between(0.01, 1.0))
    max_scale: float = attrs.field(default=1.0, validator=between(0.01, 1.0))

    def __attrs_post_init__(self) -> None:
        if self.min_scale > self.max_scale:
            raise ValueError(f"min_scale ({self.min_scale}) must not be above max_scale ({self.max_scale})")


@attrs.frozen(kw_only=True)
class RandomFlip:
    """Mirroring, each direction with its own probability.

    Attributes:
        horizontal_prob: Probability that left and right are exchanged.
        vertical_prob: Probability that top and bottom are exchanged.
    """

    horizontal_prob: float = attrs.field(default=0.5, validator=between(0.0, 1.0))
    vertical_prob: float = attrs.field(default=0.0, validator=between(0.0, 1.0))


@attrs.frozen(kw_only=True)
class ColorJitter:
    """Random change of colour, applied with probability `prob` to a whole image.

    Each of `brightness`, `contrast` and `saturation`, times `strength`, is an s that draws a factor from
    [1 - s, 1 + s] (never below 0); `hue` times `strength` draws a rotation from [-hue, hue] turns.

    Attributes:
        prob: Probability that an image is changed.
        strength: Factor of the next four.
        brightness: How far the factor of all values may be from 1.
        contrast: How far the factor of the distance from the mean grey may be from 1.
        saturation: How far the factor of the distance from grey may be from 1.
        hue: Largest rotation of the hue, in turns.
    """

    prob: float = attrs.field(default=0.5, validator=between(0.0, 1.0))
    strength: float = attrs.field(default=1.0, validator=at_least(0.0))
    brightness: float = attrs.field(default=32 / 255, validator=at_least(0.0))
    contrast: float = attrs.field(default=0.5, validator=at_least(0.0))
    saturation: float = attrs.field(default=0.5, validator=at_least(0.0))
    hue: float = attrs.field(default=18 / 360, validator=between(0.0, 0.5))


@attrs.frozen(kw_only=True)
class RandomRotate:
    """With probability `prob`, a turn by an angle from [-degrees, degrees]; what it uncovers gets the mean colour.

    Attributes:
        prob: Probability that an image is turned.
        degrees: Largest angle.
    """

    prob: float = attrs.field(default=0.5, validator=between(0.0, 1.0))
    degrees: float = attrs.field(default=15.0, validator=between(0.0, 180.0))


@attrs.frozen(kw_only=True)
class RandomRotate90:
    """With probability `prob`, a turn by 90, 180 or 270 degrees.

    Attributes:
        prob: Probability that an image is turned.
    """

    prob: float = attrs.field(default=0.5, validator=between(0.0, 1.0))


@attrs.frozen(kw_only=True)
class ChannelDrop:
    """Leaves `num_channels_keep` channels and sets the others to their mean, which is zero after normalisation.

    Attributes:
        num_channels_keep: Channels that stay, another choice for each image.
        weight_drop: How readily each channel is dropped, one value a channel; 0 never drops it.
    """

    num_channels_keep: int = attrs.field(validator=at_least(1))
    weight_drop: tuple[float, ...] = attrs.field(validator=at_least(0.0))


@attrs.frozen(kw_only=True)
class RandAugment:
    """`num_ops` operations, drawn with replacement from fourteen, of one `magnitude` on a scale from 0 to 30.

    Cubuk et al. 2019 (https://arxiv.org/abs/1909.13719), with that paper's operations and ranges.

    Attributes:
        num_ops: Operations one after another.
        magnitude: Strength of each, from 0 to 30.
    """

    num_ops: int = attrs.field(default=2, validator=at_least(1))
    magnitude: float = attrs.field(default=9.0, validator=between(0.0, 30.0))


@attrs.frozen(kw_only=True)
class RandomErasing:
    """With probability `prob`, a rectangle of random area (a share of the image's) gets the mean colour.

    Zhong et al. 2017 (https://arxiv.org/abs/1708.04896), whose figures are the defaults.

    Attributes:
        prob: Probability that an image loses a rectangle.
        min_area: Least area, as a share of the image's.
        max_area: Greatest area.
    """

    prob: float = attrs.field(default=0.25, validator=between(0.0, 1.0))
    min_area: float = attrs.field(default=0.02, validator=between(0.0, 1.0))
    max_area: float = attrs.field(default=0.4, validator=between(0.0, 1.0))

    def __attrs_post_init__(self) -> None:
        if self.min_area > self.max_area:
            raise ValueError(f"min_area ({self.min_area}) must not be above max_area ({self.max_area})")


@attrs.frozen(kw_only=True)
class GaussianBlur:
    """With probability `prob`, blur with a standard deviation from [min_sigma, max_sigma] pixels of the input.

    Attributes:
        prob: Probability that an image is blurred.
        min_sigma: Least standard deviation, in pixels of the input.
        max_sigma: Greatest standard deviation.
    """

    prob: float = attrs.field(default=0.5, validator=between(0.0, 1.0))
    min_sigma: float = attrs.field(default=0.1, validator=between(0.01, 32.0))
    max_sigma: float = attrs.field(default=2.0, validator=between(0.01, 32.0))

    def __attrs_post_init__(self) -> None:
        if self.min_sigma > self.max_sigma:
            raise ValueError(f"min_sigma ({self.min_sigma}) must not be above max_sigma ({self.max_sigma})")


@attrs.frozen(kw_only=True)
class RandomGrayscale:
    """With probability `prob`, the image's luma in all three channels.

    Attributes:
        prob: Probability that an image loses its colours.
    """

    prob: float = attrs.field(default=0.2, validator=between(0.0, 1.0))


@attrs.frozen(kw_only=True)
class ValTransformConfig:
    """What validation, `predict` and the edge do differently from training.

    Attributes:
        image_size: (height, width) in pixels; None takes training's.
        resize_scale: The shorter side is resized to this times `image_size` before the centre is cropped; None takes
            the model's own.
    """

    image_size: tuple[int, int] | None = attrs.field(
        default=None, validator=at_least(1), metadata={REFUSE: _no_single_side}
    )
    resize_scale: float | None = attrs.field(default=None, validator=at_least(1.0))


@attrs.frozen(kw_only=True)
class TransformConfig:
    """How images become inputs; a transform set to None is off.

    Of the random ones only `random_crop`, `random_flip` and `color_jitter` are on by default. `color_jitter`,
    `random_grayscale` and `rand_augment` are for RGB: with other channels they are off, and the log says so.

    Attributes:
        image_size: (height, width) in pixels; `"auto"` takes the model's own.
        num_channels: 1 grey, 3 RGB, 4 RGBA; other numbers load images unchanged and must match them; `"auto"` is 3, or
            that of the exported model which training starts from.
        normalize: Mean and standard deviation; `"auto"` takes the model's own.
        resize_mode: `"crop"` keeps the centre, `"letterbox"` the whole image inside a border of the mean colour,
            `"squash"` the whole image with another aspect ratio; in validation, `predict` and on the edge, and in
            training where `random_crop` is None. `"auto"` is `"crop"`, or that of the exported model to start from.
        random_crop: Crop of random area and aspect ratio.
        resize_scale: In training where `random_crop` is None and `resize_mode` `"crop"`: the shorter side is resized to
            this times `image_size` before the centre is cropped; None takes the model's own.
        random_flip: Mirroring.
        random_rotate: Turn by a small angle.
        random_rotate_90: Turn by right angles.
        color_jitter: Change of colour.
        random_grayscale: Loss of colour.
        gaussian_blur: Blur.
        channel_drop: Loss of channels.
        rand_augment: A random sequence of operations of one strength.
        random_erasing: Loss of a rectangle.
        val: Overrides for validation, `predict` and the edge.
    """

    image_size: tuple[int, int] | Literal["auto"] = attrs.field(
        default="auto", validator=at_least(1), metadata={REFUSE: _no_single_side}
    )
    num_channels: int | Literal["auto"] = attrs.field(default="auto", validator=at_least(1))
    normalize: Normalize | Literal["auto"] = attrs.field(default="auto", metadata={STRUCTURE: _normalize})
    resize_mode: ResizeMode | Literal["auto"] = "auto"
    random_crop: RandomCrop | None = RandomCrop()
    resize_scale: float | None = attrs.field(default=None, validator=at_least(1.0))
    random_flip: RandomFlip | None = RandomFlip()
    random_rotate: RandomRotate | None = None
    random_rotate_90: RandomRotate90 | None = None
    color_jitter: ColorJitter | None = ColorJitter()
    random_grayscale: RandomGrayscale | None = None
    gaussian_blur: GaussianBlur | None = None
    channel_drop: ChannelDrop | None = None
    rand_augment: RandAugment | None = None
    random_erasing: RandomErasing | None = None
    val: ValTransformConfig = ValTransformConfig()
