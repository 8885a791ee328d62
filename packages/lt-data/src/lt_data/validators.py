"""Ranges of configuration values, said in the message in the words of the documentation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeGuard

import attrs

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


@attrs.frozen
class Range:
    """Bounds for every number of a value; text and None pass.

    Attributes:
        low: The least.
        high: The greatest, infinite for none.
        above_low: Whether `low` itself is too small.
    """

    low: float
    high: float = math.inf
    above_low: bool = False

    def __call__(self, instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        """Check a value, as attrs calls its validators."""
        if not all(self._holds(number) for number in _numbers(value)):
            raise ValueError(f"{attribute.name} must be {self}, got {value}")

    def __str__(self) -> str:
        if self.high < math.inf:
            return f"from {self.low:g} to {self.high:g}"
        return f"above {self.low:g}" if self.above_low else f"at least {self.low:g}"

    def _holds(self, number: float) -> bool:
        return (number > self.low if self.above_low else number >= self.low) and number <= self.high


def between(low: float, high: float) -> Range:
    """Low ≤ value ≤ high, for every number of a value; text and None pass."""
    return Range(low, high)


def at_least(low: float) -> Range:
    """Value ≥ low, for every number of a value; text and None pass."""
    return Range(low)


def above(low: float) -> Range:
    """Value > low, for every number of a value; text and None pass."""
    return Range(low, above_low=True)


def one_of(*choices: str) -> Validator:
    """The value is one of `choices`."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            raise ValueError(f"{attribute.name} must be one of {', '.join(map(repr, choices))}, got {value!r}")

    return check


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is an integer; True and False are none, though Python counts them among them."""
    return isinstance(value, int) and not isinstance(value, bool)


def _numbers(value: object) -> list[float]:
    values = value if isinstance(value, tuple) else (value,)
    return [number for number in values if isinstance(number, (int, float))]
