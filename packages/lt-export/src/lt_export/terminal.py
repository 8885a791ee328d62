"""What a terminal may get, and the steps of an export on it; for the commands of lightly-train too."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


def one_line(text: str) -> str:
    """A text as a terminal may get it: what a file or model brings cannot move the cursor or end the line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextlib.contextmanager
def shown_steps() -> Iterator[None]:
    """Write what lt-export logs of its steps to the error output while the block runs."""
    logger, handler = logging.getLogger("lt_export"), logging.StreamHandler()
    handler.setFormatter(_OneLine("%(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


class _OneLine(logging.Formatter):
    """A message may name files, whose names may hold anything."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return one_line(super().format(record))
