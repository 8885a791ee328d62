"""Libraries that talk about a file's oddities, kept from users' screens: what matters is in our error."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator

LOGGERS = ("pydicom", "pylibjpeg", "libjpeg", "openjpeg", "tifffile")

_ONE_AT_A_TIME = threading.Lock()
"""`warnings.catch_warnings` swaps lists of the whole process: two threads inside would restore each other's."""

if hasattr(os, "register_at_fork"):
    # A worker forked while another thread decodes would find the lock taken for ever.
    os.register_at_fork(
        before=_ONE_AT_A_TIME.acquire,
        after_in_parent=_ONE_AT_A_TIME.release,
        after_in_child=_ONE_AT_A_TIME.release,
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor log lines of the decoders within; threads take turns."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        levels = [logger.level for logger in loggers]
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
