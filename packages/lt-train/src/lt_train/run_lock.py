"""One run at a time in a folder, by a lock of the operating system: it falls with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from lt_train.errors import RunFolderError

logger = logging.getLogger(__name__)

LOCK_NAME = ".lock"
HELD = frozenset({errno.EACCES, errno.EAGAIN, errno.EDEADLK})
"""Another process holds the lock; any other error says that the file system has no locks."""

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        # Windows denies reading what is locked, so the lock lies far behind the text.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _let_go_in_child() -> None:
        while _held:
            os.close(_held.pop())

    # A forked loader worker would keep the lock of a run that was killed.
    os.register_at_fork(after_in_child=_let_go_in_child)

_held: list[int] = []


@contextlib.contextmanager
def run_lock(root: Path) -> Iterator[None]:
    """Hold a run folder, made if need be, while the block runs.

    Raises:
        RunFolderError: Another process holds it, which is named; or nothing can be written there.
    """
    path = root / LOCK_NAME
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(path)
    except RunFolderError:
        raise
    except OSError as error:
        raise RunFolderError(f"{root}: cannot be written to ({error.strerror}); choose another `out`") from error
    _held.append(descriptor)
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
        yield
    finally:
        # Removed while it is locked: whoever opens it from now on finds that it is gone, and makes another.
        with contextlib.suppress(OSError):
            path.unlink()
        if descriptor in _held:
            _held.remove(descriptor)
            os.close(descriptor)


def refuse_if_held(root: Path) -> None:
    """Say that a run is going on in a folder; nothing is created or removed.

    Raises:
        RunFolderError: Names its process.
    """
    path = root / LOCK_NAME
    if path.is_file():
        os.close(_lock(path))


def _lock(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _try_lock(descriptor)
        except OSError as error:
            if error.errno in HELD:
                holder = os.read(descriptor, 1000).decode(errors="replace") or "another process"
                os.close(descriptor)
                raise RunFolderError(
                    f"{path.parent}: {holder} is running in it; wait for its end, or choose another `out`"
                ) from None
            logger.warning("%s: this file system has no locks (%s); start no second run here", path.parent, error)
            return descriptor
        if _is_there(descriptor, path):
            return descriptor
        os.close(descriptor)


def _is_there(descriptor: int, path: Path) -> bool:
    """Whether a file that was opened is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
