"""TIFF files with more samples a pixel than Pillow knows, such as satellite bands."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lt_data.errors import ImageDecodeError
from lt_data.images.formats import MAX_PIXELS
from lt_data.images.modes import sixteen_bit_or_float
from lt_data.images.quiet import quiet
from lt_data.images.scaling import through

PIP_INSTALL = 'pip install "lt-data[tiff]"'

UPRIGHT: Mapping[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    1: lambda rows: rows,
    2: lambda rows: rows[:, ::-1],
    3: lambda rows: rows[::-1, ::-1],
    4: lambda rows: rows[::-1],
    5: lambda rows: rows.swapaxes(0, 1),
    6: lambda rows: rows.swapaxes(0, 1)[:, ::-1],
    7: lambda rows: rows[::-1, ::-1].swapaxes(0, 1),
    8: lambda rows: rows.swapaxes(0, 1)[::-1],
}
"""By the Orientation tag, TIFF 6.0 page 36."""


def read_bands(
    stream: BinaryIO, path: Path | str, num_channels: int, value_range: tuple[float, float] | None, max_pixels: int
) -> npt.NDArray[np.uint8]:
    """Pixels of the first page of a TIFF file whose number of samples a pixel is `num_channels`.

    Returns:
        uint8 of shape (H, W, num_channels).

    Raises:
        ImageDecodeError: tifffile is absent, or the page is damaged or of another kind; names the file and the reason.
    """
    if importlib.util.find_spec("tifffile") is None:
        raise ImageDecodeError(f"{path}: TIFF with {num_channels} channels needs tifffile: {PIP_INSTALL}", path=path)
    try:
        with quiet():
            return _first_page(stream, num_channels, value_range, max_pixels)
    except Exception as error:  # tifffile raises whatever a damaged file leads it to
        reason = " ".join(str(error).split())
        kind = "" if isinstance(error, ValueError) and reason else f"is damaged TIFF ({type(error).__name__}) "
        raise ImageDecodeError(f"{path}: {kind}{reason}", path=path) from error


def _first_page(
    stream: BinaryIO, num_channels: int, value_range: tuple[float, float] | None, max_pixels: int
) -> npt.NDArray[np.uint8]:
    import tifffile

    # A page alone, never a series: series of OME-TIFF are gathered from other files.
    with tifffile.TiffFile(stream) as file:
        page: Any = file.pages[0]
        if page.samplesperpixel != num_channels or page.axes not in ("YXS", "SYX"):
            raise ValueError(f"has {page.samplesperpixel} channels, expected {num_channels}")
        if page.size > MAX_PIXELS:
            raise ValueError(f"{page.imagewidth} x {page.imagelength} x {num_channels} values are above {MAX_PIXELS}")
        if page.imagewidth * page.imagelength > max_pixels:
            raise ValueError(f"{page.imagewidth} x {page.imagelength} pixels are above {max_pixels}")
        orientation = page.tags.valueof("Orientation", 1)
        values = page.asarray(maxworkers=1)
        values = values if page.axes == "YXS" else np.moveaxis(values, 0, 2)
    values = np.ascontiguousarray(UPRIGHT[int(orientation)](values))
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f" and values.dtype.itemsize != 2:
        raise ValueError(f"holds {values.dtype} values, expected 8 or 16 bits or floating point")
    return through(values, sixteen_bit_or_float(values.dtype.kind == "f", value_range))
