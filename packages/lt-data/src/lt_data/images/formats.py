"""Which files are images. What is not listed here is never opened, and content decides, not the name."""

from __future__ import annotations

import os
import stat

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".dcm"},
)
"""Endings of image files, in lower case."""

PILLOW_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
"""Decoders that a file may reach, whatever its ending. None of them starts another program, as EPS would."""

MAX_PIXELS = 178_956_970
"""Images above this many pixels are refused from their header: the limit at which Pillow suspects an attack."""

HEAD_BYTES = 132
"""What `looks_like_dicom` needs of a file: the preamble and the prefix of DICOM PS3.10 section 7.1."""


def is_image_name(name: str) -> bool:
    """Whether a file name has the ending of an image, in any case."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def may_be_dicom(name: str) -> bool:
    """Whether a name is one that DICOM files often have and that says nothing: no ending, or digits (`1.2.840.5`)."""
    ending = os.path.splitext(name)[1][1:]
    return not ending or (ending.isascii() and ending.isdigit())


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file that begins with these 132 bytes is DICOM."""
    return head[128:HEAD_BYTES] == b"DICM"


def looks_like_tiff(head: bytes) -> bool:
    """Whether a file that begins with these bytes is TIFF or BigTIFF, of either byte order."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def looks_like_webp(head: bytes) -> bool:
    """Whether a file that begins with these bytes is WebP."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def read_head(path: str | os.PathLike[str], size: int) -> bytes:
    """The first bytes of a regular file; none of what cannot be opened, and pipes and devices are not opened."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b""
        with open(path, "rb", buffering=0) as stream:
            return stream.read(size)
    except OSError:
        return b""


def sniff_dicom(path: str | os.PathLike[str]) -> bool:
    """Whether a file is DICOM by its content; False for what cannot be read."""
    return looks_like_dicom(read_head(path, HEAD_BYTES))
