"""How the pixels of a DICOM file are encoded, and whether this installation can decode that."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from lt_data.images.formats import HEAD_BYTES, looks_like_dicom, read_head

HEADER_BYTES = 4096
"""Where file meta information ends in practice: it is some 200 bytes long."""

PIP_INSTALL = 'pip install "lt-data[dicom]"'

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"

NATIVE: Mapping[str, str] = {
    "": "no transfer syntax",
    IMPLICIT_LITTLE: "Implicit VR Little Endian",
    EXPLICIT_LITTLE: "Explicit VR Little Endian",
    EXPLICIT_BIG: "Explicit VR Big Endian",
    DEFLATED: "Deflated Explicit VR Little Endian",
}
"""Uncompressed pixels, which need pydicom alone."""

JPEG: Mapping[str, str] = {
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless, first-order prediction",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
}
JPEG_2000: Mapping[str, str] = {
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 Lossless, RPCL",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
}
NAMES: Mapping[str, str] = {**NATIVE, **JPEG, **JPEG_2000, RLE: "RLE Lossless"}

LONG_LENGTHS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
"""Value representations whose length takes four bytes after two reserved ones (PS3.5 table 7.1-1)."""


def undecodable(path: Path) -> str | None:
    """Why the pixels of a DICOM file cannot be decoded by what is installed, in one sentence; None where they can.

    Reads the first few KB only. Files that are not DICOM, or cannot be opened, are for `load_image` to judge.
    """
    head = read_head(path, HEADER_BYTES)
    if looks_like_dicom(head) or (os.fspath(path).lower().endswith(".dcm") and begins_with_a_tag(head)):
        return missing(file_meta(head)[0])
    return None


@functools.cache
def missing(uid: str) -> str | None:
    """What decoding a transfer syntax lacks here, in one sentence with the command that installs it; None if nothing.

    Args:
        uid: Transfer syntax; empty where a file names none and is therefore not compressed.
    """
    if importlib.util.find_spec("pydicom") is None:
        return f"DICOM files need pydicom: {PIP_INSTALL}"
    if uid not in NAMES:
        return f"transfer syntax {uid} is none that lt-data decodes; convert the file to Explicit VR Little Endian"
    plugins = {"pylibjpeg": "pylibjpeg", "libjpeg": "pylibjpeg-libjpeg"} if uid in JPEG else {}
    plugins = {"pylibjpeg": "pylibjpeg", "openjpeg": "pylibjpeg-openjpeg"} if uid in JPEG_2000 else plugins
    absent = [wheel for module, wheel in plugins.items() if importlib.util.find_spec(module) is None]
    if absent:
        return f"transfer syntax {NAMES[uid]} ({uid}) needs {' and '.join(absent)}: {PIP_INSTALL}"
    return None


def begins_with_a_tag(head: bytes) -> bool:
    """Whether a file without DICOM's preamble begins as a data set: group 2 or 8, of either byte order."""
    return head[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08")


def file_meta(content: bytes) -> tuple[str, int]:
    """Transfer syntax UID (0002,0010), empty if there is none, and where the data set begins.

    Elements of group 2 are explicit little endian whatever follows (PS3.10 section 7.1).
    """
    offset = HEAD_BYTES if looks_like_dicom(content) else 0
    uid = ""
    while content[offset : offset + 2] == b"\x02\x00":
        is_long = content[offset + 4 : offset + 6] in LONG_LENGTHS
        start = offset + (12 if is_long else 8)
        length = int.from_bytes(content[start - 4 if is_long else start - 2 : start], "little")
        if content[offset + 2 : offset + 4] == b"\x10\x00":
            uid = content[start : start + length].rstrip(b"\0 ").decode("ascii", "replace")
        offset = start + length
    return uid, offset
