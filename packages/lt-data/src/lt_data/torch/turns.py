"""The eight ways in which an image can be turned and mirrored by right angles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from lt_data.preprocessing import Box


class Turn(NamedTuple):
    """A change of rows and columns: first exchange them, then reverse rows, then columns."""

    transpose: bool
    vertical: bool
    horizontal: bool

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        """The turned image, of shape (..., H, W)."""
        if self.transpose:
            image = image.transpose(-1, -2)
        flipped = [axis for axis, wanted in ((-2, self.vertical), (-1, self.horizontal)) if wanted]
        return image.flip(flipped) if flipped else image

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after the turn, or before it."""
        return (width, height) if self.transpose else (height, width)

    def box_before(self, box: Box, height: int, width: int) -> Box:
        """Where a box of the turned image, which has this height and width, lies before the turn."""
        top = height - box.top - box.height if self.vertical else box.top
        left = width - box.left - box.width if self.horizontal else box.left
        if self.transpose:
            return Box(left, top, box.width, box.height)
        return Box(top, left, box.height, box.width)


UPRIGHT = Turn(transpose=False, vertical=False, horizontal=False)

QUARTER_TURNS = (UPRIGHT, Turn(True, True, False), Turn(False, True, True), Turn(True, False, True))
"""Turns against the clock by 0, 90, 180 and 270 degrees."""

EXIF_TURNS: Mapping[int, Turn] = {
    1: UPRIGHT,
    2: Turn(False, False, True),
    3: Turn(False, True, True),
    4: Turn(False, True, False),
    5: Turn(True, False, False),
    6: Turn(True, False, True),
    7: Turn(True, True, True),
    8: Turn(True, True, False),
}
"""What makes an image upright, by EXIF orientation (Exif 2.32, tag 274); other values mean upright, as for Pillow."""
