"""A local logger that fails does not stop a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import nn

from lt_data import LtDataError, Preprocessing
from lt_train.loggers.base import MetricLogger, Outcome, Picture, Scalar

logger = logging.getLogger(__name__)


class GuardedLogger(MetricLogger):
    """Hands everything to another logger; warns of the first failure, counts all, and goes on."""

    def __init__(self, name: str, inner: MetricLogger) -> None:
        self._name, self._inner = name, inner
        self._dropped = 0

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Hand on."""
        self._try(lambda: self._inner.log(step, values), len(values))

    def parameters(self, parameters: Mapping[str, Scalar]) -> None:
        """Hand on."""
        self._try(lambda: self._inner.parameters(parameters))

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """Hand on."""
        self._try(lambda: self._inner.picture(step, name, picture))

    def graph(self, model: nn.Module, inputs: Preprocessing) -> None:
        """Hand on."""
        self._try(lambda: self._inner.graph(model, inputs))

    def files(self, files: Sequence[Path], model: Path | None) -> None:
        """Hand on."""
        self._try(lambda: self._inner.files(files, model))

    def close(self, outcome: Outcome = "finished") -> None:
        """Close the other, and say how much is missing."""
        self._try(lambda: self._inner.close(outcome), 0)
        if self._dropped:
            logger.info("%s: %d values could not be written", self._name, self._dropped)

    def _try(self, write: Callable[[], None], values: int = 1) -> None:
        try:
            write()
        except (OSError, LtDataError) as error:
            if not self._dropped:
                logger.warning("%s: cannot be written, the run goes on without: %s", self._name, error)
            self._dropped += values
