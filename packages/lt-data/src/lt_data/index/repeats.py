"""Rows of a table that name the same file."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

UNUSUAL = ("./", "//", "\0/")
"""Marks of a path, after a NUL, that can be written otherwise."""


def files_of(root: Path, names: Sequence[str]) -> Sequence[str]:
    """The names, each file called alike in every row: relative to `root` where it is below it, without `.` and `..`."""
    together = "\0" + "\0".join(names)
    if os.sep == "/" and not any(mark in together for mark in UNUSUAL):
        return names
    folder = os.path.join(os.path.abspath(root), "")  # noqa: PTH100 - a Path a row would take as long as the scan
    return [os.path.normpath(os.path.join(folder, name)).removeprefix(folder) for name in names]


def repeats(images: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Each row whose image an earlier row has, with the first such row."""
    if len(set(images)) == len(images):
        return
    first: dict[Hashable, int] = {}
    for row, image in enumerate(images):
        earliest = first.setdefault(image, row)
        if earliest != row:
            yield row, earliest


def group_numbers(groups: Sequence[str], files: Sequence[str]) -> npt.NDArray[np.int64]:
    """Number of the group of each row: rows of one file or one group belong together, also by way of others.

    Args:
        groups: Group that each row names, empty for none; may be left out as a whole.
        files: File of each row, called alike wherever it is the same.

    Returns:
        int64 of shape (rows,); rows that share nothing stand alone.
    """
    leaders = list(range(len(files)))
    first: dict[tuple[str, str], int] = {}
    for row, file in enumerate(files):
        _join(leaders, first.setdefault(("file", file), row), row)
        if groups and groups[row]:
            _join(leaders, first.setdefault(("group", groups[row]), row), row)
    return np.array([_leader(leaders, row) for row in range(len(files))], dtype=np.int64)


def _join(leaders: list[int], one: int, other: int) -> None:
    one, other = _leader(leaders, one), _leader(leaders, other)
    leaders[max(one, other)] = min(one, other)


def _leader(leaders: list[int], row: int) -> int:
    """The first row of the group, with the way to it halved for the next who asks."""
    while leaders[row] != row:
        leaders[row] = leaders[leaders[row]]
        row = leaders[row]
    return row
