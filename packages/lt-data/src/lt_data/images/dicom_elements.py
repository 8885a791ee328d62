"""The elements of a DICOM header that say how its values are shown, as data of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lt_data.images.dicom_display import Display, Lut, Rescale, Window
from lt_data.images.dicom_header import Header

COLORS = ("Red", "Green", "Blue")


def read_display(header: Header, frame: int) -> Display:
    """How one frame wants to be shown: its own functional groups, those shared by all, or the file's (PS3.3 C.7.6.16).

    Raises:
        ValueError: An element contradicts another or the standard.
    """
    dataset = header.dataset
    rescale = _functional_group(dataset, frame, "PixelValueTransformationSequence")
    voi = _functional_group(dataset, frame, "FrameVOILUTSequence")
    low = -(2 ** (header.bits_stored - 1)) if header.is_signed else 0
    return Display(
        modality=_modality(dataset if rescale is None else rescale, header.is_big_endian),
        voi=_voi(dataset if voi is None else voi, header.is_big_endian),
        padding=_padding(header),
        is_inverted=header.photometric == "MONOCHROME1",
        stored_range=None if header.is_float else (low, low + 2**header.bits_stored - 1),
    )


def read_palette(header: Header) -> tuple[Lut, Lut, Lut]:
    """Tables for red, green and blue of a PALETTE COLOR image, plain or segmented (PS3.3 C.7.6.3.1.5 and C.7.9.2)."""
    red, green, blue = (_palette(header.dataset, color, header.is_big_endian) for color in COLORS)
    return red, green, blue


def _functional_group(dataset: Any, frame: int, keyword: str) -> Any | None:
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    shared = dataset.get("SharedFunctionalGroupsSequence")
    for groups in (per_frame[frame] if per_frame else None, shared[0] if shared else None):
        if groups is not None and groups.get(keyword):
            return groups[keyword].value[0]
    return None


def _modality(item: Any, is_big_endian: bool) -> Lut | Rescale:
    if item.get("ModalityLUTSequence"):
        return _lut(item.ModalityLUTSequence[0], is_big_endian)
    slope, intercept = item.get("RescaleSlope"), item.get("RescaleIntercept")
    if slope is None and intercept is None:
        return Rescale()
    if slope is None or intercept is None or float(slope) == 0.0:
        raise ValueError(f"has rescale slope {slope} and intercept {intercept}, which is no transform")
    return Rescale(float(slope), float(intercept))


def _voi(item: Any, is_big_endian: bool) -> Lut | Window | None:
    if item.get("VOILUTSequence"):
        return _lut(item.VOILUTSequence[0], is_big_endian)
    center, width = _first(item.get("WindowCenter")), _first(item.get("WindowWidth"))
    if center is None or width is None:
        return None
    return Window(float(center), float(width), str(item.get("VOILUTFunction") or "LINEAR").strip().upper())


def _first(value: Any) -> Any:
    """Of several windows the first: the others are alternatives."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    first = (value[0] if len(value) else None) if several else value
    return None if first == "" else first


def _padding(header: Header) -> tuple[float, float] | None:
    """Pixel padding, PS3.3 C.7.5.1.1.2: one value, or all from it to the limit."""
    prefix = {"FloatPixelData": "Float", "DoubleFloatPixelData": "DoubleFloat"}.get(header.keyword, "")
    value = header.dataset.get(f"{prefix}PixelPaddingValue")
    limit = header.dataset.get(f"{prefix}PixelPaddingRangeLimit")
    if value is None:
        return None
    ends = float(value), float(value if limit is None else limit)
    return min(ends), max(ends)


def _palette(dataset: Any, color: str, is_big_endian: bool) -> Lut:
    descriptor = dataset[f"{color}PaletteColorLookupTableDescriptor"].value
    plain = dataset.get(f"{color}PaletteColorLookupTableData")
    if plain is not None:
        return _table(descriptor, _words(plain, is_big_endian))
    words = _words(dataset[f"Segmented{color}PaletteColorLookupTableData"].value, is_big_endian)
    unit_bytes = 1 if int(descriptor[2]) <= 8 else 2
    units = words if unit_bytes == 2 else _bytes_of(words)
    entries = _expanded(units.tolist(), unit_bytes, _entries(descriptor))
    if len(entries) != _entries(descriptor):
        raise ValueError(f"has a segmented lookup table of {len(entries)} entries, expected {_entries(descriptor)}")
    return _table(descriptor, np.array(entries, dtype=np.uint16))


def _lut(item: Any, is_big_endian: bool) -> Lut:
    return _table(item.LUTDescriptor, _words(item.LUTData, is_big_endian))


def _entries(descriptor: Any) -> int:
    """Number of entries, PS3.3 C.11.1.1: 0 stands for 65536."""
    return int(descriptor[0]) & 0xFFFF or 2**16


def _table(descriptor: Any, words: npt.NDArray[np.uint16]) -> Lut:
    """A table of its descriptor (number of entries, first value, bits) and its words, of one or two entries each."""
    count, first, bits = _entries(descriptor), int(descriptor[1]), int(descriptor[2])
    if len(words) == (count + 1) // 2 < count:
        words, bits = _bytes_of(words), min(bits, 8)
    if len(words) < count:
        raise ValueError(f"has a lookup table of {len(words)} entries, expected {count}")
    largest = int(words[:count].max())
    if not 1 <= bits <= 16 or largest >= 2**bits:
        raise ValueError(f"has a lookup table with entries up to {largest}, which {bits} bits do not hold")
    return Lut(first, bits, words[:count])


def _words(data: Any, is_big_endian: bool) -> npt.NDArray[np.uint16]:
    """16-bit words of a value that pydicom gives as bytes, one number or numbers."""
    if isinstance(data, bytes):
        even = data[: len(data) // 2 * 2]
        return np.frombuffer(even, dtype=">u2" if is_big_endian else "<u2").astype(np.uint16)
    return (np.atleast_1d(np.array(data, dtype=np.int64)) & 0xFFFF).astype(np.uint16)


def _bytes_of(words: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    """Bytes of words, the low one first (PS3.5 section 8.1.1)."""
    return words.astype("<u2").view(np.uint8).astype(np.uint16)


def _expanded(units: list[int], unit_bytes: int, count: int) -> list[int]:
    """Entries of a segmented table, PS3.3 C.7.9.2: indirect segments (2) repeat others, by their offset in bytes."""
    entries: list[int] = []
    position = 0
    while len(entries) < count and position + 1 < len(units):
        if units[position] == 2:
            parts = units[position + 2 : position + 2 + 4 // unit_bytes]
            source = sum(part << (8 * unit_bytes * i) for i, part in enumerate(parts)) // unit_bytes
            for _ in range(units[position + 1]):
                source = _append_segment(entries, units, source, count)
            position += 2 + len(parts)
        else:
            position = _append_segment(entries, units, position, count)
    return entries


def _append_segment(entries: list[int], units: list[int], position: int, count: int) -> int:
    """Add what a discrete (0) or linear (1) segment holds; returns where the next one begins."""
    opcode, length = units[position], units[position + 1]
    if len(entries) + length > count:
        raise ValueError(f"has a segmented lookup table of more than {count} entries")
    if opcode == 0:
        entries += units[position + 2 : position + 2 + length]
        return position + 2 + length
    if opcode == 1 and entries:
        steps = np.linspace(entries[-1], units[position + 2], length + 1)[1:]
        entries += np.rint(steps).astype(int).tolist()
        return position + 3
    raise ValueError(f"has a segmented lookup table whose segment at {position} is of no kind that may stand there")
