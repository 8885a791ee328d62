"""What lt-models raises.

LtModelsError
├── UnknownModelError   also a ValueError: no model has that name; says which come nearest
├── ModelConfigError    also a ValueError: the model cannot be built that way (image size, channels, classes)
└── WeightsError        also a RuntimeError: pretrained weights cannot be had; random ones are never put in their place
"""

from __future__ import annotations


class LtModelsError(Exception):
    """Base of every error that lt-models raises on purpose."""


class UnknownModelError(LtModelsError, ValueError):
    """No model has that name.

    Attributes:
        name: What was asked for.
        nearest: Up to five names that come closest, best first.
    """

    def __init__(self, name: str, nearest: list[str]) -> None:
        self.name = name
        self.nearest = nearest
        hint = f"; nearest are {', '.join(nearest)}" if nearest else "; lt_models.list_models() lists them all"
        super().__init__(f"unknown model {name!r}{hint}")


class ModelConfigError(LtModelsError, ValueError):
    """The model cannot be built with these arguments."""


class WeightsError(LtModelsError, RuntimeError):
    """Pretrained weights cannot be had; names the file, and how to go on."""
