"""What the header of a DICOM file says about its pixels, checked before any is decoded."""

from __future__ import annotations

import io
import math
import os
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO, Literal

import attrs

from lt_data.images.formats import HEAD_BYTES, MAX_PIXELS, looks_like_dicom
from lt_data.images.transfer_syntax import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    HEADER_BYTES,
    IMPLICIT_LITTLE,
    NATIVE,
    RLE,
    file_meta,
    missing,
)

MAX_INFLATED_BYTES = 128 * 2**20
"""Deflated files (PS3.5 A.5) that grow above this are refused: deflate packs as many zeros into 130 KB."""

PIXEL_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"UN"})

UNDEFINED_LENGTH = 0xFFFFFFFF

PIXEL_TAGS: Mapping[tuple[int, int], str] = {
    (0x7FE0, 0x0010): "PixelData",
    (0x7FE0, 0x0008): "FloatPixelData",
    (0x7FE0, 0x0009): "DoubleFloatPixelData",
}

SAMPLES: Mapping[str, int] = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
"""Values a pixel of the photometric interpretations that lt-data reads."""


@attrs.frozen
class Header:
    """Layout of the pixels of a DICOM file.

    Attributes:
        dataset: The `pydicom.Dataset` up to the pixels.
        stream: Positioned at the value of the pixel data element.
        transfer_syntax: UID of the encoding.
        keyword: `PixelData`, `FloatPixelData` or `DoubleFloatPixelData`.
        vr: Value representation of that element, empty in implicit files.
        photometric: Photometric interpretation, a key of `SAMPLES`.
        rows: Height in pixels.
        columns: Width in pixels.
        bits_allocated: Bits that a value takes in the file.
        bits_stored: Bits of them that mean something.
        is_signed: Whether values are two's complement.
        frames: How many frames there are, at least 1.
    """

    dataset: Any
    stream: BinaryIO
    transfer_syntax: str
    keyword: str
    vr: str
    photometric: str
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    frames: int

    @property
    def samples(self) -> int:
        """Values a pixel."""
        return SAMPLES[self.photometric]

    @property
    def is_float(self) -> bool:
        """Whether values are floating-point."""
        return self.keyword != "PixelData"

    @property
    def is_big_endian(self) -> bool:
        """Whether words have their high byte first."""
        return self.transfer_syntax == EXPLICIT_BIG


def read_header(stream: BinaryIO) -> Header:
    """Header of a DICOM file, with or without preamble, that is safe to decode.

    Raises:
        ValueError: It is not DICOM, has no pixels, is larger than it may be, or is encoded as nothing here decodes.
        Exception: Whatever pydicom raises on a damaged file.
    """
    head = stream.read(HEADER_BYTES)
    stream.seek(0)
    _require(missing(file_meta(head)[0]))
    import pydicom

    stream = _inflated(stream.read()) if file_meta(head)[0] == DEFLATED else stream
    dataset = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
    if "Rows" not in dataset:
        raise ValueError("is DICOM without an image" if looks_like_dicom(head[:HEAD_BYTES]) else "is not DICOM")
    is_implicit, is_little_endian = dataset.original_encoding
    encoding = IMPLICIT_LITTLE if is_implicit else EXPLICIT_LITTLE if is_little_endian else EXPLICIT_BIG
    uid = str(dataset.file_meta.get("TransferSyntaxUID") or encoding)
    _require(missing(uid))
    keyword, vr, length = _pixel_element(stream, "little" if is_little_endian else "big")
    header = Header(
        dataset=dataset,
        stream=stream,
        transfer_syntax=uid,
        keyword=keyword,
        vr=vr,
        photometric=str(dataset.get("PhotometricInterpretation")).strip().upper(),
        rows=_integer(dataset, "Rows", 0),
        columns=_integer(dataset, "Columns", 0),
        bits_allocated=_integer(dataset, "BitsAllocated", 0),
        bits_stored=_integer(dataset, "BitsStored" if keyword == "PixelData" else "BitsAllocated", 0),
        is_signed=keyword == "PixelData" and _integer(dataset, "PixelRepresentation", 0) == 1,
        frames=_integer(dataset, "NumberOfFrames", 1) or 1,
    )
    _check_layout(header)
    _check_length(header, length)
    return header


def _require(problem: str | None) -> None:
    if problem is not None:
        raise ValueError(problem)


