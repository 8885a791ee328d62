"""Which image sizes a model takes: asked of the model itself, by a pass on the meta device, which computes nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable

from lt_models.errors import ModelConfigError

Size = tuple[int, int]

STEPS = (2, 4, 7, 8, 12, 14, 16, 24, 28, 32, 42, 48, 56, 64, 96, 112, 128, 192, 224, 256)
"""Patches, strides and windows of which models of timm and torchvision want multiples."""


def require_fit(model: str, size: Size, own: Size, runs: Callable[[Size], bool]) -> None:
    """Refuse an image size that the model cannot take.

    Args:
        model: Full name, for the message.
        size: Height and width asked for.
        own: Height and width of the model's card.
        runs: Whether the model takes images of a size.

    Raises:
        ModelConfigError: Names the nearest sizes, smaller and larger, that the model takes.
    """
    if size == own or runs(size):
        return
    if not runs(own):  # a model that cannot be tried: its own size fails too
        return
    near = _nearest(size, own, functools.cache(runs))
    names = " and ".join(f"{height} x {width}" for height, width in near)
    raise ModelConfigError(
        f"{model} does not take images of {size[0]} x {size[1]} (height x width); the nearest it takes: {names}"
    )


def _nearest(size: Size, own: Size, runs: Callable[[Size], bool]) -> list[Size]:
    """The closest fitting sizes below and above, in multiples of the smallest step that has them; else `own`."""
    below = above = None
    for step in STEPS:
        down, up = _multiple(size, step, 0), _multiple(size, step, step - 1)
        if below is None and min(down) > 0 and runs(down):
            below = down
        if above is None and runs(up):
            above = up
        if below and above:
            break
    return [near for near in (below, above) if near is not None] or [own]


def _multiple(size: Size, step: int, slack: int) -> Size:
    height, width = ((side + slack) // step * step for side in size)
    return height, width
