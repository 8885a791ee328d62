"""The type of a threshold, for command lines that do not wait for NumPy."""

from __future__ import annotations

from typing import Literal, TypeAlias

Threshold: TypeAlias = float | Literal["auto"]
"""A score in (0, 1), or those that the model has for each class."""
