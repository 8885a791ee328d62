"""What commands print."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
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


def show_progress(done: int, total: int) -> None:
    """A line of the error output that is written over, where somebody sees it."""
    if sys.stderr.isatty():
        print(f"\r{done}/{total}", end="" if done < total else "\n", file=sys.stderr, flush=True)
