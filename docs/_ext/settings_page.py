"""Every argument of `train_image_classification` and every key of its dicts, as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import attrs

import lightly_train.train
from lightly_train.cli import train
from lightly_train.cli.docstrings import descriptions
from lightly_train.cli.kinds import fields, members, settings_class
from lightly_train.run_config import default_of
from lt_data.validators import Range
from lt_train import TrainConfig

NAMES = {int: "int", float: "float", str: "str", bool: "bool", NoneType: "None"}
REQUIRED = "required"
LINK = re.compile(r"(?<!<)(https?://[^\s)]*[^\s).,;])")


@attrs.frozen
class Setting:
    """One argument, or one key of a dict.

    Attributes:
        place: The argument, then keys.
        kind: Type of its value.
        default: What counts when it is not given; `attrs.NOTHING` if it must be.
        description: What it means.
        range: Bounds of its numbers, None where there are none.
    """

    place: tuple[str, ...]
    kind: Any
    default: Any
    description: str
    range: Range | None


def settings() -> str:
    """The page without its introduction: the arguments, then a section for each dict."""
    arguments = arguments_of_training()
    dicts = {one.place[0]: settings_class(one.kind) for one in arguments if settings_class(one.kind) is not None}
    parts = ["## Arguments", entries(arguments, {name: name for name in dicts})]
    for name, cls in dicts.items():
        parts += [f"## {name}", *section(name, cls)]
    return "\n\n".join(parts)


def arguments_of_training() -> list[Setting]:
    """Those of the function, with the types that their values have once they are read.

    Where lt_train has the argument too, its sentence tells the rule of "auto".
    """
    function = lightly_train.train.train_image_classification
    validators = {name: field.validator for name, field in fields(TrainConfig).items()}
    kinds, documented = train.kinds(), {**descriptions(function), **descriptions(TrainConfig)}
    return [
        Setting((name,), kinds[name], _default(parameter), documented[name], range_of(validators.get(name)))
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]


def keys_of(place: Sequence[str], cls: type) -> list[Setting]:
    """The keys of a dict, which are the fields of its class.

    Raises:
        ValueError: The class's docstring leaves one out.
    """
    documented = descriptions(cls)
    missing = [name for name in fields(cls) if not documented.get(name)]
    if missing:
        raise ValueError(f"the docstring of {cls.__name__} does not describe {', '.join(missing)}")
    return [
        Setting((*place, name), field.type, default_of(field), documented[name], range_of(field.validator))
        for name, field in fields(cls).items()
    ]


def section(argument: str, cls: type) -> Iterator[str]:
    """What a dict is for and its keys; then those of the dicts in it, some of which have the same."""
    keys = keys_of((argument,), cls)
    sharing: dict[type, list[Setting]] = {}
    for key in keys:
        if settings_class(key.kind) is not None and fields(settings_class(key.kind)):
            sharing.setdefault(settings_class(key.kind), []).append(key)
    headings = {inner: ", ".join(key.place[-1] for key in alike) for inner, alike in sharing.items()}
    yield introduction(cls)
    yield entries(keys, {key.place[-1]: headings[inner] for inner, alike in sharing.items() for key in alike})
    for inner, heading in headings.items():
        yield f"### {heading}"
        yield introduction(inner)
        yield entries(keys_of(sharing[inner][0].place, inner), {})


def introduction(cls: type) -> str:
    """The docstring of a class before its attributes."""
    return linked((inspect.getdoc(cls) or "").partition("\nAttributes:\n")[0].strip())


def linked(text: str) -> str:
    """Text with its addresses as links."""
    return LINK.sub(r"<\1>", text)


def entries(settings: Sequence[Setting], headings: Mapping[str, str]) -> str:
    """A definition list.

    Args:
        settings: What is defined; each has an address of its own such as `#model-args-lr`.
        headings: Of those that are dicts with a section, which they link to instead.
    """
    return "\n\n".join(
        f"{_term(one, headings)} {', '.join(_facts(one))}\n: {linked(one.description)}" for one in settings
    )


def address(place: Sequence[str]) -> str:
    """The part of a link behind its `#`."""
    return "-".join(place).replace("_", "-").lower()


def shown_kind(kind: Any) -> str:
    """A type in the words of Python."""
    return " or ".join(dict.fromkeys(word for one in members(kind) for word in _words(one)))


def shown_default(default: Any) -> str:
    """A default as it is written in Python."""
    if default is attrs.NOTHING:
        return REQUIRED
    if attrs.has(type(default)):
        return "on by default" if attrs.fields(type(default)) else "default `{}`"
    return f"default `{literal(default)}`"


def literal(value: Any) -> str:
    """A value as it is written in Python, numbers to four figures."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(literal, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _words(kind: Any) -> list[str]:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return [f"`{literal(one)}`" for one in inner]
    if origin is tuple:
        count = "" if inner[-1] is ... else f"{len(inner)} "
        return [f"list of {count}{shown_kind(inner[0])}"]
    return ["`str`", "`Path`"] if kind is Path else [f"`{NAMES.get(kind, 'dict')}`"]


def range_of(validator: Any) -> Range | None:
    """The range in a validator of attrs, which may be optional or one of several."""
    if isinstance(validator, Range):
        return validator
    parts = [getattr(validator, "validator", None), *getattr(validator, "_validators", ())]
    return next((found for part in parts if part is not None and (found := range_of(part))), None)


def _facts(setting: Setting) -> list[str]:
    limits = [] if setting.range is None else [str(setting.range)]
    return [shown_kind(setting.kind), *limits, shown_default(setting.default)]


def _default(parameter: inspect.Parameter) -> Any:
    return attrs.NOTHING if parameter.default is inspect.Parameter.empty else parameter.default


def _term(setting: Setting, headings: Mapping[str, str]) -> str:
    name = setting.place[-1]
    if name in headings:
        return f"[**`{name}`**](#{headings[name].replace(',', '').replace(' ', '-')})"
    return f"[**`{name}`**]{{#{address(setting.place)}}}"
