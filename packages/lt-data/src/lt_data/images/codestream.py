"""What a compressed frame says of itself, read before a decoder reserves memory for it."""

from __future__ import annotations

import attrs

FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15 of ISO/IEC 10918-1 table B.1 without DHT, JPG and DAC; SOF55 of JPEG-LS, ISO/IEC 14495-1."""


@attrs.frozen
class Codestream:
    """Dimensions of a compressed frame.

    Attributes:
        rows: Height in pixels.
        columns: Width in pixels.
        samples: Values a pixel.
        is_rgb: Whether three decoded values are RGB (True) or luma and chroma (False); None where it does not say.
    """

    rows: int
    columns: int
    samples: int
    is_rgb: bool | None = None


def read_jpeg(data: bytes) -> Codestream:
    """Header of JPEG or JPEG-LS, from its SOF marker segment and Adobe's APP14.

    Raises:
        ValueError: It is neither, or gives its dimensions more than once.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("its frame is not JPEG, as the transfer syntax says")
    found: Codestream | None = None
    is_rgb: bool | None = None
    offset = 2
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF:
            offset += 1
            continue
        if marker == 0xDA and found is not None:
            return attrs.evolve(found, is_rgb=is_rgb)
        length = _big_endian(data, offset + 2, 2)
        segment = data[offset + 4 : offset + 2 + length]
        # Hierarchical JPEG (DHP) and oversize JPEG-LS (LSE 4) have dimensions elsewhere than in SOF.
        if marker == 0xDE or (marker == 0xF8 and segment[:1] == b"\x04") or (marker in FRAME_MARKERS and found):
            raise ValueError("its JPEG frame gives its dimensions more than once")
        if marker in FRAME_MARKERS and len(segment) >= 6:
            found = Codestream(_big_endian(segment, 1, 2), _big_endian(segment, 3, 2), segment[5])
        if marker == 0xEE and segment[:5] == b"Adobe" and len(segment) >= 12:
            is_rgb = segment[11] == 0
        offset += 2 + max(length, 2)
    raise ValueError("the header of its JPEG frame is damaged")


def read_jpeg2000(data: bytes) -> Codestream:
    """Header of JPEG 2000 or High-Throughput JPEG 2000, bare or in a JP2 file, from SIZ and COD.

    Raises:
        ValueError: It is not JPEG 2000.
    """
    offset = _codestream_offset(data)
    if data[offset : offset + 4] != b"\xff\x4f\xff\x51" or len(data) < offset + 42:
        raise ValueError("its frame is not JPEG 2000, as the transfer syntax says")
    # ISO/IEC 15444-1 table A.9: the image lies between its offset and the extent of the reference grid.
    width, height, left, top = (_big_endian(data, offset + position, 4) for position in (8, 12, 16, 20))
    is_rgb = True if _has_color_transform(data, offset + 2) else None
    return Codestream(height - top, width - left, _big_endian(data, offset + 40, 2), is_rgb)


def _has_color_transform(data: bytes, offset: int) -> bool:
    """Whether the decoder undoes a colour transform, ISO/IEC 15444-1 table A.15, so that RGB comes out."""
    while data[offset : offset + 1] == b"\xff" and offset + 9 <= len(data):
        if data[offset + 1] == 0x52:
            return data[offset + 8] != 0
        offset += 2 + max(_big_endian(data, offset + 2, 2), 2)
    return False


def _codestream_offset(data: bytes) -> int:
    if data[4:8] != b"jP  ":
        return 0
    offset = 0
    while offset + 16 <= len(data):
        length = _big_endian(data, offset, 4)
        header = 16 if length == 1 else 8
        if data[offset + 4 : offset + 8] == b"jp2c":
            return offset + header
        offset += max(_big_endian(data, offset + 8, 8) if length == 1 else length, header)
    return len(data)


def _big_endian(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "big")
