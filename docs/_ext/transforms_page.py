"""Default transforms, what models bring of their own, and pictures of each transform, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args

import attrs

from lightly_train.cli.docstrings import descriptions
from lightly_train.cli.kinds import fields, members, settings_class
from lightly_train.run_config import default_of
from lightly_train.train import model_preprocessing
from lt_data import TransformConfig, ValTransformConfig
from lt_data.task import IMAGENET_MEAN, IMAGENET_STD, ResizeMode
from markdown_tables import table
from models_page import EXAMPLES
from settings_page import introduction, literal

PICTURES = "images/generated"
"""Folder of the pictures, below that of the pages."""

WITHOUT_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "channel_drop": {"num_channels_keep": 1, "weight_drop": [1.0, 1.0, 1.0]}
}
"""Keys of the transforms that must be given some, as the pictures show them."""


def defaults() -> str:
    """What each key of `transform_args` is where nobody sets it, in training and elsewhere."""
    random, of_val = random_transforms(), descriptions(ValTransformConfig)
    rows = []
    for name, field in fields(TransformConfig).items():
        if name == "val":
            continue
        elsewhere = f"`val`: {of_val[name]}" if name in of_val else "as in training"
        value = shown(default_of(field)) if name in random else f"`{literal(default_of(field))}`"
        rows.append((f"`{name}`", value, "none" if name in random else elsewhere))
    return table(("key", "training", "validation, `predict`, edge"), rows)


def of_models() -> str:
    """What "the model's own" means for some models."""
    rows = []
    for name in EXAMPLES:
        own = model_preprocessing(name, None)
        imagenet = (own.mean, own.std) == (IMAGENET_MEAN, IMAGENET_STD)
        normalize = "ImageNet's" if imagenet else f"{literal(own.mean)}, {literal(own.std)}"
        resize = f"{own.resize_mode} {own.resize_scale:.4g}, {own.interpolation}"
        rows.append((f"`{name}`", literal(own.image_size), resize, normalize))
    note = f"ImageNet's mean is {literal(IMAGENET_MEAN)}, its standard deviation {literal(IMAGENET_STD)}."
    return f"{table(('model', 'image_size', 'resize_mode and resize_scale', 'normalize'), rows)}\n\n{note}"


def gallery() -> str:
    """A section for each transform: what it does, the settings of the picture, the picture."""
    parts = [
        *("### The defaults together", "`transform_args={}`", picture("defaults", "The defaults of training")),
        *("### resize_mode", modes(), picture("resize_mode", "The three ways to resize")),
    ]
    for name, cls in random_transforms().items():
        asked = ", ".join(f'"{key}": {literal(value)}' for key, value in drawn_args(name).items())
        parts += [f"### {name}", introduction(cls), f'`transform_args={{"{name}": {{{asked}}}}}`', picture(name, name)]
    return "\n\n".join(parts)


def modes() -> str:
    """The names of the ways to resize, in the order of their picture."""
    return ", ".join(f'`"{mode}"`' for mode in get_args(ResizeMode)) + ", from left to right"


def picture(name: str, alternative: str) -> str:
    """A picture in a page."""
    return f"![{alternative}]({PICTURES}/{name}.jpg)"


def random_transforms() -> dict[str, type]:
    """The transforms that only training has, by name, with the classes of their settings."""
    there = fields(TransformConfig)
    return {
        name: settings_class(field.type)
        for name, field in there.items()
        if settings_class(field.type) is not None and NoneType in members(field.type)
    }


def drawn_args(name: str) -> dict[str, Any]:
    """Settings of a transform for its picture: its defaults, but applied to every image."""
    certain = {"prob": 1.0} if "prob" in fields(random_transforms()[name]) else {}
    return {**certain, **WITHOUT_DEFAULTS.get(name, {})}


def shown(default: Any) -> str:
    """A default with its keys."""
    if default is None:
        return "off"
    return ", ".join(f"`{field.name}` {literal(getattr(default, field.name))}" for field in attrs.fields(type(default)))
