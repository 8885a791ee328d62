"""How far a call is that takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal, TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""Is told how many images are done, and how many there are."""

ProgressArg: TypeAlias = "Literal['auto'] | bool | Progress"


@contextmanager
def shown_progress(asked: ProgressArg, what: str) -> Iterator[Progress]:
    """Something to tell progress to while the block runs.

    Args:
        asked: `"auto"` draws a bar on a terminal, and in a notebook that has ipywidgets; True draws one wherever the
            error output leads; False is silent; a function is told itself.
        what: Name of the bar.
    """
    if callable(asked):
        yield asked
        return
    if asked is False:
        yield _silent
        return
    from rich.console import Console

    console = Console(stderr=True, force_terminal=True if asked is True else None)
    # Without ipywidgets rich can only warn in a notebook.
    visible = bool(find_spec("ipywidgets")) if console.is_jupyter else console.is_terminal
    if not visible:
        yield _silent
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _silent(done: int, total: int) -> None:
    """Tell nobody."""
