"""What a tracking service can do; all of it may block, and may fail in any way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lt_train.loggers.base import Outcome, Scalar

Rows = Sequence[tuple[int, Mapping[str, float]]]
"""Steps and their values by name, in the order in which they were logged; all values are finite."""


class Service(Protocol):
    """A connection to a run on a tracking service. It is made, used and ended by one thread."""

    def connect(self) -> None:
        """Start the run there, or go on with it; does nothing when that has been done."""

    def send(self, rows: Rows) -> None:
        """Send values, leaving out those that an interrupted run has sent."""

    def send_parameters(self, parameters: Mapping[str, Scalar]) -> None:
        """Send the resolved arguments."""

    def send_files(self, files: Sequence[Path], model: Path | None) -> None:
        """Upload files, and the model where that is asked for."""

    def send_report(self, page: Path) -> None:
        """Upload the page about the run."""

    def end(self, outcome: Outcome) -> None:
        """Say how the run ended."""
