"""Ranges of configuration values, said in the message in the words of the documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def between(low: float, high: float) -> Validator:
    """Low ≤ value ≤ high, for every number of a value; text and None pass."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if any(not low <= number <= high for number in _numbers(value)):
            raise ValueError(f"{attribute.name} must be from {low:g} to {high:g}, got {value}")

    return check


def at_least(low: float) -> Validator:
    """Value ≥ low, for every number of a value; text and None pass."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if any(not number >= low for number in _numbers(value)):
            raise ValueError(f"{attribute.name} must be at least {low:g}, got {value}")

    return check


def above(low: float) -> Validator:
    """Value > low, for every number of a value; text and None pass."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if any(not number > low for number in _numbers(value)):
            raise ValueError(f"{attribute.name} must be above {low:g}, got {value}")

    return check


def one_of(*choices: str) -> Validator:
    """The value is one of `choices`."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            raise ValueError(f"{attribute.name} must be one of {', '.join(map(repr, choices))}, got {value!r}")

    return check


def _numbers(value: object) -> list[float]:
    values = value if isinstance(value, tuple) else (value,)
    return [number for number in values if isinstance(number, (int, float))]
