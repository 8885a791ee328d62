"""From stored DICOM values to brightness: DICOM PS3.3 sections C.11.1 (modality) and C.11.2 (values of interest)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.images.decoding import Decoding
from lt_data.images.scaling import Floats, linear, through

CHOOSE_A_WINDOW = 'set data.dicom_window to (center, width) or "off"'


@attrs.frozen(eq=False)
class Lut:
    """A lookup table, PS3.3 C.11.1.1.1: values below the first take the first entry, those above the last the last.

    Attributes:
        first: Value that the first entry is for.
        bits: Bits of an entry.
        entries: uint16 of shape (N,).
    """

    first: int
    bits: int
    entries: npt.NDArray[np.uint16]

    @property
    def largest(self) -> int:
        """The greatest value that an entry may have."""
        return int(2**self.bits - 1)


@attrs.frozen
class Rescale:
    """output = slope * stored + intercept, PS3.3 C.11.1.1.2."""

    slope: float = 1.0
    intercept: float = 0.0


@attrs.frozen
class Window:
    """Centre and width with one of the functions of PS3.3 C.11.2.1.2 and C.11.2.1.3."""

    center: float
    width: float
    function: str = "LINEAR"


@attrs.frozen
class Display:
    """How a frame of one value a pixel wants to be shown.

    Attributes:
        modality: From stored values to units such as Hounsfield.
        voi: The file's lookup table or window, of values in those units; None where it has neither.
        padding: Least and greatest stored value of pixels outside the image.
        is_inverted: Whether the least value is white.
        stored_range: Least and greatest value that can be stored; None for floating-point values.
    """

    modality: Lut | Rescale
    voi: Lut | Window | None
    padding: tuple[float, float] | None
    is_inverted: bool
    stored_range: tuple[int, int] | None


def grey(stored: npt.NDArray[Any], display: Display, decoding: Decoding) -> npt.NDArray[np.uint8]:
    """Pixels from 0 to 255 of a frame of stored values.

    Raises:
        ValueError: The file's window is none of the standard, or floating-point values lie outside their range.
    """
    return through(stored, lambda values: _brightness(values, display, decoding))


def colors(stored: npt.NDArray[Any], bits_stored: int) -> npt.NDArray[np.uint8]:
    """Colours from 0 to 255 of unsigned values; colours take no window (PS3.3 C.11.2.1.2).

    Raises:
        ValueError: Values have more bits than the header says.
    """
    largest = 2**bits_stored - 1
    if int(stored.max()) > largest:
        raise ValueError(f"holds colours up to {stored.max()}, which {bits_stored} bits do not hold")
    return through(stored, lambda values: values / largest)


def palette_colors(stored: npt.NDArray[Any], palette: Sequence[Lut]) -> npt.NDArray[np.uint8]:
    """Colours from 0 to 255, of shape (H, W, 3), that tables for red, green and blue give stored values."""
    planes = [through(stored, partial(_share, lut)) for lut in palette]
    return np.stack(planes, axis=-1)


def _brightness(stored: Floats, display: Display, decoding: Decoding) -> Floats:
    values = _modality(stored, display.modality)
    if not np.isfinite(values).all():
        raise ValueError("holds values that its modality transform makes infinite")
    window = display.voi if decoding.dicom_window == "file" else decoding.dicom_window
    if isinstance(window, Lut):
        brightness = _share(window, values)
    elif isinstance(window, Window):
        brightness = _windowed(values, window)
    elif isinstance(window, tuple):
        center, width = window
        brightness = linear(values, center - width / 2, center + width / 2)
    elif window == "off":
        brightness = linear(values, *_possible_range(values, display, decoding))
    else:
        shown = values[~_is_padding(stored, display.padding)]
        if shown.size == 0 or shown.min() == shown.max():
            return np.zeros_like(values)
        brightness = linear(values, float(shown.min()), float(shown.max()))
    return 1.0 - brightness if display.is_inverted else brightness


def _modality(stored: Floats, modality: Lut | Rescale) -> Floats:
    if isinstance(modality, Lut):
        return _looked_up(stored, modality)
    return stored * modality.slope + modality.intercept


def _looked_up(values: Floats, lut: Lut) -> Floats:
    index = np.clip(np.rint(values) - lut.first, 0, len(lut.entries) - 1).astype(np.int64)
    entries: Floats = lut.entries[index].astype(np.float64)
    return entries


def _share(lut: Lut, values: Floats) -> Floats:
    """Entries of a table, from 0 to 1 by its bits."""
    return _looked_up(values, lut) / lut.largest


def _windowed(values: Floats, window: Window) -> Floats:
    """PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID) and C.11.2.1.3.2 (LINEAR_EXACT), with y from 0 to 1."""
    center, width = window.center, window.width
    if window.function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ValueError(f"has VOI LUT function {window.function!r}, which is not DICOM's; {CHOOSE_A_WINDOW}")
    if not (width >= 1 or (width > 0 and window.function != "LINEAR")):
        raise ValueError(f"has a window of width {width:g}, too narrow for {window.function}; {CHOOSE_A_WINDOW}")
    if window.function == "SIGMOID":
        # Beyond 700 the exponential overflows, where brightness is 0 to all 300 digits.
        return 1.0 / (1.0 + np.exp(np.minimum(-4.0 * (values - center) / width, 700.0)))
    if window.function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    if width == 0:
        return (values > center).astype(np.float64)
    return linear(values, center - width / 2, center + width / 2)


def _possible_range(values: Floats, display: Display, decoding: Decoding) -> tuple[float, float]:
    if display.stored_range is None:
        black, white = decoding.value_range or (0.0, 1.0)
        if decoding.value_range is None and (values.min() < black or values.max() > white):
            raise ValueError("holds floating-point values outside 0 to 1; set data.value_range to (black, white)")
        return black, white
    if isinstance(display.modality, Lut):
        return 0.0, float(display.modality.largest)
    ends = _modality(np.array(display.stored_range, dtype=np.float64), display.modality)
    return float(ends.min()), float(ends.max())


def _is_padding(stored: Floats, padding: tuple[float, float] | None) -> npt.NDArray[np.bool_]:
    if padding is None:
        return np.zeros(stored.shape, dtype=bool)
    return (stored >= padding[0]) & (stored <= padding[1])
