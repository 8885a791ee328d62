"""What a classifier is built from, and what it wants to be fed."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class ModelInput:
    """The input that a model's published weights were trained for.

    Attributes:
        image_size: Height and width in pixels.
        mean: Subtracted from each channel, of values in [0, 1].
        std: Divides each channel afterwards.
        interpolation: Filter of the resize, `"bilinear"` or `"bicubic"`.
        resize_scale: Shorter side before the centre crop, divided by `image_size`: 1 / the crop's share.
    """

    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    resize_scale: float


@attrs.frozen(kw_only=True)
class ClassifierSpec:
    """All that is needed to build the same classifier again; plain values, safe to store.

    Attributes:
        model: Full name, such as `timm/resnet18`.
        num_classes: Outputs of the head, at least 1.
        num_channels: Channels of the input image.
        image_size: Height and width of the input in pixels.
        head_dropout: Share of features zeroed before the head in training, in [0, 1).
    """

    model: str
    num_classes: int
    num_channels: int = 3
    image_size: tuple[int, int] = (224, 224)
    head_dropout: float = 0.0
