"""Which files are images. What is not listed here is never opened."""

from __future__ import annotations

import os

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"},
)
"""Endings of image files, in lower case."""

PILLOW_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
"""Decoders that a file may reach, whatever its ending. None of them starts another program, as EPS would."""

MAX_PIXELS = 178_956_970
"""Images above this many pixels are refused from their header: the limit at which Pillow suspects an attack."""


def is_image_name(name: str) -> bool:
    """Whether a file name has the ending of an image, in any case."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
