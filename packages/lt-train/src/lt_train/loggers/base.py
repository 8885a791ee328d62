"""What every logger can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from PIL import Image
from torch import nn

from lt_data import Preprocessing

Outcome = Literal["finished", "failed", "stopped"]
"""How a run ended: by itself, with an error, or by a signal."""

Scalar = bool | int | float | str
Picture = Callable[[], Image.Image]
"""Draws a picture; called only by loggers that take pictures."""


class MetricLogger(ABC):
    """Takes what a run has to tell; steps rise, and a resumed run goes on without a seam.

    None of it stops a run: what fails is warned of once and counted.
    """

    @abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take values by logged name; NaN says that there is none."""

    @abstractmethod
    def close(self, outcome: Outcome = "finished") -> None:
        """Write what is pending and let go of files and connections."""

    # Most loggers take only some of what follows.
    def parameters(self, parameters: Mapping[str, Scalar]) -> None:  # noqa: B027
        """Take the resolved arguments, by path such as `model_args.lr`; once, at the start."""

    def picture(self, step: int, name: str, picture: Picture) -> None:  # noqa: B027
        """Take a picture."""

    def graph(self, model: nn.Module, inputs: Preprocessing) -> None:  # noqa: B027
        """Take a model, and what its inputs are like."""

    def files(self, files: Sequence[Path], model: Path | None) -> None:  # noqa: B027
        """Take the files of a finished run, and its best model if there is one."""

    def report(self, page: Path) -> None:  # noqa: B027
        """Take the page about a finished run; it holds pictures of the data."""
