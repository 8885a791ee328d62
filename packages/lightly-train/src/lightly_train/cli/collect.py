"""From the words of a command line to nested arguments, which whoever takes them checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from lightly_train.cli.kinds import fields, members, read_value, settings_class, value_kind
from lightly_train.cli.options import Place
from lt_data import Problem


@attrs.frozen
class Collected:
    """What was typed.

    Attributes:
        values: By place.
        problems: Words that are no options, and options without a value.
    """

    values: dict[Place, Any]
    problems: list[Problem]


def collect(words: Sequence[str], kinds: Mapping[str, Any], positional: Sequence[str] = ()) -> Collected:
    """Read `--name value`, `--name=value`, `--a.b.c value`, `--flag`, `--no-flag`; the last of one option counts.

    Args:
        words: What was typed after the command.
        kinds: Types of the arguments by name.
        positional: Names of the arguments that words without dashes are, in their order.
    """
    found = Collected({}, [])
    waiting, rest = list(positional), list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and len(word) > 2:
            _take(word, rest, kinds, found)
        elif waiting:
            name = waiting.pop(0)
            found.values[(name,)] = read_value(word, kinds[name])
        else:
            found.problems.append(Problem(repr(word), "is not the value of an option; options begin with two dashes"))
    return found


def kinds_of(cls: Any) -> dict[str, Any]:
    """Types of the fields of an attrs class, the arguments of a command, by name."""
    return {name: field.type for name, field in fields(cls).items()}


def _take(word: str, rest: list[str], kinds: Mapping[str, Any], found: Collected) -> None:
    """The option `word`, and its value from `rest`."""
    name, equals, text = word[2:].partition("=")
    place, kind = locate(name, kinds)
    last = place[-1]
    if kind is None and last.startswith("no_"):
        positive, its_kind = locate(_renamed(name), kinds)
        if bool in members(its_kind) and not equals:
            found.values[positive] = False
            return
    if not equals:
        is_flag = bool in members(kind) and (not rest or rest[0].startswith("--"))
        if is_flag or (kind is bool and rest[0] not in ("true", "false")):
            found.values[place] = True
            return
        if not rest or rest[0].startswith("--"):
            if kind is not None:
                found.problems.append(Problem(word, _needs_a_value(kind)))
                return
            text = ""
        else:
            text = rest.pop(0)
    found.values[place] = read_value(text, Any if kind is None else kind)


def _needs_a_value(kind: Any) -> str:
    if settings_class(kind) is not None:
        return "needs a value; `{}` is all of its defaults"
    return "needs a value; one that begins with two dashes goes behind `=`"


def _renamed(name: str) -> str:
    """`a.no-b` as `a.b`."""
    before, dot, last = name.rpartition(".")
    return before + dot + last[3:]


def locate(name: str, kinds: Mapping[str, Any]) -> tuple[Place, Any]:
    """Where the value of the option `name` belongs, and of which type it is, None if there is no such option."""
    first, *words = name.split(".")
    place: Place = (first.replace("-", "_"),)
    kind = kinds.get(place[0])
    while words:
        cls, values = settings_class(kind), value_kind(kind)
        if cls is None and values is not None and values is not Any:
            # Names of classes may have dots and dashes.
            return (*place, ".".join(words)), values
        word = words.pop(0).replace("-", "_")
        place = (*place, word)
        if cls is not None:
            kind = fields(cls)[word].type if word in fields(cls) else None
        else:
            kind = Any if Any in (values, kind) else None
    return place, kind


def merged(base: Mapping[str, Any], values: Mapping[Place, Any]) -> dict[str, Any]:
    """`base` with each value in its place; a whole mapping replaces another, its keys are then set one by one."""
    result = dict(base)
    for place in sorted(values, key=len):
        node = result
        for key in place[:-1]:
            inner = node.get(key)
            node[key] = dict(inner) if isinstance(inner, Mapping) else {}
            node = node[key]
        # A file may have numbers as keys, where an option has their digits.
        last = next((key for key in node if str(key) == place[-1]), place[-1])
        node[last] = values[place]
    return result
