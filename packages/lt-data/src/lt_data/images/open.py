"""One decoder for training, validation, `predict` and the edge."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import urllib.parse
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from lt_data.errors import ImageDecodeError, PredictionArgumentError
from lt_data.files import user_path
from lt_data.images.decoding import Decoding, Frame
from lt_data.images.formats import (
    HEAD_BYTES,
    MAX_PIXELS,
    PILLOW_FORMATS,
    looks_like_dicom,
    looks_like_tiff,
    looks_like_webp,
)
from lt_data.images.modes import MOST_PILLOW_SAMPLES, to_array
from lt_data.images.quiet import quiet
from lt_data.images.tiff import read_bands
from lt_data.images.truncation import cut_short

ImageLike: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Frame | Image.Image | npt.NDArray[np.uint8]"
)
"""Path, URL (http, https, file), content of a file, a file opened in binary mode, frame of a DICOM file, Pillow image,
or uint8 array of shape (H, W) or (H, W, C)."""

URL_TIMEOUT_SECONDS = 30
URL_CHARACTERS = ":/?#[]@!$&'()*+,;=%~"
"""Have a meaning in a URL (RFC 3986, section 2.2), or quote others already."""
MAX_DOWNLOAD_BYTES = 256 * 2**20

ANY_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
"""RFC 3986, section 3.1; no drive of Windows."""

DEFAULT_DECODING = Decoding()


def load_image(
    source: ImageLike, num_channels: int = 3, decoding: Decoding = DEFAULT_DECODING, *, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """Read an image the way training saw its images.

    Files are recognised by content, not by name; EXIF orientation is applied, and a truncated file is an error, never
    half an image. Of an animation or a TIFF file with several pages the first counts, of a DICOM file with several
    frames the one that `decoding` or a `Frame` names.

    Args:
        source: Path, URL, content of a file as bytes, file opened in binary mode, frame of a DICOM file, Pillow image
            or array. Bytes are never taken for a path, and no file or URL is opened for them. An open file is read from
            where it stands to its end, and stays open.
        num_channels: 1 grey, 3 RGB, 4 RGBA; other numbers must be the image's own.
        decoding: How values of more than 8 bits become pixels.
        max_pixels: Files with more are refused from their header; never more than 178,956,970. Decoding takes about 18
            bytes a pixel.

    Returns:
        uint8 of shape (H, W, num_channels), values 0 to 255.

    Raises:
        ImageDecodeError: The source is not an image that lt-data reads; names it and the reason.
        PredictionArgumentError: It is a list.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, num_channels)
    if isinstance(source, Image.Image):
        return _from_pillow(source, num_channels, "this image", None, decoding.value_range)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(source), num_channels, decoding, max_pixels)
    if isinstance(source, Frame):
        return _from_file(Path(source.path), num_channels, decoding, source.index, max_pixels)
    if not isinstance(source, (str, os.PathLike)):
        return _from_bytes(_content(source), num_channels, decoding, max_pixels)
    name = os.fspath(source)
    if not name:
        raise ImageDecodeError("expected the path of an image, got an empty one")
    if isinstance(name, str) and name.startswith(("http://", "https://")):
        return _from_stream(io.BytesIO(_download(name)), num_channels, name, decoding, None, max_pixels)
    if isinstance(name, str) and name.startswith("file://"):
        name = _path_of_url(name)
        return _from_file(Path(name), num_channels, decoding, None, max_pixels)
    path = user_path(os.fsdecode(name))
    if isinstance(name, str) and ANY_URL.match(name) and not os.path.exists(path):  # noqa: PTH110  # Path.exists raises where a name is too long
        raise ImageDecodeError(f"{name}: URLs are read if they begin with http://, https:// or file://", path=name)
    return _from_file(path, num_channels, decoding, None, max_pixels)


def check_several(images: object) -> None:
    """Refuse what is no list of images; an array may be several, along its first axis.

    Raises:
        PredictionArgumentError: A single image was given, or nothing that has images in an order.
    """
    if isinstance(images, np.ndarray) and images.ndim < 4:
        raise PredictionArgumentError(
            f"expected a list of images, or an array of shape (N, H, W, C), got one of {images.shape}; a list [image] "
            "takes a single one"
        )
    if isinstance(images, (str, bytes, bytearray, memoryview)) or not hasattr(images, "__getitem__"):
        raise PredictionArgumentError(
            f"expected a list of images, got {type(images).__name__}; of a single image, [image] is one"
        )


