"""From any Pillow mode to 8-bit channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

ALPHA_BACKGROUND = 255
"""Transparent parts are laid over white, as pages show them."""

SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})


def to_array(image: Image.Image, num_channels: int) -> npt.NDArray[np.uint8]:
    """Pixels of a loaded image as uint8 of shape (H, W, num_channels).

    One channel is grey (ITU-R 601-2 luma), three are RGB, four RGBA; other numbers must be the image's own. 16-bit
    values are scaled by 1 / 257. Alpha is laid over white when the result has none.

    Raises:
        ValueError: The image's mode or number of channels cannot be had as asked.
    """
    image = _eight_bit(image)
    if num_channels in (1, 3):
        array = np.asarray(_over_white(image).convert("L" if num_channels == 1 else "RGB"))
    elif num_channels == 4:
        array = np.asarray(image if image.mode == "CMYK" else image.convert("RGBA"))
    else:
        array = np.asarray(image)
    array = array[:, :, np.newaxis] if array.ndim == 2 else array
    if array.shape[2] != num_channels or array.dtype != np.uint8:
        raise ValueError(f"has {array.shape[2]} channels (mode {image.mode}), expected {num_channels}")
    return array


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BIT_MODES or image.mode == "I":
        values = np.asarray(image).astype(np.int64)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise ValueError("holds integers outside 0 to 65535, whose scale is unknown")
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("holds floating-point values, whose scale is unknown; save it with 8 or 16 bits")
    return image


def _over_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    background = Image.new("RGBA", image.size, (ALPHA_BACKGROUND,) * 3 + (255,))
    return Image.alpha_composite(background, rgba).convert("RGB")
