"""The options of a function: each of its arguments, and each key of those that are settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs

from lightly_train.cli.docstrings import descriptions, summary
from lightly_train.cli.kinds import fields, members, settings_class, shown, value_kind
from lightly_train.run_config import default_of

Place: TypeAlias = "tuple[str, ...]"
"""Where a value belongs: an argument, then keys."""


class Missing(Enum):
    """Stands where there is no default."""

    MISSING = "required"


@attrs.frozen
class Option:
    """One option.

    Attributes:
        place: Where its value belongs.
        kind: Type of the value.
        default: What counts when it is not given; `Missing` if it must be.
        description: What it means.
    """

    place: Place
    kind: Any
    default: Any
    description: str

    @property
    def name(self) -> str:
        """As it is typed."""
        return "--" + dashed(".".join(self.place))

    @property
    def required(self) -> bool:
        """Whether it must be given; a key of settings need not be, since they need not."""
        return self.default is Missing.MISSING and len(self.place) == 1

    @property
    def shown_kind(self) -> str:
        """Its type, in help."""
        return shown(self.kind)

    @property
    def shown_default(self) -> str:
        """Its default, in help; empty where it is a mapping whose keys have their own."""
        if self.default is Missing.MISSING or attrs.has(type(self.default)):
            return ""
        if self.default is None or isinstance(self.default, bool):
            return {None: "null", True: "true", False: "false"}[self.default]
        if isinstance(self.default, float):
            return f"{self.default:.4g}"
        return str(list(self.default)) if isinstance(self.default, tuple) else str(self.default)


def group_of(option: Option) -> str:
    """Under which heading it stands in help."""
    return option.place[0] if len(option.place) > 1 or settings_class(option.kind) is not None else "Options"


def dashed(name: str) -> str:
    """A name of Python as options have it."""
    return name.replace("_", "-")


def options_of(function: Callable[..., Any], kinds: Mapping[str, Any]) -> tuple[Option, ...]:
    """Options of all arguments of `function` and of their keys, at any depth.

    Args:
        function: Its signature gives names and defaults, its docstring the descriptions.
        kinds: Types of the arguments, for those whose annotation does not name the settings class.
    """
    documented = descriptions(function)
    found: list[Option] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        default = Missing.MISSING if parameter.default is inspect.Parameter.empty else parameter.default
        option = _of_whole(Option((name,), kinds[name], default, documented.get(name, "")))
        found += [option, *_keys(option)]
    return tuple(found)


def options_of_class(cls: Any, kinds: Mapping[str, Any] | None = None) -> tuple[Option, ...]:
    """Options of all fields of an attrs class and of their keys, at any depth.

    Args:
        cls: The class.
        kinds: Types of fields whose keys are options too, where the class has plain dicts.
    """
    return tuple(_of_whole(one) for one in _keys(Option((), cls, Missing.MISSING, ""), kinds or {}))


def _of_whole(option: Option) -> Option:
    """An argument that is a mapping is described by what it holds, unless it may be something else too."""
    if len(option.place) > 1 or settings_class(option.kind) is None or Path in members(option.kind):
        return option
    about = f"{summary(settings_class(option.kind))} All at once, as YAML."
    return attrs.evolve(option, description=about, default="" if option.default is None else option.default)


def _keys(option: Option, kinds: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Option]:
    cls = settings_class(option.kind)
    if cls is None:
        return
    documented = descriptions(cls)
    for field in fields(cls).values():
        given = default_of(field)
        default = Missing.MISSING if given is attrs.NOTHING else given
        about = documented.get(field.name, "")
        kind = kinds.get(field.name, field.type)
        if value_kind(kind) is not None:
            about += f" A single one: {'.'.join((*option.place, field.name)).replace('_', '-')}.KEY."
        inner = Option((*option.place, field.name), kind, default, about.strip())
        yield inner
        yield from _keys(inner)
