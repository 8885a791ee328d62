"""What commands print."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any


def print_json(values: Mapping[str, Any]) -> None:
    """One object on one line of the output, at once; numbers that are not finite are null, as JSON has no others."""
    finite = {key: None if isinstance(one, float) and not math.isfinite(one) else one for key, one in values.items()}
    print(json.dumps(finite, ensure_ascii=False), flush=True)


def print_error(message: str) -> None:
    """A line of the error output."""
    print(f"error: {message}", file=sys.stderr, flush=True)


def print_note(message: str) -> None:
    """A line of the error output that is no error."""
    print(message, file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """A text as a terminal may get it: what a file or model brings cannot move the cursor or end the line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show_progress(done: int, total: int) -> None:
    """A line of the error output that is written over, where somebody sees it."""
    if sys.stderr.isatty():
        print(f"\r{done}/{total}", end="" if done < total else "\n", file=sys.stderr, flush=True)


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
