"""Appending to a file on a disk that may be full."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class WholeFile:
    """Each write is in the file whole, and at once, or not at all; so writing can go on when there is space again."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)

    def write(self, data: bytes) -> None:
        """Append `data`.

        Raises:
            OSError: The disk is full, or gone; nothing was appended.
        """
        before, rest = os.fstat(self._descriptor).st_size, memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise

    def flush(self) -> None:
        """Nothing waits to be written."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
