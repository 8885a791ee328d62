"""JPEG files in memory: what their header says, and their pixels at a fraction of the size."""

from __future__ import annotations

import io

import attrs
import numpy as np
import numpy.typing as npt
from PIL import Image

from lt_data.torch.turns import EXIF_TURNS, UPRIGHT, Turn

try:
    import simplejpeg
except ImportError:  # Pillow decodes the same pixels, in a third more time
    simplejpeg = None

FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Markers of baseline, extended and progressive frames, ITU-T T.81 table B.1."""
OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
START_OF_SCAN = 0xDA
APP1 = 0xE1
ORIENTATION = 274


@attrs.frozen
class JpegHeader:
    """What a file says of itself.

    Attributes:
        height: Rows as stored.
        width: Columns as stored.
        turn: What makes the image upright.
    """

    height: int
    width: int
    turn: Turn

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright image."""
        return self.turn.size(self.height, self.width)


def read_header(data: bytes) -> JpegHeader | None:
    """Size and orientation of an 8-bit grey or colour JPEG; None for any other file."""
    if data[:2] != b"\xff\xd8":
        return None
    position, has_metadata = 2, False
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in FRAMES and position + 10 <= len(data):
            precision, components = data[position + 4], data[position + 9]
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            width = int.from_bytes(data[position + 7 : position + 9], "big")
            if precision != 8 or components not in (1, 3) or 0 in (height, width):
                return None
            turn = _turn(data) if has_metadata else UPRIGHT
            return None if turn is None else JpegHeader(height, width, turn)
        if marker in OTHER_FRAMES or marker == START_OF_SCAN or length < 2:
            return None
        has_metadata |= marker == APP1
        position += 2 + length
    return None


def _turn(data: bytes) -> Turn | None:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return EXIF_TURNS.get(image.getexif().get(ORIENTATION, 1), UPRIGHT)
    # Metadata are other people's; whatever is wrong with them, `load_image` says.
    except Exception:
        return None


def decode(data: bytes, header: JpegHeader, scale: int, num_channels: int) -> npt.NDArray[np.uint8]:
    """Pixels as stored, uint8 (H, W, C) with H and W those of the header / `scale`, rounded up.

    Args:
        data: The file.
        header: Its header.
        scale: 1 or one of `SCALES`.
        num_channels: 1 or 3.

    Raises:
        OSError, ValueError, SyntaxError: The file is damaged.
    """
    height, width = -(-header.height // scale), -(-header.width // scale)
    if simplejpeg is not None and num_channels == 3:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width)
        return pixels
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        image.draft(image.mode, (header.width // scale, header.height // scale))
        pixels = np.asarray(image.convert("RGB" if num_channels == 3 else "L"))
    return pixels.reshape(height, width, num_channels)