def _content(source: Any) -> bytes:
    """All that an open file still has."""
    if isinstance(source, (list, tuple)):
        raise PredictionArgumentError(
            f"expected one image, got a {type(source).__name__} of {len(source)}; lists go to predict_batch"
        )
    if not hasattr(source, "read"):
        kinds = "a path, URL, bytes, file opened in binary mode, Frame, Pillow image or array"
        raise ImageDecodeError(f"expected {kinds}, got {type(source).__name__}")
    try:
        content = source.read()
    except UnicodeDecodeError as error:
        raise ImageDecodeError("this file is open as text; open it in binary mode, as by open(path, 'rb')") from error
    except (OSError, ValueError) as error:
        raise ImageDecodeError(f"this file could not be read: {error}") from error
    if not isinstance(content, bytes):
        hint = "; open it in binary mode, as by open(path, 'rb')" if isinstance(content, str) else ""
        raise ImageDecodeError(f"this file gave {type(content).__name__}, expected bytes{hint}")
    if not content:
        raise ImageDecodeError("this file has nothing left to read; after it was read, seek(0) goes back to its start")
    return content


def _from_file(
    path: Path, num_channels: int, decoding: Decoding, frame: int | None, max_pixels: int
) -> npt.NDArray[np.uint8]:
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            hint = " but a folder; folders go to predict_folder" if stat.S_ISDIR(mode) else ""
            raise ImageDecodeError(f"{path}: is not a file{hint}", path=path)
        with open(path, "rb") as stream:
            return _from_stream(stream, num_channels, path, decoding, frame, max_pixels)
    except OSError as error:
        raise ImageDecodeError(f"{path}: {error.strerror or error}", path=path) from error


def _from_bytes(content: bytes, num_channels: int, decoding: Decoding, max_pixels: int) -> npt.NDArray[np.uint8]:
    try:
        return _from_stream(io.BytesIO(content), num_channels, "this image", decoding, None, max_pixels)
    except ImageDecodeError as error:
        error.path = None
        raise


def _from_stream(
    stream: BinaryIO, num_channels: int, path: Path | str, decoding: Decoding, frame: int | None, max_pixels: int
) -> npt.NDArray[np.uint8]:
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if not head:
        raise ImageDecodeError(f"{path}: is empty", path=path)
    if looks_like_dicom(head):
        return _from_dicom(stream, num_channels, path, decoding, frame, max_pixels)
    cut = cut_short(stream, head)
    try:
        if looks_like_tiff(head) and num_channels > MOST_PILLOW_SAMPLES:
            _require_single(path, frame)
            return read_bands(stream, path, num_channels, decoding.value_range, max_pixels)
        return _with_pillow(stream, head, num_channels, path, decoding, frame, max_pixels, is_cut=cut is not None)
    except ImageDecodeError as error:
        if cut is None:
            raise
        raise ImageDecodeError(f"{path}: {cut}", path=path) from error


def _with_pillow(
    stream: BinaryIO,
    head: bytes,
    num_channels: int,
    path: Path | str,
    decoding: Decoding,
    frame: int | None,
    max_pixels: int,
    *,
    is_cut: bool,
) -> npt.NDArray[np.uint8]:
    # Pillow warns of TIFF that is cut; threads need not take turns for other files.
    calm = quiet if is_cut else contextlib.nullcontext
    try:
        with calm():
            image = Image.open(stream, formats=PILLOW_FORMATS)
    except UnidentifiedImageError as error:
        if urllib.parse.urlparse(str(path)).path.lower().endswith(".dcm"):
            stream.seek(0)
            return _from_dicom(stream, num_channels, path, decoding, frame, max_pixels)
        raise ImageDecodeError(f"{path}: {_unidentified(head)}", path=path) from error
    except (Image.DecompressionBombError, ValueError, OSError, SyntaxError, EOFError) as error:
        reason = f"is damaged WebP ({error})" if looks_like_webp(head) and isinstance(error, OSError) else str(error)
        raise ImageDecodeError(f"{path}: {reason}", path=path) from error
    with calm(), image:
        _require_single(path, frame)
        return _from_pillow(image, num_channels, str(path), path, decoding.value_range, max_pixels)


