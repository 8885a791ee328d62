"""What commands say of images that could not be read, while the others were done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lt_data import Problem

EXIT_UNREADABLE = 2
"""Exit status where there are such images."""


def unreadable_rows(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """The images and why, for JSON."""
    return [{"path": problem.where, "error": problem.what} for problem in problems]
