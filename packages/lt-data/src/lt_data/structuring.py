"""From plain dicts to frozen attrs classes: strict types, no unknown keys, every problem named by its full path."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from lt_data.errors import ConfigError, Problem, listed, nearest
from lt_data.validators import is_whole

T = TypeVar("T")

STRUCTURE = "structure"
"""Metadata key of an attrs field whose value is read by a function of its own."""

REFUSE = "refuse"
"""Metadata key of an attrs field: a function that refuses some raw values in better words than their type would."""


def structure(raw: Any, cls: type[T], where: str) -> T:
    """Build `cls` from plain values, or report all that is wrong with them.

    Args:
        raw: A mapping for an attrs class, plain values below it.
        cls: The attrs class to build.
        where: Path of `raw` itself, such as `data`; empty for the top.

    Raises:
        ConfigError: Lists unknown keys (with the nearest valid one), missing keys, wrong types and wrong values.
    """
    try:
        return _converter().structure(plain_values(raw), cls)
    except Exception as error:
        raise ConfigError(list(_problems(error, where))) from error


def plain_values(value: Any) -> Any:
    """Values as JSON and YAML have them, in place of NumPy's scalars and of subclasses of str, int and float.

    Args:
        value: Dicts, lists, tuples and sets of values, at any depth; all else stays as it is.
    """
    if isinstance(value, Mapping):
        return {plain_values(key): plain_values(one) for key, one in value.items()}
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return kind(map(plain_values, value))
    # Where nobody has imported NumPy there are no values of it.
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    return next((kind(value) for kind in (int, float) if isinstance(value, kind)), value)


def _problems(error: BaseException, where: str) -> Iterator[Problem]:
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        valid = {field.name: field.type for field in attrs.fields(error.cl)}
        for key in sorted(map(str, error.extra_fields)):
            yield Problem(_join(where, key), unknown_key(key, valid))
    elif isinstance(error, cattrs.BaseValidationError):
        for inner in error.exceptions:
            yield from _problems(inner, where + _step(inner, where))
    elif isinstance(error, KeyError):
        yield Problem(_join(where, str(error.args[0])), "this key is required")
    elif isinstance(error, ConfigError):
        for problem in error.problems:
            yield Problem(_join(where, problem.where), problem.what)
    elif isinstance(error, (ValueError, TypeError)):
        yield Problem(where, str(error).removeprefix(f"{where.rpartition('.')[2]} "))
    else:
        raise error


def unknown_key(key: str, valid: Mapping[str, Any]) -> str:
    """What to say of a key that is none of `valid`.

    Args:
        key: As given.
        valid: Types by key; where one is an attrs class, `key` may be meant for it.
    """
    owner = next((name for name, kind in valid.items() if key in _keys_of(kind)), None)
    if owner is not None:
        return f"unknown key; did you mean `{owner}.{key}`?"
    initials = "".join(word[:1] for word in key.split("_"))  # `lr` for `learning_rate`
    near = initials if initials in valid else nearest(key, list(valid))
    return f"unknown key; did you mean `{near}`?" if near else f"unknown key; valid are {listed(sorted(valid), 40)}"


def _keys_of(kind: Any) -> list[str]:
    classes = [part for part in (kind, *get_args(kind)) if attrs.has(part)]
    return [field.name for cls in classes for field in attrs.fields(cls)]


def _step(error: BaseException, where: str) -> str:
    """The path from a value to the part of it that cattrs was reading when `error` arose."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, cattrs.AttributeValidationNote) and not isinstance(error, KeyError):
            return f".{note.name}" if where else note.name
        if isinstance(note, cattrs.IterableValidationNote):
            return f"[{note.index!r}]"
    return ""


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where and key and not key.startswith("[") else where + key


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind, hook in {bool: _boolean, int: _integer, float: _number, str: _text, Path: _path}.items():
        converter.register_structure_hook(kind, hook)
    converter.register_structure_hook_func(lambda cls: cls is Any, lambda value, _: value)
    converter.register_structure_hook_func(lambda cls: _origin(cls) is Literal, _literal)
    factories: list[tuple[Callable[[Any], bool], Any]] = [
        (lambda cls: _origin(cls) is tuple, _tuple_hook),
        (lambda cls: _origin(cls) is dict, _dict_hook),
        (lambda cls: _origin(cls) in (Union, UnionType), _union_hook),
        (attrs.has, _class_hook),
    ]
    for predicate, factory in factories:
        converter.register_structure_hook_factory(predicate, factory)
    return converter


