"""What lt-models raises.

LtModelsError
├── UnknownModelError   also a ValueError: no classifier has that name; says why where it can, and which come nearest
├── ModelConfigError    also a ValueError: the model cannot be built that way (image size, channels, classes, pooling)
└── WeightsError        also a RuntimeError: pretrained weights cannot be had; random ones are never put in their place
"""

from __future__ import annotations

from pathlib import Path


class LtModelsError(Exception):
    """Base of every error that lt-models raises on purpose."""


class UnknownModelError(LtModelsError, ValueError):
    """No classifier has that name.

    Attributes:
        name: What was asked for.
        nearest: Up to five names that come closest, best first.
        reason: Why a model of that name is none of ours, such as being a detector; empty when there is no such model.
    """

    def __init__(self, name: str, nearest: list[str], reason: str = "") -> None:
        self.name = name
        self.nearest = nearest
        self.reason = reason
        what = f"{name!r} {reason}" if reason else f"unknown model {name!r}"
        hint = f"nearest are {', '.join(nearest)}" if nearest else "lt_models.list_models() lists them all"
        super().__init__(f"{what}; {hint}")


class ModelConfigError(LtModelsError, ValueError):
    """The model cannot be built with these arguments."""


class WeightsError(LtModelsError, RuntimeError):
    """Pretrained weights cannot be had or used; names the file, and how to go on.

    Attributes:
        path: The file, or where it may be put; None where none is concerned.
    """

    def __init__(self, message: str, *, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path
