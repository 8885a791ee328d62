"""From any Pillow mode to 8-bit channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from lt_data.images.scaling import Floats, linear, through

ALPHA_BACKGROUND = 255
"""Transparent parts are laid over white, as pages show them."""

MOST_PILLOW_SAMPLES = 4

PIXELS_AT_ONCE = 2**22
"""Of large images so many pixels are worked on at a time, to bound memory."""

WIDE_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I", "F"})
"""One channel of more than 8 bits."""

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLES_PER_PIXEL = 258, 262, 277
"""Tags of TIFF 6.0, section 8."""


@attrs.frozen
class Storage:
    """What Pillow leaves to the caller about the values of a file, to be read before they are decoded.

    Attributes:
        white: The value that is white by the file's own account: 4095 in TIFF of 12 bits.
        scale: What Pillow has multiplied the stored values with: it stretches PGM to 16 bits.
        is_unsigned: Whether 32-bit integers are unsigned; Pillow gives them as signed.
        is_inverted: Whether zero is white, in TIFF of more than 8 bits.
        has_deep_colors: Whether several channels had 16 bits each, of which Pillow keeps the upper 8.
    """

    white: float = 65535.0
    scale: float = 1.0
    is_unsigned: bool = False
    is_inverted: bool = False
    has_deep_colors: bool = False


def storage(image: Image.Image) -> Storage:
    """How an image that is not yet loaded was stored.

    Raises:
        ValueError: The file has more samples a pixel than Pillow gives.
    """
    tags = getattr(image, "tag_v2", {})
    samples = int(tags.get(SAMPLES_PER_PIXEL, 1))
    if samples > MOST_PILLOW_SAMPLES:
        raise ValueError(f"has {samples} channels; ask for {samples}, no other number can be had")
    decoder, arguments = _decoder(image)
    raw_mode = str(arguments[0]) if arguments else ""
    is_deep = ";16" in raw_mode or max(_numbers(tags.get(BITS_PER_SAMPLE, 8))) > 8
    return Storage(
        white=4095.0 if "I;12" in raw_mode else 65535.0,
        scale=65535.0 / arguments[-1] if decoder.startswith("ppm") and image.mode == "I" else 1.0,
        is_unsigned=image.mode == "I" and "I;32N" in raw_mode,
        is_inverted=image.mode in WIDE_MODES and tags.get(PHOTOMETRIC) == 0,
        has_deep_colors=image.mode not in WIDE_MODES and is_deep,
    )


def _decoder(image: Image.Image) -> tuple[str, tuple[Any, ...]]:
    """Name of Pillow's decoder and its arguments, the raw mode first."""
    tile = getattr(image, "tile", None)
    if not tile:
        return "", ()
    return tile[0][0], tile[0][3] if isinstance(tile[0][3], tuple) else (tile[0][3],)


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (int(value),)


def to_array(
    image: Image.Image, num_channels: int, value_range: tuple[float, float] | None = None
) -> npt.NDArray[np.uint8]:
    """Pixels of an image, upright, as uint8 of shape (H, W, num_channels).

    One channel is grey (ITU-R 601-2 luma), three are RGB, four RGBA; other numbers must be the image's own. Alpha is
    laid over white when the result has none.

    Args:
        image: Best not loaded yet: some of what a file says about its values is gone afterwards.
        num_channels: Channels of the result.
        value_range: Black and white of images of one channel with more than 8 bits; None takes 0 to 65535 for
            integers and 0 to 1 for floating-point values.

    Raises:
        ValueError: The image's mode, values or number of channels cannot be had as asked.
    """
    stored = storage(image)
    if stored.has_deep_colors and value_range is not None:
        raise ValueError("has colours of 16 bits, which data.value_range does not reach; leave it unset for them")
    image = _eight_bit(ImageOps.exif_transpose(image), stored, value_range)
    if num_channels in (1, 3):
        array = np.asarray(_over_white(image).convert("L" if num_channels == 1 else "RGB"))
    elif num_channels == 4:
        array = np.asarray((image.convert("RGB") if image.mode == "CMYK" else image).convert("RGBA"))
    else:
        array = np.asarray(image)
    array = array[:, :, np.newaxis] if array.ndim == 2 else array
    if array.shape[2] != num_channels or array.dtype != np.uint8:
        raise ValueError(f"has {array.shape[2]} channels (mode {image.mode}), expected {num_channels}")
    return array


def sixteen_bit_or_float(
    is_float: bool, value_range: tuple[float, float] | None, white: float = 65535.0
) -> Callable[[Floats], Floats]:
    """Brightness of values of more than 8 bits: within `value_range`, or 0 to `white`, or 0 to 1 if `is_float`.

    The function raises ValueError for values outside where `value_range` is None.
    """
    if value_range is not None:
        return lambda values: linear(values, *value_range)
    largest = 1.0 if is_float else white

    def within(values: Floats) -> Floats:
        if values.min() < 0 or values.max() > largest:
            found = f"{values.min():g} to {values.max():g}"
            raise ValueError(f"holds values from {found}, outside 0 to {largest:g}; set data.value_range")
        return linear(values, 0.0, largest)

    return within


def _eight_bit(image: Image.Image, stored: Storage, value_range: tuple[float, float] | None) -> Image.Image:
    if image.mode not in WIDE_MODES:
        return image
    values = np.asarray(image)
    values = values.view(np.uint32) if stored.is_unsigned else values
    if stored.scale != 1.0 and value_range is not None:
        values = np.rint(values / stored.scale).astype(np.int64)
    brightness = sixteen_bit_or_float(image.mode == "F", value_range, stored.white)
    shown = (lambda v: 1.0 - brightness(v)) if stored.is_inverted else brightness
    rows = _rows_at_once(image.width)
    pixels = np.concatenate([through(values[top : top + rows], shown) for top in range(0, len(values), rows)])
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        alpha = np.where(values == transparent, 0, 255).astype(np.uint8)
        return Image.merge("LA", (Image.fromarray(pixels), Image.fromarray(alpha)))
    return Image.fromarray(pixels)


def _over_white(image: Image.Image) -> Image.Image:
    """The image over a white background, a few rows at a time: whole, it would take five times its own memory."""
    if not image.has_transparency_data:
        return image
    result = Image.new("RGB", image.size)
    for top in range(0, image.height, rows := _rows_at_once(image.width)):
        part = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
        background = Image.new("RGBA", part.size, (ALPHA_BACKGROUND,) * 3 + (255,))
        result.paste(Image.alpha_composite(background, part).convert("RGB"), (0, top))
    return result


def _rows_at_once(width: int) -> int:
    return max(1, PIXELS_AT_ONCE // width)
