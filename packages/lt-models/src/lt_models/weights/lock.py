"""One process at a time, by a lock of the operating system: it falls with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

if sys.platform == "win32":
    import msvcrt

    def _try_lock(stream: BinaryIO) -> None:
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(stream: BinaryIO) -> None:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


HELD = frozenset({errno.EACCES, errno.EAGAIN, errno.EDEADLK})
"""Another process holds the lock; any other error says that the file system has no locks."""

POLL_S = 0.1


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold the lock of `path` while the block runs; wait for whoever holds it.

    The file stays: to remove it would let a third process lock another file of the same name.

    Yields:
        Whether the lock is held; False where the file system has none, as some network file systems.

    Raises:
        OSError: The file cannot be created.
    """
    with path.open("ab") as stream:
        waiting = False
        while True:
            try:
                _try_lock(stream)
            except OSError as error:
                if error.errno not in HELD:
                    logger.warning("%s: this file system has no locks (%s)", path.parent, error)
                    yield False
                    return
                if not waiting:
                    logger.info("waiting for another process that is fetching %s", path.stem)
                    waiting = True
                time.sleep(POLL_S)
            else:
                # Closing the file gives the lock back.
                yield True
                return
