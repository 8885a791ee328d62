"""Types of options: what they are called in help, and what the text of a value means."""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from lt_train import read_yaml

NAMES = {int: "integer", float: "number", str: "text", bool: "true|false", Path: "path", NoneType: "null"}


def members(kind: Any) -> tuple[Any, ...]:
    """The types that a value may have."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def settings_class(kind: Any) -> Any:
    """The attrs class among them, None if there is none."""
    return next((one for one in members(kind) if attrs.has(one)), None)


def value_kind(kind: Any) -> Any:
    """Of a dict among them the type of its values, None if there is none."""
    return next((get_args(one)[1] for one in members(kind) if get_origin(one) is dict), None)


def choices(kind: Any) -> tuple[str, ...]:
    """Words that stand for themselves."""
    literals = [one for one in members(kind) if get_origin(one) is Literal]
    return tuple(choice for one in literals for choice in get_args(one) if isinstance(choice, str))


def fields(cls: Any) -> dict[str, attrs.Attribute[Any]]:
    """Fields of an attrs class by name, with types for names of types."""
    attrs.resolve_types(cls)
    return {field.name: field for field in attrs.fields(cls)}


def shown(kind: Any) -> str:
    """A type, in help."""
    return "|".join(dict.fromkeys(_name(one) for one in members(kind)))


def _name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if get_origin(kind) in (tuple, list):
        return "list"
    return NAMES.get(kind, "mapping")


def read_value(text: str, kind: Any) -> Any:
    """What the text of an option means where a value of `kind` is expected.

    Text, paths and words stay as typed; numbers, lists and mappings are YAML, where one is expected, and lists may be
    written without brackets. What is not of the kind stays as typed: whoever checks values says so.
    """
    expected = members(kind)
    if text in choices(kind):
        return text
    if text in ("null", "None") and NoneType in expected:
        return None
    if all(_is_text(one) for one in expected):
        return text
    is_list = any(get_origin(one) is tuple for one in expected) and str not in expected
    value = read_yaml(f"[{text}]" if is_list and not text.lstrip().startswith(("[", "{")) else text, otherwise=text)
    if Path in expected and isinstance(value, dict) and not _is_mapping(text, value, expected):
        return text
    return value if Any in expected or any(_may_be(value, one) for one in expected) else text


def _is_text(kind: Any) -> bool:
    return kind in (str, Path, NoneType) or get_origin(kind) is Literal


def _is_mapping(text: str, value: dict[Any, Any], expected: tuple[Any, ...]) -> bool:
    """Whether a mapping is meant, in braces or with keys that are known; `a: b` is the name of a file."""
    known = (fields(one) for one in expected if attrs.has(one))
    return text.lstrip().startswith("{") or any(value.keys() <= names.keys() for names in known)


def _may_be(value: Any, kind: Any) -> bool:
    """Whether a value that YAML has made of a text is of a kind: number, list or mapping; never another text."""
    if isinstance(value, dict):
        return attrs.has(kind) or get_origin(kind) is dict
    if isinstance(value, list):
        return get_origin(kind) in (tuple, dict)  # `classes` may be a list of names
    return isinstance(value, (bool, int, float)) and kind in (bool, int, float)
