"""One decoder for training, validation, `predict` and the edge."""

from __future__ import annotations

import io
import os
import stat
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from lt_data.errors import ImageDecodeError
from lt_data.images.decoding import Frame
from lt_data.images.formats import MAX_PIXELS, PILLOW_FORMATS
from lt_data.images.modes import to_array

ImageLike: TypeAlias = "str | os.PathLike[str] | Frame | Image.Image | npt.NDArray[np.uint8]"
"""Path, URL (http, https, file), frame of a DICOM file, Pillow image, or uint8 array of shape (H, W) or (H, W, C)."""

URL_TIMEOUT_SECONDS = 30
MAX_DOWNLOAD_BYTES = 256 * 2**20


def load_image(source: ImageLike, num_channels: int = 3) -> npt.NDArray[np.uint8]:
    """Read an image the way training saw its images.

    Files are recognised by content, not by name; EXIF orientation is applied, and a truncated file is an error, never
    half an image. Of an animation the first frame counts.

    Args:
        source: Path, URL, Pillow image or array.
        num_channels: 1 grey, 3 RGB, 4 RGBA; other numbers must be the image's own.

    Returns:
        uint8 of shape (H, W, num_channels), values 0 to 255.

    Raises:
        ImageDecodeError: The source is not an image that lt-data reads; names it and the reason.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, num_channels)
    if isinstance(source, Image.Image):
        return _from_pillow(source, num_channels, "this image", None)
    if not isinstance(source, (str, os.PathLike)):
        raise ImageDecodeError(f"expected a path, URL, Pillow image or array, got {type(source).__name__}")
    name = os.fspath(source)
    if isinstance(name, str) and name.startswith(("http://", "https://")):
        return _from_stream(io.BytesIO(_download(name)), num_channels, name)
    if isinstance(name, str) and name.startswith("file://"):
        name = urllib.request.url2pathname(urllib.parse.urlparse(name).path)
    return _from_file(Path(os.fsdecode(name)), num_channels)


def _from_file(path: Path, num_channels: int) -> npt.NDArray[np.uint8]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ImageDecodeError(f"{path}: is not a file", path=path)
        with open(path, "rb") as stream:
            return _from_stream(stream, num_channels, path)
    except OSError as error:
        raise ImageDecodeError(f"{path}: {error.strerror or error}", path=path) from error


def _from_stream(stream: BinaryIO, num_channels: int, path: Path | str) -> npt.NDArray[np.uint8]:
    try:
        image = Image.open(stream, formats=PILLOW_FORMATS)
    except UnidentifiedImageError as error:
        kinds = ", ".join(PILLOW_FORMATS)
        raise ImageDecodeError(f"{path}: is none of the image formats {kinds}", path=path) from error
    except (Image.DecompressionBombError, ValueError, OSError, SyntaxError, EOFError) as error:
        raise ImageDecodeError(f"{path}: {error}", path=path) from error
    with image:
        return _from_pillow(image, num_channels, str(path), path)


def _from_pillow(image: Image.Image, num_channels: int, name: str, path: Path | str | None) -> npt.NDArray[np.uint8]:
    if image.width * image.height > MAX_PIXELS:
        raise ImageDecodeError(f"{name}: {image.width} x {image.height} pixels are above {MAX_PIXELS}", path=path)
    try:
        return to_array(ImageOps.exif_transpose(image), num_channels)
    except (ValueError, OSError, SyntaxError, EOFError, TypeError, IndexError, KeyError, MemoryError) as error:
        raise ImageDecodeError(f"{name}: {error}", path=path) from error


def _from_array(array: npt.NDArray[np.uint8], num_channels: int) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        raise ImageDecodeError(f"expected uint8 of shape (H, W) or (H, W, C), got {array.dtype} of {array.shape}")
    array = array[:, :, np.newaxis] if array.ndim == 2 else array
    if array.shape[2] == 1 and num_channels in (3, 4):
        array = np.repeat(array, 3, axis=2)
    if array.shape[2] == num_channels:
        return array
    if array.shape[2] in (3, 4):
        return _from_pillow(Image.fromarray(array), num_channels, "this array", None)
    raise ImageDecodeError(f"an array with {array.shape[2]} channels cannot be had with {num_channels}")


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=URL_TIMEOUT_SECONDS) as response:
            content: bytes = response.read(MAX_DOWNLOAD_BYTES + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise ImageDecodeError(f"{url}: {error}", path=url) from error
    if len(content) > MAX_DOWNLOAD_BYTES:
        raise ImageDecodeError(f"{url}: is larger than {MAX_DOWNLOAD_BYTES} bytes", path=url)
    return content
