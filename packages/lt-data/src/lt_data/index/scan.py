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


SHOWN_ROWS = 5
"""Rows with one and the same problem that a message names; more are counted."""


@attrs.define
class _Alike:
    """Rows with one and the same problem: the first in full, the places of some, and how many there are."""

    where: str
    what: str
    rows: list[str]
    count: int = 1

    def problem(self) -> Problem:
        if self.count == 1:
            return Problem(self.where, self.what)
        more = f" and {self.count - len(self.rows)} more" if self.count > len(self.rows) else ""
        return Problem(self.where, f"{self.what} ({self.count} such rows: {', '.join(self.rows)}{more})")


class ProblemList:
    """The first problems of a file in full, and how many there are; rows with the same problem are one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: list[_Alike] = []
        self._by_error: dict[object, _Alike] = {}
        self._more = 0

    def __len__(self) -> int:
        return len(self._kept) + self._more

    def add(self, where: str, what: object) -> None:
        """Note that `what` is wrong; it becomes text only while there is room."""
        if len(self._kept) < MAX_PROBLEMS:
            self._kept.append(_Alike(where, str(what), []))
        else:
            self._more += 1

    def add_row(self, where: str, error: ValueError) -> None:
        """Note what is wrong with a row; errors of one type with the same arguments are one problem."""
        key, row = (type(error), error.args), Path(where).name
        alike = self._by_error.get(key)
        if alike is None:
            self.add(where, error)
            if not self._more:
                self._by_error[key] = self._kept[-1]
                self._kept[-1].rows.append(row)
            return
        alike.count += 1
        if len(alike.rows) < SHOWN_ROWS:
            alike.rows.append(row)

    def extend(self, problems: tuple[Problem, ...]) -> None:
        """Note problems that have been described already."""
        for problem in problems:
            self.add(problem.where, problem.what)

    def all(self) -> tuple[Problem, ...]:
        """The problems, the last of which counts those that were not kept."""
        more = self._more
        last = [Problem(str(self._file), f"has {more} more problems, which are not listed", more)] if more else []
        return (*(alike.problem() for alike in self._kept), *last)
