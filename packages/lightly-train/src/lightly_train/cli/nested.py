"""How cyclopts sees a command whose options are read by `collect`: for the list of commands and for completion."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin

from cyclopts import Parameter

from lightly_train.cli.kinds import members
from lightly_train.cli.options import Option

if TYPE_CHECKING:
    from cyclopts import App


def add_nested(app: App, name: str, summary: str, options: Sequence[Option], positional: Sequence[str] = ()) -> None:
    """Add a command with `options`; those of `positional` may be given without their name.

    Its body is empty: whoever has completion from cyclopts runs the command otherwise.
    """
    parameters = [_parameter(option, option.place in {(word,) for word in positional}) for option in options]
    app.command(_with_signature(parameters), name=name, help=summary)


def _parameter(option: Option, is_positional: bool) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if is_positional else inspect.Parameter.KEYWORD_ONLY
    described = Parameter(name=option.name, help=option.description, required=option.required)
    return inspect.Parameter(
        "__".join(option.place),
        kind,
        default=inspect.Parameter.empty if option.required else None,
        annotation=Annotated[_simple(option.kind), described],
    )


def _simple(kind: Any) -> Any:
    """What completion can do with a type: flags, words to choose from, and paths."""
    known = members(kind)
    if kind is bool:
        return bool
    if Path in known:
        return Path
    words = [one for one in known if get_origin(one) is Literal]
    return words[0] if len(words) == len([one for one in known if one is not type(None)]) and words else str


def _with_signature(parameters: Sequence[inspect.Parameter]) -> Callable[..., None]:
    def command(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("run by its own module")

    signature = inspect.Signature(sorted(parameters, key=lambda one: one.kind))
    command.__signature__ = signature  # type: ignore[attr-defined]  # inspect looks for it, mypy does not know
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command
