"""From what was typed to the arguments of a command; a file or folder of `data` may have options beside it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import yaml

from lightly_train.cli.collect import collect, kinds_of, merged
from lightly_train.cli.kinds import fields, members
from lightly_train.cli.options import Place, dashed
from lt_data import ConfigError, DataConfig, Problem, data_keys, load_data_config, structure, unknown_key, user_path
from lt_train import read_yaml_file

T = TypeVar("T")


def read_as(cls: type[T], words: Sequence[str], positional: Sequence[str], kinds: Mapping[str, Any] | None = None) -> T:
    """The arguments in `words` as an object of the attrs class that describes them.

    Their `data` may be a folder or table: the split that the argument `split` says, where there is one.

    Args:
        cls: The class.
        words: As typed.
        positional: Arguments that may be given without their name.
        kinds: Types of arguments whose keys are options, where the class has plain dicts.

    Raises:
        ConfigError: Lists every word, key and value that is wrong.
    """
    known = {**kinds_of(cls), **(kinds or {})}
    typed = collect(words, known, positional)
    unknown = sorted({place[0] for place in typed.values} - {*known})
    problems = [*typed.problems, *(Problem(name, unknown_key(name, known)) for name in unknown)]
    values = {place: value for place, value in typed.values.items() if place[0] in known}
    own = fields(cls).get("split")
    split = None if own is None else values.get(("split",), own.default)
    missing = required(fields(cls)) - {place[0] for place in values}
    try:
        found = structure(with_typed({}, values, lambda path: data_keys(path, split)), cls, "")
    except ConfigError as error:
        raise ConfigError([*problems, *in_words(error, missing)]) from error
    if problems:
        raise ConfigError(problems)
    return found


def required(arguments: Mapping[str, attrs.Attribute[Any]]) -> set[str]:
    """Names of the arguments that have no default."""
    return {name for name, one in arguments.items() if one.default is attrs.NOTHING}


def in_words(error: ConfigError, missing: Container[str]) -> Iterator[Problem]:
    """The problems of arguments; those that are missing are named as the options that they are."""
    for problem in error.problems:
        what = Problem(f"--{dashed(problem.where)}", "this option is required")
        yield what if problem.where in missing else problem


def with_typed(
    base: Mapping[str, Any],
    typed: Mapping[Place, Any],
    keys_of: Callable[[Path], Mapping[str, Any] | None] = data_keys,
) -> dict[str, Any]:
    """The arguments of a file with the options beside it; a file of `data` is read where a key of it is typed.

    Args:
        base: The arguments of the file.
        typed: The options, by place.
        keys_of: What a folder or table as `data` means as keys; None where it is a YAML file.

    Raises:
        ConfigError: The file of `data` cannot be read, or a key of it that a folder or table stands for is typed too.
    """
    data = typed.get(("data",), base.get("data"))
    beside = [place[1] for place in typed if place[0] == "data" and len(place) > 1]
    if isinstance(data, str) and beside:
        keys = keys_of(Path(data))
        twice = [key for key in beside if key in (keys or {})]
        if keys is not None and twice:
            raise ConfigError([Problem(f"data.{key}", f"is {keys[key]} already; give one of the two") for key in twice])
        base = {**base, "data": _read_data(Path(data)) if keys is None else keys}
        typed = {place: value for place, value in typed.items() if place != ("data",)}
    return merged(base, typed)


def _read_data(file: Path) -> Any:
    """The keys in a file of `data`, its paths relative to its folder.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        content = read_yaml_file(file.expanduser())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        content = None
    if not isinstance(content, dict):
        load_data_config(file)  # says why
        return str(file)
    paths = [name for name, field in fields(DataConfig).items() if Path in members(field.type)]
    for key in paths:
        if isinstance(content.get(key), str):
            content[key] = str(user_path(file).parent / user_path(content[key]))
    return content