def _unidentified(head: bytes) -> str:
    if looks_like_tiff(head) or looks_like_webp(head):
        kind = "TIFF" if looks_like_tiff(head) else "WebP"
        return f"is damaged {kind}, or {kind} of a kind that cannot be read here"
    return f"is none of the image formats {', '.join(PILLOW_FORMATS)}, DICOM"


def _require_single(path: Path | str, frame: int | None) -> None:
    if frame:
        raise ImageDecodeError(f"{path}: is not DICOM and has no frame of index {frame}", path=path)


def _from_dicom(
    stream: BinaryIO, num_channels: int, path: Path | str, decoding: Decoding, frame: int | None, max_pixels: int
) -> npt.NDArray[np.uint8]:
    # Imported where they are used, here and below: a device that shows one JPEG file waits for neither.
    from lt_data.images.dicom import read_dicom

    pixels = read_dicom(stream, path, decoding, frame, max_pixels)
    return _from_pillow(Image.fromarray(pixels), num_channels, str(path), path, None)


def _from_pillow(
    image: Image.Image,
    num_channels: int,
    name: str,
    path: Path | str | None,
    value_range: tuple[float, float] | None,
    max_pixels: int = MAX_PIXELS,
) -> npt.NDArray[np.uint8]:
    limit = min(max_pixels, MAX_PIXELS)
    if image.width * image.height > limit:
        raise ImageDecodeError(f"{name}: {image.width} x {image.height} pixels are above {limit}", path=path)
    try:
        return to_array(image, num_channels, value_range)
    except (ValueError, OSError, SyntaxError, EOFError, TypeError, IndexError, KeyError, MemoryError) as error:
        raise ImageDecodeError(f"{name}: {error}", path=path) from error


def _from_array(array: npt.NDArray[np.uint8], num_channels: int) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        what = f"expected uint8 of shape (H, W) or (H, W, C), got {array.dtype} of {array.shape}"
        raise ImageDecodeError(what + _as_uint8(array.dtype))
    array = array[:, :, np.newaxis] if array.ndim == 2 else array
    if array.shape[2] == 1 and num_channels in (3, 4):
        array = np.repeat(array, 3, axis=2)
    if array.shape[2] == num_channels:
        return array
    if array.shape[2] in (3, 4):
        return _from_pillow(Image.fromarray(array), num_channels, "this array", None, None)
    hint = "; channels come last, (H, W, C)" if array.shape[0] == num_channels else ""
    raise ImageDecodeError(f"an array with {array.shape[2]} channels cannot be had with {num_channels}{hint}")


def _as_uint8(kind: np.dtype[Any]) -> str:
    """How an array of another type is converted."""
    if kind.kind == "f":
        return '; values from 0 to 1 are converted by (array * 255).round().astype("uint8")'
    if kind == np.uint16:
        return '; 16 bits are converted by (array / 257).round().astype("uint8"), or read from a PNG or TIFF file'
    if kind.kind in "iu" and kind != np.uint8:
        return '; values from 0 to 255 are converted by array.astype("uint8")'
    return ""


def _path_of_url(url: str) -> str:
    from urllib.request import url2pathname

    return url2pathname(urllib.parse.urlparse(url).path)


def _download(url: str) -> bytes:
    import http.client
    import urllib.error
    import urllib.parse
    import urllib.request

    # Blanks and letters beyond ASCII, as browsers take them.
    quoted = urllib.parse.quote(url, safe=URL_CHARACTERS)
    try:
        with urllib.request.urlopen(quoted, timeout=URL_TIMEOUT_SECONDS) as response:
            content: bytes = response.read(MAX_DOWNLOAD_BYTES + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise ImageDecodeError(f"{url}: the server answered {error.code} {error.reason}", path=url) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise ImageDecodeError(f"{url}: could not be downloaded: {_reason(error)}", path=url) from error
    if len(content) > MAX_DOWNLOAD_BYTES:
        raise ImageDecodeError(f"{url}: is larger than {MAX_DOWNLOAD_BYTES} bytes", path=url)
    return content


def _reason(error: Exception) -> str:
    """Why a download failed, without Python's own wrapping."""
    inner = getattr(error, "reason", None)
    cause = inner if isinstance(inner, OSError) else error
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(inner or error)
    return text[:1].lower() + text[1:]
