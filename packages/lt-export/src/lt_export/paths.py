"""Paths as callers give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lt_data import PredictionArgumentError, user_path
from lt_export.errors import LtExportError


def as_path(given: Any, name: str, error: type[LtExportError]) -> Path:
    """`given` as a path; `~` is the home folder.

    Args:
        given: What the caller gave.
        name: Of the argument, for the message.
        error: What is raised where `given` is no path.
    """
    try:
        return user_path(given)
    except PredictionArgumentError as reason:
        raise error(f"{name} must be a path, got {given!r}") from reason
