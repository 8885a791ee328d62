"""What scans of folders and tables have in common: the samples that are fine, and all that is wrong."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.errors import Problem
from lt_data.index.samples import SampleIndex

MAX_PROBLEMS = 1000
"""More of one source are counted, not described: so many have one cause."""


@attrs.frozen(eq=False, kw_only=True)
class Scan:
    """What one source of samples holds.

    Attributes:
        samples: The samples that nothing is wrong with.
        problems: What is wrong with the others.
        groups: Number of the group of each sample, int64 of shape (N,): a split must not tear groups. None where each
            sample is a group of its own.
        notes: What was passed over or is doubtful and should be known, as lines for the log.
        doubts: What deserves a warning.
    """

    samples: SampleIndex
    problems: tuple[Problem, ...] = ()
    groups: npt.NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class ProblemList:
    """The first problems of a file in full, and how many there are."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: list[Problem] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, where: str, what: object) -> None:
        """Note that `what` is wrong; it becomes text only while there is room."""
        self._count += 1
        if len(self._kept) < MAX_PROBLEMS:
            self._kept.append(Problem(where, str(what)))

    def extend(self, problems: tuple[Problem, ...]) -> None:
        """Note problems that have been described already."""
        for problem in problems:
            self.add(problem.where, problem.what)

    def all(self) -> tuple[Problem, ...]:
        """The problems, the last of which counts those that were not kept."""
        more = self._count - len(self._kept)
        last = [Problem(str(self._file), f"has {more} more problems, which are not listed", more)] if more else []
        return (*self._kept, *last)
