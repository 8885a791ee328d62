"""DICOM files: one frame, decoded and brought to 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lt_data.errors import ImageDecodeError
from lt_data.images.codestream import read_jpeg, read_jpeg2000
from lt_data.images.decoding import Decoding
from lt_data.images.dicom_display import Display, Lut, colors, grey, palette_colors
from lt_data.images.dicom_elements import read_display, read_palette
from lt_data.images.dicom_header import Header, read_header
from lt_data.images.quiet import quiet
from lt_data.images.transfer_syntax import JPEG, JPEG_2000, RLE


def read_dicom(
    stream: BinaryIO, path: Path | str, decoding: Decoding, frame: int | None, max_pixels: int
) -> npt.NDArray[np.uint8]:
    """Pixels of one frame of a DICOM file.

    Threads take turns, as pydicom's warnings can be silenced for a whole process only.

    Args:
        stream: The file, at its start.
        path: Its name, for errors.
        decoding: Which frame where `frame` is None, and how values become brightness.
        frame: Index of the frame, from 0.
        max_pixels: Frames with more are refused.

    Returns:
        uint8 of shape (H, W), or (H, W, 3) in RGB.

    Raises:
        ImageDecodeError: The file is damaged, unsafe, or encoded as nothing here decodes; names it and the reason.
    """
    try:
        with quiet():
            header = read_header(stream)
            if header.rows * header.columns > max_pixels:
                raise ValueError(f"{header.columns} x {header.rows} pixels are above {max_pixels}")
            index = _wanted_frame(header, decoding, frame)
            stored = _decoded(header, index)
            shown_by = _shown_by(header, index)
        if isinstance(shown_by, Display):
            return grey(stored, shown_by, decoding)
        return colors(stored, header.bits_stored) if shown_by is None else palette_colors(stored, shown_by)
    except Exception as error:  # pydicom and its plugins raise whatever a damaged file leads them to
        raise _as_decode_error(error, path) from error


def frame_count(path: Path) -> int:
    """How many frames a DICOM file has, by its header.

    Raises:
        ImageDecodeError: The file is not DICOM with pixels that lt-data reads; names it and the reason.
    """
    try:
        with quiet(), open(path, "rb") as stream:
            return read_header(stream).frames
    except Exception as error:  # as in `read_dicom`
        raise _as_decode_error(error, path) from error


def _as_decode_error(error: Exception, path: Path | str) -> ImageDecodeError:
    reason = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    elif type(error) is not ValueError:
        reason = f"is damaged DICOM ({type(error).__name__}: {reason})"
    return ImageDecodeError(f"{path}: {reason}", path=path)


def _wanted_frame(header: Header, decoding: Decoding, frame: int | None) -> int:
    if frame is None and decoding.dicom_frame == "all" and header.frames > 1:
        raise ValueError(f"has {header.frames} frames, which are samples of their own: pass lt_data.Frame(path, index)")
    if frame is None:
        frame = decoding.dicom_frame if isinstance(decoding.dicom_frame, int) else header.frames // 2
    if not 0 <= frame < header.frames:
        count = "1 frame" if header.frames == 1 else f"{header.frames} frames"
        raise ValueError(f"has {count}, no frame of index {frame}")
    return frame


def _decoded(header: Header, index: int) -> npt.NDArray[Any]:
    """Stored values of one frame, of shape (H, W), or (H, W, 3) in RGB."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import as_pixel_options

    options = as_pixel_options(
        header.dataset,
        number_of_frames=header.frames,
        photometric_interpretation=header.photometric,
        pixel_keyword=header.keyword,
        pixel_vr=header.vr,
    )
    if header.transfer_syntax in JPEG or header.transfer_syntax in JPEG_2000:
        _check_codestream(header, index, options.get("extended_offsets"))
    # Another decoder that happens to be installed would give lossy frames other pixels than training saw.
    plugin = "pydicom" if header.transfer_syntax == RLE else "pylibjpeg"
    decoder = get_decoder(header.transfer_syntax)
    values, properties = decoder.as_array(header.stream, index=index, decoding_plugin=plugin, **options)
    if header.samples == 3 and properties["photometric_interpretation"] != "RGB":
        raise ValueError(f"has colours in {header.photometric}, which its transfer syntax leaves so")
    return values


def _check_codestream(header: Header, index: int, extended_offsets: Any) -> None:
    """Refuse a frame that says other dimensions or colours than the header, before a decoder trusts it."""
    from pydicom.encaps import get_frame

    data = get_frame(header.stream, index, number_of_frames=header.frames, extended_offsets=extended_offsets)
    found = read_jpeg(data) if header.transfer_syntax in JPEG else read_jpeg2000(data)
    if (found.rows, found.columns, found.samples) != (header.rows, header.columns, header.samples):
        inside = f"{found.columns} x {found.rows} x {found.samples}"
        raise ValueError(f"has a frame of {inside}, expected {header.columns} x {header.rows} x {header.samples}")
    is_rgb = {"RGB": True, "YBR_FULL": False, "YBR_FULL_422": False}.get(header.photometric)
    if None not in (is_rgb, found.is_rgb) and is_rgb != found.is_rgb:
        inside = "RGB" if found.is_rgb else "luma and chroma"
        raise ValueError(f"has photometric interpretation {header.photometric}, but its frame is {inside}")


def _shown_by(header: Header, index: int) -> Display | tuple[Lut, Lut, Lut] | None:
    """What turns stored values into pixels: a grey display or a palette, or nothing for colours."""
    if header.photometric == "PALETTE COLOR":
        return read_palette(header)
    return None if header.samples == 3 else read_display(header, index)
