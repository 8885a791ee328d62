"""What every logger can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class MetricLogger(Protocol):
    """Takes the values of a step; steps rise, and a resumed run goes on without a seam."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write values by logged name; NaN says that there is none."""

    def close(self) -> None:
        """Write what is pending and let go of files."""
