"""`data` of the commands that do not train: images with labels, of which only one split need be there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lt_data import STRUCTURE, DataConfig

LabelledData = Path | dict[str, Any]
"""A file or folder, or keys of `DataConfig`, which need not be a whole one: whoever reads the split checks them."""

KINDS: Mapping[str, Any] = MappingProxyType({"data": Path | DataConfig})
"""Its keys are options."""


def _path_or_keys(value: Any) -> LabelledData:
    if isinstance(value, Mapping):
        return dict(value)
    if not value:
        raise ValueError("expected a path, got an empty text")
    return Path(value)


AS_GIVEN: Mapping[str, Any] = MappingProxyType({STRUCTURE: _path_or_keys})
"""Metadata of an attrs field that holds it."""
