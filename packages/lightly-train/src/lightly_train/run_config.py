"""What a run was asked for, as arguments that ask for the same again, from any working directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from lt_data import plain_values


def asked(config: Any) -> dict[str, Any]:
    """The fields of an attrs object that differ from their defaults, as plain values; keys of dicts stay.

    Args:
        config: Settings, with others inside it; what is read from the result equals it.
    """
    found: dict[str, Any] = {}
    for field in attrs.fields(type(config)):
        value, default = getattr(config, field.name), default_of(field)
        if default is attrs.NOTHING or value != default or type(value) is not type(default):
            found[field.name] = plain(value)
    return found


def default_of(field: attrs.Attribute[Any]) -> Any:
    """The default of a field, `attrs.NOTHING` where it has none."""
    default: Any = field.default
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]  # no class


def plain(value: Any) -> Any:
    """A value as YAML has it, paths absolute."""
    if attrs.has(type(value)):
        return asked(value)
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return str(value.absolute()) if isinstance(value, Path) else plain_values(value)
