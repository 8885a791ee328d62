"""One policy for images that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import attrs

from lt_data.errors import DatasetError, ImageDecodeError, Problem

logger = logging.getLogger(__name__)

MAX_BAD_SHARE = 0.01
"""A run whose split has more bad images than this share stops: that is no accident of a few files."""


@attrs.frozen
class Failure:
    """An `ImageDecodeError` on its way from a worker, which would otherwise arrive as the text of a traceback."""

    message: str
    path: Path | str | None


class BadImages:
    """The images of a split that could not be read: each is logged once, and too many end the run.

    Args:
        policy: What an image that cannot be read means: `"skip"` counts it, `"error"` raises.
        num_samples: Images of the split.
        log: Whether images are logged; False where somebody else tells of them.
    """

    def __init__(self, policy: Literal["skip", "error"], num_samples: int, *, log: bool = True) -> None:
        self._policy, self._num_samples, self._log = policy, num_samples, log
        self._seen: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Each file that could not be read, and why, in the order in which they were met."""
        return tuple(Problem(name, message) for name, message in self._seen.items())

    def record(self, failures: Iterable[Failure]) -> None:
        """Count images and log those that are new, where that was asked for.

        Raises:
            ImageDecodeError: The policy is `"error"`; names the first.
            DatasetError: More than 1 % of the split; names them all.
        """
        for failure in failures:
            if self._policy == "error":
                raise ImageDecodeError(failure.message, path=failure.path)
            name = str(failure.path)
            if name not in self._seen:
                self._seen[name] = failure.message
                if self._log:
                    logger.warning("left out, %d so far: %s", len(self._seen), failure.message)
        if len(self._seen) > MAX_BAD_SHARE * self._num_samples:
            share = f"{len(self._seen)} of {self._num_samples} images cannot be read, which is more than 1 %"
            problems = [Problem("data", f"{share}; mend or remove them, see lt_data.check")]
            raise DatasetError([*problems, *self.problems])
