"""Paths of users, files that appear whole or not at all, and folders that take them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lt_data.errors import PredictionArgumentError


def user_path(path: str | os.PathLike[str]) -> Path:
    """A path as a user gives it: `~` is the home folder; that of a user who is not there stays as it is.

    Raises:
        PredictionArgumentError: It is no path, or an empty text, which Python takes for the working directory.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise PredictionArgumentError(f"expected a path, got {path!r}")
    return Path(os.path.expanduser(path))  # noqa: PTH111  # Path.expanduser raises where there is no such user


def looked_for(path: Path) -> str:
    """Where a relative path is looked for, to follow a message that nothing is there; empty for an absolute one."""
    return "" if path.is_absolute() else f" (it is looked for at {path.absolute()})"


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Write a file that replaces `path` only once it is complete and on the disk.

    The temporary file lies in the same folder, so the last step is one rename; what was at `path` stays until then,
    and stays if anything fails.

    Raises:
        OSError: The folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        # Where nothing can be written, removing fails too; the first error is the one to tell.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def check_writable(folder: Path) -> None:
    """See whether a file can be made in a folder, before the work whose result it shall hold; nothing is left there.

    Raises:
        OSError: It cannot, or there is no such folder.
    """
    # Not `tempfile`, which on Windows takes a folder without permission for billions of names that are taken.
    path = folder / f".{secrets.token_hex(8)}.tmp"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where folders can be synced (not on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
