"""Numbers as people read them."""

from __future__ import annotations

import math

MISSING = "\u2013"
"""Stands where a figure is not defined."""

SPACE = "\u00a0"
"""Between a number and its unit, which stay together."""


SMALLEST = 1e-200
"""A range of values below a billionth of it is none."""


def percent(value: float, digits: int = 1) -> str:
    """A share of [0, 1] as a percentage."""
    return f"{100 * value:.{digits}f}{SPACE}%" if math.isfinite(value) else MISSING


def count(value: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def short_count(value: int) -> str:
    """A whole number in five characters at most."""
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if value >= limit:
            scale = 1000 if unit == "k" else limit
            return f"{value / scale:.3g}{unit}" if value / scale < 1000 else f"{value // scale}{unit}"
    return str(value)


def times(value: float) -> str:
    """A ratio, with a decimal where it says something."""
    return f"{value:.1f}" if value < 10 else count(round(value))


def plain(value: float) -> str:
    """A number with four digits that say something."""
    return f"{value:.4g}" if math.isfinite(value) else MISSING


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """About `wanted` round numbers that enclose [low, high], rising."""
    if not high - low > 1e-9 * max(abs(low), abs(high), SMALLEST):
        room = abs(low) * 0.1 or 1.0
        low, high = low - room, high + room
    raw = (high - low) / max(1, wanted - 1)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{step * i:.10g}") for i in range(first, last + 1)]
