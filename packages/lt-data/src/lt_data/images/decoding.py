"""What a file does not say about its own pixels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs

from lt_data.validators import one_of

DicomWindow: TypeAlias = Literal["file", "off"] | tuple[float, float]
DicomFrame: TypeAlias = Literal["middle", "all"] | int


@attrs.frozen
class Frame:
    """One frame of a DICOM file with several, wherever an image is expected.

    Attributes:
        path: The file.
        index: The frame, from 0.
    """

    path: Path
    index: int


def valid_range(instance: object, attribute: attrs.Attribute[Any], value: tuple[float, float] | None) -> None:
    """Refuse a range that is empty or not finite."""
    if value is not None and not (math.isfinite(value[0]) and math.isfinite(value[1]) and value[0] < value[1]):
        raise ValueError(f"{attribute.name} must be (black, white) with black below white, got {value}")


def valid_window(instance: object, attribute: attrs.Attribute[Any], value: DicomWindow) -> None:
    """Refuse a window without width."""
    if isinstance(value, str):
        one_of("file", "off")(instance, attribute, value)
    elif not (math.isfinite(value[0]) and 0.0 < value[1] < math.inf):
        raise ValueError(f"{attribute.name} must be (center, width) with a finite width above 0, got {value}")


def valid_frame(instance: object, attribute: attrs.Attribute[Any], value: DicomFrame) -> None:
    """Refuse a frame before the first."""
    if isinstance(value, str):
        one_of("middle", "all")(instance, attribute, value)
    elif value < 0:
        raise ValueError(f"{attribute.name} must be 'middle', 'all' or an index from 0, got {value}")


@attrs.frozen(kw_only=True)
class Decoding:
    """How files whose values are not 8-bit become pixels from 0 to 255: alike in training, `predict` and on the edge.

    Attributes:
        value_range: Values that become black and white in images of more than 8 bits other than DICOM; those outside
            are clipped. None takes 0 to 65535 for 16-bit files and 0 to 1 for floating-point files, and refuses values
            outside.
        dicom_window: `"file"` follows the file's VOI LUT or window, or without one the least and greatest value of the
            frame; `(center, width)` in units of the modality (such as Hounsfield) replaces the file's, where
            center - width / 2 is black and center + width / 2 white; `"off"` takes
            the whole range that the stored values may have.
        dicom_frame: Frame of DICOM files with several: `"middle"`, an index from 0, or `"all"`, where each frame is
            a sample of its own and is asked for as `lt_data.Frame`.

    Raises:
        ValueError: A range is empty or not finite.
    """

    value_range: tuple[float, float] | None = attrs.field(default=None, validator=valid_range)
    dicom_window: DicomWindow = attrs.field(default="file", validator=valid_window)
    dicom_frame: DicomFrame = attrs.field(default="middle", validator=valid_frame)
