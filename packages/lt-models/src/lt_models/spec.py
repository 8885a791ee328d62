"""What a classifier is built from, and what it wants to be fed."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from lt_models.errors import ModelConfigError

POOLINGS = ("auto", "cls", "avg", "cls+avg")
HEADS = ("linear", "mlp", "cosine")

OF_THE_BUILDER = frozenset(
    {
        *("cache_dir", "checkpoint_path", "features_only", "in_chans", "no_jit", "num_classes", "out_indices"),
        *("pretrained", "pretrained_backbone", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict"),
        *("drop_path_rate", "drop_rate", "scriptable", "exportable", "weights", "weights_backbone", "progress"),
    }
)
"""Arguments of timm's and torchvision's builders that are not the backbone's own. Those that name files stay out of
reach of exported models, which may come from anywhere."""


@attrs.frozen(kw_only=True)
class ModelInput:
    """The input that a model's published weights were trained for.

    Attributes:
        image_size: Height and width in pixels.
        mean: Subtracted from each channel, of values in [0, 1].
        std: Divides each channel afterwards.
        interpolation: Filter of the resize, `"bilinear"` or `"bicubic"`.
        resize_scale: Shorter side before the centre crop, divided by `image_size`: 1 / the crop's share.
        resize_mode: `"crop"`, the centre; `"squash"`, the whole image with another aspect ratio; or `"letterbox"`, the
            whole image inside a border.
    """

    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Literal["bilinear", "bicubic"]
    resize_scale: float
    resize_mode: Literal["crop", "squash", "letterbox"] = "crop"


@attrs.frozen(kw_only=True)
class ClassifierSpec:
    """All that is needed to build the same classifier again; plain values, safe to store.

    Attributes:
        model: Full name, such as `timm/resnet18`.
        num_classes: Outputs of the head, at least 1; a single one makes sense for multilabel tasks only.
        num_channels: Channels of the input image, at least 1.
        image_size: Height and width of the input in pixels.
        head_dropout: Share of features zeroed before the head in training, in [0, 1).
        pooling: How the backbone's output becomes one vector. `auto` is the model's own way; `cls` is its class token,
            `avg` the mean of its patches or places, `cls+avg` both, one after the other.
        head: `linear`, `mlp` with one hidden layer, or `cosine`, of normalised features and weights.
        drop_path_rate: Stochastic depth of the last block, less before, in [0, 1); 0 turns it off.
        backbone_args: Further arguments of the backbone's constructor, plain values.

    Raises:
        ModelConfigError: Lists every value that is outside its range.
    """

    model: str
    num_classes: int
    num_channels: int = 3
    image_size: tuple[int, int] = (224, 224)
    head_dropout: float = 0.0
    pooling: str = "auto"
    head: str = "linear"
    drop_path_rate: float = 0.0
    backbone_args: dict[str, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        checks = {
            f"num_classes must be at least 1, got {self.num_classes}": self.num_classes >= 1,
            f"num_channels must be at least 1, got {self.num_channels}": self.num_channels >= 1,
            f"image_size must be two positive numbers, height and width, got {self.image_size}": (
                len(self.image_size) == 2 and min(self.image_size) >= 1
            ),
            f"head_dropout must be in [0, 1), got {self.head_dropout}": 0.0 <= self.head_dropout < 1.0,
            f"drop_path_rate must be in [0, 1), got {self.drop_path_rate}": 0.0 <= self.drop_path_rate < 1.0,
            f"pooling must be one of {', '.join(POOLINGS)}, got {self.pooling!r}": self.pooling in POOLINGS,
            f"head must be one of {', '.join(HEADS)}, got {self.head!r}": self.head in HEADS,
        }
        wrong = [message for message, right in checks.items() if not right]
        wrong += [f"backbone_args: {problem}" for problem in _unfit(self.backbone_args)]
        if wrong:
            raise ModelConfigError("; ".join(wrong))


def _unfit(arguments: dict[str, Any]) -> list[str]:
    """What is wrong with arguments for a backbone's constructor."""
    taken = sorted(OF_THE_BUILDER.intersection(arguments))
    odd = sorted(name for name, value in arguments.items() if not _is_plain(value))
    return [
        *(f"{name} is not the backbone's own" for name in taken),
        *(f"{name} must be made of numbers, texts, lists and dicts" for name in odd),
    ]


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(part) for part in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(part) for key, part in value.items())
    return value is None or isinstance(value, (bool, int, float, str))
