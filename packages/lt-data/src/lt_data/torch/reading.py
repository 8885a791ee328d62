"""Files for training, decoded no further than a crop of them needs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.images.decoding import Decoding, Frame
from lt_data.images.formats import MAX_PIXELS
from lt_data.images.open import load_image
from lt_data.preprocessing import Box
from lt_data.torch.jpeg import JpegHeader, decode, read_header
from lt_data.torch.turns import UPRIGHT, Turn

JPEG_SUFFIXES = (".jpg", ".jpeg")

OVERSAMPLING = {8: 4.0, 4: 1.5, 2: 2.0}
"""A JPEG is decoded at 1/8, 1/4 or 1/2 where at least so many of its pixels are then left for each that is wanted.

The resize averages over the difference: it is that between a bilinear and a bicubic filter or less, see
`test_decoding_at_a_fraction_changes_hardly_a_pixel`. libjpeg-turbo's other fractions are slow."""


@attrs.frozen(eq=False)
class Pixels:
    """An image that is decoded: all of it is there.

    Attributes:
        array: uint8 of shape (H, W, C).
    """

    array: npt.NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.array.shape[0], self.array.shape[1]

    def read(self, box: Box, wanted: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], Turn]:
        """The pixels of a box, and how to turn them upright."""
        return self.array[box.top : box.top + box.height, box.left : box.left + box.width], UPRIGHT

    def whole(self) -> npt.NDArray[np.uint8]:
        """All pixels, upright."""
        return self.array


@attrs.frozen(eq=False)
class Jpeg:
    """A JPEG file that is not decoded yet.

    Attributes:
        path: The file.
        data: Its content.
        header: Its size and orientation.
        num_channels: 1 or 3.
    """

    path: Path
    data: bytes
    header: JpegHeader
    num_channels: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright image."""
        return self.header.size

    def read(self, box: Box, wanted: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], Turn]:
        """The pixels of a box, at a fraction of the size where `wanted` needs no more, and how to turn them upright.

        Args:
            box: Part of the upright image.
            wanted: Height and width to which the upright part will be resized.

        Raises:
            ImageDecodeError: The file is not a whole image.
        """
        scale = jpeg_scale((box.height, box.width), wanted)
        try:
            array = decode(self.data, self.header, scale, self.num_channels)
        except (OSError, ValueError, SyntaxError):
            return Pixels(self.whole()).read(box, wanted)
        stored = self.header.turn.box_before(box, *self.size)
        part = array[_part(stored.top, stored.height, scale), _part(stored.left, stored.width, scale)]
        return part, self.header.turn

    def whole(self) -> npt.NDArray[np.uint8]:
        """All pixels, upright, at full size.

        Raises:
            ImageDecodeError: The file is not a whole image.
        """
        return load_image(self.path, self.num_channels)


def open_image(image: Path | Frame, num_channels: int, decoding: Decoding) -> Jpeg | Pixels:
    """Open an image for reading a part of it: JPEGs by their header, others whole.

    Raises:
        ImageDecodeError: The file is not a whole image that lt-data reads; of a JPEG, reading may find it later.
    """
    jpeg = _open_jpeg(image, num_channels) if isinstance(image, Path) and num_channels in (1, 3) else None
    return jpeg or Pixels(load_image(image, num_channels, decoding))


def jpeg_scale(box: tuple[int, int], wanted: tuple[int, int]) -> int:
    """By how much a JPEG may shrink while it is decoded, if a box of it becomes `wanted` in size: 1, 2, 4 or 8."""
    for scale, oversampling in OVERSAMPLING.items():
        if all(side >= scale * oversampling * target for side, target in zip(box, wanted, strict=True)):
            return scale
    return 1


def _open_jpeg(path: Path, num_channels: int) -> Jpeg | None:
    """The file, if it is a JPEG like most; whatever else it is, `load_image` says."""
    if not path.name.lower().endswith(JPEG_SUFFIXES):
        return None
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        data = path.read_bytes()
    except OSError:
        return None
    header = read_header(data)
    if header is None or header.height * header.width > MAX_PIXELS:
        return None
    return Jpeg(path, data, header, num_channels)


def _part(start: int, length: int, scale: int) -> slice:
    """Rows or columns of a box after shrinking, whole pixels at either end."""
    return slice(start // scale, -(-(start + length) // scale))
