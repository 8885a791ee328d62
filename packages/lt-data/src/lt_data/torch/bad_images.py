"""One policy for images that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import attrs

from lt_data.errors import DatasetError, ImageDecodeError, Problem

logger = logging.getLogger(__name__)

FEW = 3
"""So many bad images do not stop a run in the first validation of a small split."""


def most_bad_images(num_samples: int) -> int:
    """So many images of a split may be left out; one more is an error, as that is no accident of a few files.

    They are 1 %, or of a small split up to three, but never more than a tenth.
    """
    return max(num_samples // 100, min(FEW, num_samples // 10))


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
        alone: Whether this process reads the whole split. Where several share it, `record` keeps what is new for
            `take_new`, and each process is to `count` what all of them met.
    """

    def __init__(
        self, policy: Literal["skip", "error"], num_samples: int, *, log: bool = True, alone: bool = True
    ) -> None:
        self._policy, self._num_samples, self._log, self._alone = policy, num_samples, log, alone
        self._seen: dict[str, str] = {}
        self._new: dict[str, Failure] = {}

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Each file that could not be read, and why, in the order in which they were met."""
        return tuple(Problem(name, message.removeprefix(f"{name}: ")) for name, message in self._seen.items())

    @property
    def num_new(self) -> int:
        """How many files wait for `take_new`."""
        return len(self._new)

    def record(self, failures: Iterable[Failure]) -> None:
        """Take note of what this process could not read: count it, or keep it where several share the split.

        Raises:
            ImageDecodeError: The policy is `"error"`; names the first.
            DatasetError: More than `most_bad_images` of the split; names them all.
        """
        failures = tuple(failures)
        if failures and self._policy == "error":
            raise ImageDecodeError(failures[0].message, path=failures[0].path)
        if self._alone:
            self.count(failures)
        else:
            self._new |= {str(failure.path): failure for failure in failures if str(failure.path) not in self._seen}

    def take_new(self) -> tuple[Failure, ...]:
        """What `record` has kept since the last call."""
        new, self._new = tuple(self._new.values()), {}
        return new

    def count(self, failures: Iterable[Failure]) -> None:
        """Count images and log those that are new, where that was asked for.

        Raises:
            DatasetError: More than `most_bad_images` of the split; names them all.
        """
        for failure in failures:
            name = str(failure.path)
            if name not in self._seen:
                self._seen[name] = failure.message
                if self._log:
                    logger.warning("left out, %d so far: %s", len(self._seen), failure.message)
        most = most_bad_images(self._num_samples)
        if len(self._seen) > most:
            share = f"{len(self._seen)} of {self._num_samples} images cannot be read, more than the {most} that may be"
            advice = "mend or remove them; `lightly-train check-data`, or lt_data.check, finds all before a run"
            raise DatasetError([Problem("data", f"{share} left out: {advice}"), *self.problems])