def _origin(kind: Any) -> Any:
    return get_origin(kind)


def _class_hook(cls: type, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Read an attrs class, with its fields' validators run field by field, so that all are reported."""
    attrs.resolve_types(cls)
    overrides: dict[str, Any] = {f.name: override(struct_hook=_field_hook(f, converter)) for f in attrs.fields(cls)}
    read: Callable[[Any, Any], Any] = make_dict_structure_fn(cls, converter, **overrides)

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            keys = listed([field.name for field in attrs.fields(cls)])
            raise ValueError(f"expected a dict with keys such as {keys}, got {_shown(value)}")
        return read(dict(value), cls)

    return hook


def _field_hook(field: attrs.Attribute[Any], converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    own, refuse = field.metadata.get(STRUCTURE), field.metadata.get(REFUSE)

    def hook(value: Any, kind: Any) -> Any:
        if refuse is not None:
            refuse(value)
        built = own(value) if own else converter.structure(value, kind)
        if field.validator is not None:
            field.validator(None, field, built)
        return built

    return hook


def _union_hook(union: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    members = [member for member in get_args(union) if member is not NoneType]
    optional = NoneType in get_args(union)

    def hook(value: Any, _: Any) -> Any:
        if value is None and optional:
            return None
        if len(members) == 1:
            return converter.structure(value, members[0])
        for member in members:
            try:
                return converter.structure(value, member)
            except Exception as error:
                if (attrs.has(member) and isinstance(value, Mapping)) or _fits_but_for_its_parts(member, value):
                    raise error
        kinds = [_kind(member) for member in members] + (["None"] if optional else [])
        hint = _without_quotes(value) if {int, float} & {*members} else ""
        raise ValueError(f"expected {' or '.join(kinds)}, got {_shown(value)}{hint}")

    return hook


def _dict_hook(kind: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    keys, values = get_args(kind)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError(f"expected a dict, got {_shown(value)}")
        return {converter.structure(key, keys): converter.structure(inner, values) for key, inner in value.items()}

    return hook


def _fits_but_for_its_parts(kind: Any, value: Any) -> bool:
    if _origin(kind) is not tuple or not isinstance(value, (list, tuple)):
        return False
    return get_args(kind)[-1] is Ellipsis or len(value) == len(get_args(kind))


def _tuple_hook(kind: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    members = get_args(kind)
    endless = members[-1] is Ellipsis

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, (list, tuple)) or (not endless and len(value) != len(members)):
            raise ValueError(f"expected {_kind(kind)}, got {_shown(value)}")
        kinds = [members[0]] * len(value) if endless else members
        return tuple(converter.structure(item, member) for item, member in zip(value, kinds, strict=True))

    return hook


def _boolean(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {_shown(value)}")
    return value


def _integer(value: Any, _: Any) -> int:
    if not is_whole(value):
        raise ValueError(f"expected an integer, got {_shown(value)}{_without_quotes(value)}")
    return value


def _number(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < float("inf"):
        raise ValueError(f"expected a finite number, got {_shown(value)}{_without_quotes(value)}")
    return float(value)


def _without_quotes(value: Any) -> str:
    """What to say of text that would be a number."""
    try:
        return "; leave the quotes out" if isinstance(value, str) and abs(float(value)) < float("inf") else ""
    except ValueError:
        return ""


def _text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {_shown(value)}")
    return value


def _path(value: Any, _: Any) -> Path:
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise ValueError(f"expected a path, got {_shown(value)}")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{_shown(value)} begins with the home folder of a user who is not there") from error


def _literal(value: Any, kind: Any) -> Any:
    if not any(value == choice and type(value) is type(choice) for choice in get_args(kind)):
        raise ValueError(f"expected {_kind(kind)}, got {_shown(value)}")
    return value


def _kind(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(repr(choice) for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return "a list" if get_args(kind)[-1] is Ellipsis else f"a list of {len(get_args(kind))} values"
    names = {int: "an integer", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    return names.get(kind, "a dict")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
