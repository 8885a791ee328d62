"""Files that end before what they say of themselves: TIFF and WebP, of which Pillow does not tell."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Literal, TypeAlias

import attrs

from lt_data.images.formats import looks_like_tiff, looks_like_webp

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""TIFF 6.0, section 2, and BigTIFF."""
_NUMBERS = {3: "H", 4: "I", 16: "Q"}
_PLACES = {273: 279, 324: 325}
"""The tags that say where strips and tiles begin, and those with their lengths."""

_ByteOrder: TypeAlias = Literal["<", ">"]


@attrs.frozen
class _Entry:
    kind: int
    count: int
    start: int

    @property
    def end(self) -> int:
        return self.start + self.count * _TYPE_BYTES.get(self.kind, 1)


def cut_short(stream: BinaryIO, head: bytes) -> str | None:
    """What to say of a TIFF or WebP file that refers to bytes behind its end; None of all others.

    Args:
        stream: The file; it is at its beginning afterwards.
        head: Its first bytes.
    """
    if not looks_like_tiff(head) and not looks_like_webp(head):
        return None
    size = stream.seek(0, os.SEEK_END)
    try:
        ends = (
            _tiff_ends(stream, size, "<" if head[:2] == b"II" else ">") if looks_like_tiff(head) else _webp_ends(head)
        )
        needed = next((end for end in ends if end > size), None)
    finally:
        stream.seek(0)
    return None if needed is None else f"is truncated or damaged: has {size} bytes, but refers to byte {needed}"


def _webp_ends(head: bytes) -> Iterator[int]:
    yield 8 + int.from_bytes(head[4:8], "little")


def _tiff_ends(stream: BinaryIO, size: int, order: _ByteOrder) -> Iterator[int]:
    """Ends of the parts of the first page, each only read once those before it are known to be there."""
    stream.seek(2)
    is_big = stream.read(2) in (b"+\0", b"\0+")
    header, number, entry_bytes, word = (16, "Q", 20, 8) if is_big else (8, "H", 12, 4)
    yield header
    start = _unpack(stream, header - word, order + ("Q" if is_big else "I"))[0]
    first = start + struct.calcsize(number)
    yield first
    count = _unpack(stream, start, order + number)[0]
    yield first + count * entry_bytes + word
    entries: dict[int, _Entry] = {}
    for i in range(count):
        entry = first + i * entry_bytes
        tag, kind, values = _unpack(stream, entry, f"{order}HH{'Q' if is_big else 'I'}")
        place = entry + entry_bytes - word
        is_inside = values * _TYPE_BYTES.get(kind, 1) <= word
        at = place if is_inside else _unpack(stream, place, order + ("Q" if is_big else "I"))[0]
        entries[tag] = _Entry(kind, values, at)
        yield entries[tag].end
    for starts, lengths in _PLACES.items():
        if starts in entries and lengths in entries:
            places = zip(
                _values(stream, entries[starts], order), _values(stream, entries[lengths], order), strict=False
            )
            yield max((at + length for at, length in places), default=0)


def _values(stream: BinaryIO, entry: _Entry, order: _ByteOrder) -> tuple[int, ...]:
    if entry.kind not in _NUMBERS:
        return ()
    return _unpack(stream, entry.start, f"{order}{entry.count}{_NUMBERS[entry.kind]}")


def _unpack(stream: BinaryIO, start: int, layout: str) -> tuple[int, ...]:
    stream.seek(start)
    return struct.unpack(layout, stream.read(struct.calcsize(layout)))
