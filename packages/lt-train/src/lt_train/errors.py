"""What lt-train raises.

LtTrainError
├── RunFolderError         also a FileExistsError: `out` holds something that must not be overwritten
├── ModelFileError         also a ValueError: a file is no model or checkpoint of ours, or is damaged
├── ResumeError            also a ValueError: there is nothing to resume, or the run is not the same; says what differs
├── TrainConfigError       also a ValueError: settings that fit no run of this data; names the setting
└── TrainingDivergedError  also an ArithmeticError: loss or gradient stay not finite; names the last images
"""

from __future__ import annotations


class LtTrainError(Exception):
    """Base of every error that lt-train raises on purpose."""


class RunFolderError(LtTrainError, FileExistsError):
    """`out` holds something that must not be overwritten."""


class ModelFileError(LtTrainError, ValueError):
    """A file is no model or checkpoint of ours, or is damaged. Nothing in it was executed."""


class ResumeError(LtTrainError, ValueError):
    """There is nothing to resume, or the run is not the same."""


class TrainConfigError(LtTrainError, ValueError):
    """Settings that fit no run of this data."""


class TrainingDivergedError(LtTrainError, ArithmeticError):
    """The loss or its gradient was not finite in many steps in a row: the rate is too high, or an input is broken."""
