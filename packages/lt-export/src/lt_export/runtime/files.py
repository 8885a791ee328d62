"""Files of unknown origin, never read beyond a limit."""

from __future__ import annotations

from pathlib import Path

from lt_data import looked_for
from lt_export.errors import EdgeModelError


def bounded_size(path: Path, limit: int) -> int:
    """Size of a file in bytes.

    Raises:
        EdgeModelError: It is not there, no file, empty, or has more than `limit` bytes.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise EdgeModelError(f"{path}: {error.strerror}{looked_for(path)}") from error
    if not path.is_file():
        raise EdgeModelError(f"{path}: is not a file")
    if not 0 < size <= limit:
        raise EdgeModelError(f"{path}: has {size} bytes, expected 1 to {limit}")
    return size


def read_bounded(path: Path, limit: int) -> bytes:
    """Content of a file of 1 to `limit` bytes.

    Raises:
        EdgeModelError: As `bounded_size`, or it cannot be read.
    """
    bounded_size(path, limit)
    try:
        return path.read_bytes()
    except OSError as error:
        raise EdgeModelError(f"{path}: {error.strerror}") from error