def _inflated(content: bytes) -> BinaryIO:
    """A deflated file as an explicit little endian one."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    dataset = inflater.decompress(content[file_meta(content)[1] :], MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        raise ValueError(f"inflates to more than {MAX_INFLATED_BYTES} bytes; store it without deflate")
    if not inflater.eof:
        raise ValueError("is cut within its deflated data set")
    uid = EXPLICIT_LITTLE.encode().ljust(20, b"\0")
    syntax = b"\x02\x00\x10\x00UI" + len(uid).to_bytes(2, "little") + uid
    group_length = b"\x02\x00\x00\x00UL\x04\x00" + len(syntax).to_bytes(4, "little")
    return io.BytesIO(bytes(128) + b"DICM" + group_length + syntax + dataset)


def _pixel_element(stream: BinaryIO, order: Literal["little", "big"]) -> tuple[str, str, int]:
    """Keyword, VR and length of the element that the stream stands at, PS3.5 section 7.1; the stream is moved on."""
    start = stream.read(8)
    tag = int.from_bytes(start[:2], order), int.from_bytes(start[2:4], order)
    if tag not in PIXEL_TAGS or len(start) < 8:
        raise ValueError("is DICOM without pixel data")
    # A length is even and none of these letters are, so this tells also where a file names the wrong encoding.
    if start[4:6] in PIXEL_VRS:
        return PIXEL_TAGS[tag], start[4:6].decode(), int.from_bytes(stream.read(4), order)
    return PIXEL_TAGS[tag], "", int.from_bytes(start[4:], order)


def _integer(dataset: Any, keyword: str, default: int) -> int:
    value = dataset.get(keyword)
    try:
        return default if value in (None, "") else int(value)
    except (TypeError, ValueError):
        raise ValueError(f"has {keyword} {value!r}, expected an integer") from None


def _check_layout(header: Header) -> None:
    dataset = header.dataset
    if header.photometric not in SAMPLES:
        raise ValueError(f"has photometric interpretation {header.photometric}, expected {', '.join(SAMPLES)}")
    samples = _integer(dataset, "SamplesPerPixel", 1)
    if samples != header.samples:
        raise ValueError(f"has {samples} samples per pixel, which {header.photometric} never has")
    if header.rows < 1 or header.columns < 1 or header.frames < 1:
        raise ValueError(f"has {header.rows} rows, {header.columns} columns and {header.frames} frames")
    if header.rows * header.columns * header.samples > MAX_PIXELS:
        values = f"{header.columns} x {header.rows} x {header.samples}"
        raise ValueError(f"{values} values are above {MAX_PIXELS}")
    if not 1 <= header.bits_stored <= header.bits_allocated:
        raise ValueError(f"has {header.bits_stored} bits stored of {header.bits_allocated} allocated")
    high_bit = _integer(dataset, "HighBit", header.bits_stored - 1)
    is_packed = header.transfer_syntax in NATIVE or header.transfer_syntax == RLE
    if is_packed and not header.is_float and high_bit != header.bits_stored - 1:
        raise ValueError(f"has its {header.bits_stored} bits up to bit {high_bit}, expected {header.bits_stored - 1}")
    if header.samples == 3 and (header.is_signed or header.is_float):
        raise ValueError("has colours that are not unsigned integers")


def _check_length(header: Header, length: int) -> None:
    """Refuse pixel data that are shorter than the frames, or so long that the header must describe other frames."""
    start = header.stream.tell()
    remaining = header.stream.seek(0, os.SEEK_END) - start
    header.stream.seek(start)
    if header.transfer_syntax not in NATIVE:
        if length != UNDEFINED_LENGTH:
            raise ValueError(f"has pixel data of {length} bytes that are not encapsulated, as its transfer syntax says")
        if header.frames * 8 > remaining:
            raise ValueError(f"has {header.frames} frames in {remaining} bytes, which cannot be")
        return
    if length == UNDEFINED_LENGTH:
        raise ValueError("has compressed pixel data, but names no transfer syntax that says how")
    bits = header.rows * header.columns * header.samples * header.bits_allocated
    if header.photometric == "YBR_FULL_422":
        bits = bits * 2 // 3
    expected = math.ceil(bits * header.frames / 8)
    if min(length, remaining) < expected:
        raise ValueError(f"has {min(length, remaining)} bytes of pixel data, expected {expected}: it is cut or damaged")
    is_padded = length == expected + expected % 2
    if not is_padded and (length - expected) * 8 >= (bits // 2 if header.photometric == "YBR_FULL_422" else bits):
        raise ValueError(f"has {length} bytes of pixel data, but its header describes {expected}")
