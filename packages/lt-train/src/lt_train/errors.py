"""What lt-train raises.

LtTrainError
├── RunFolderError         also a FileExistsError: `out` holds something that must not be overwritten, or is in use
├── ModelFileError         also a ValueError: a file is no model or checkpoint of ours, or is damaged
├── ResumeError            also a ValueError: there is nothing to resume, or the run is not the same; says what differs
├── LoaderWorkerError      also a RuntimeError: a process that loads images is gone
├── MainGuardError         also a RuntimeError: a script starts a run wherever it is imported, so in its own workers too
├── DeviceMemoryError      also a MemoryError: a batch does not fit in the memory of a GPU
├── OutOfSpaceError        also an OSError: a file does not fit on the disk; what was there before is intact
├── TrainConfigError       also a ValueError: settings that fit no run of this data; names the setting
└── TrainingDivergedError  also an ArithmeticError: loss or gradient stay not finite; names the last images
"""

from __future__ import annotations

import errno
from pathlib import Path


class LtTrainError(Exception):
    """Base of every error that lt-train raises on purpose."""


class RunFolderError(LtTrainError, FileExistsError):
    """`out` holds something that must not be overwritten, or another process is running in it."""


class ModelFileError(LtTrainError, ValueError):
    """A file is no model or checkpoint of ours, or is damaged. Nothing in it was executed."""


class ResumeError(LtTrainError, ValueError):
    """There is nothing to resume, or the run is not the same."""


class LoaderWorkerError(LtTrainError, RuntimeError):
    """A process that loads images was killed or crashed. What was saved last is intact."""


class MainGuardError(LtTrainError, RuntimeError):
    """A script starts a run wherever it is imported, so in each process that it spawns too. Nothing was started."""


class DeviceMemoryError(LtTrainError, MemoryError):
    """A batch does not fit in the memory of a GPU. What was saved last is intact."""


class OutOfSpaceError(LtTrainError, OSError):
    """A file does not fit on the disk. What was at its place is intact.

    Attributes:
        path: The file.
        needed: Bytes that it takes.
        free: Bytes that were free in its folder.
    """

    def __init__(self, path: Path, needed: int, free: int, reason: str = "the disk is full") -> None:
        super().__init__(
            f"{path}: {reason}: {needed} bytes are needed beside what is there, {free} are free; what was saved before "
            "is intact. Make room and go on with `resume_interrupted`"
        )
        self.errno = errno.ENOSPC
        self.path, self.needed, self.free = path, needed, free


class TrainConfigError(LtTrainError, ValueError):
    """Settings that fit no run of this data."""


class TrainingDivergedError(LtTrainError, ArithmeticError):
    """The loss or its gradient was not finite in many steps in a row: the rate is too high, or an input is broken."""
