"""How far a run is: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

logger = logging.getLogger(__name__)

PLAIN_INTERVAL_SECONDS = 10.0


class RunProgress:
    """Shows steps, remaining time and the latest values.

    Attributes:
        console: Where the live line is drawn.
    """

    def __init__(self, console: Console, *, first: int, total: int) -> None:
        self._live = _live_line(console) if console.is_terminal else None
        self._task = self._live.add_task("training", total=total, completed=first, values="") if self._live else None
        self._total = total
        self._counted_from: tuple[int, float] | None = None
        self._spoke = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw while the block runs."""
        if self._live is None:
            yield
            return
        with self._live:
            yield

    def advance(self, done: int) -> None:
        """Tell that `done` steps are finished; the first one, which starts workers, does not count for the ETA."""
        if self._counted_from is None:
            self._counted_from = (done, time.monotonic())
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=done)

    def report(self, done: int, values: dict[str, float], *, always: bool = False, note: str = "") -> None:
        """Show values of step `done`; on a plain output at most every ten seconds unless `always`."""
        shown = [f"{name.partition('/')[2] or name} {value:.3g}" for name, value in values.items()]
        text = "  ".join([*shown, note]).rstrip()
        if self._live is not None and self._task is not None:
            self._live.update(self._task, values=text)
            if not always:
                return
        now = time.monotonic()
        if always or done == self._total or now - self._spoke >= PLAIN_INTERVAL_SECONDS:
            self._spoke = now
            eta = f"  ETA {self._remaining(done, now)}" if done < self._total else ""
            logger.info("step %d/%d  %s%s", done, self._total, text, eta)

    def _remaining(self, done: int, now: float) -> str:
        first, began = self._counted_from or (done, now)
        pace = (now - began) / max(1, done - first)
        minutes, seconds = divmod(round(pace * (self._total - done)), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours:d}:{minutes:02d}:{seconds:02d}"


def _live_line(console: Console) -> Progress:
    """Steps and ETA keep their width on a narrow terminal; the bar and the values take what is left."""
    return Progress(
        BarColumn(table_column=Column(ratio=1)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("ETA", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.fields[values]}", table_column=Column(ratio=2, no_wrap=True, overflow="ellipsis")),
        console=console,
        expand=True,
    )
