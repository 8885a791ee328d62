"""The command `lightly-train`: the Python API, from a shell."""

from __future__ import annotations

from lightly_train.cli.program import main

__all__ = ["main"]
