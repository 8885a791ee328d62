"""Where the packages' log lines go during a run: the screen and `train.log`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

details = logging.getLogger("lt_train.details")
"""For lines that belong into `train.log` only."""

PACKAGES = ("lt_data", "lt_models", "lt_train", "lt_export", "lightly_train")


def first_process() -> bool:
    """Whether this is the only process of a run, or the first, as far as its launcher has said so."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


class ConsoleHandler(logging.Handler):
    """Lines above the progress bar, on the same console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line as it is, without colours of its own."""
        style = "bold yellow" if record.levelno >= logging.WARNING else None
        self._console.print(self.format(record), style=style, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def console_log(console: Console) -> Iterator[None]:
    """Show INFO lines of our packages on `console`, unless the program has set up logging itself."""
    if logging.getLogger().handlers:
        yield
        return
    with _attached(ConsoleHandler(console)):
        yield


class KeepingHandler(logging.Handler):
    """Keeps records for a log that does not exist yet."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)


@contextmanager
def kept_log() -> Iterator[list[logging.LogRecord]]:
    """Keep the lines of our packages from before a run has a folder; `file_log` takes them."""
    handler = KeepingHandler()
    with _attached(handler):
        yield handler.records


@contextmanager
def file_log(path: Path, earlier: Sequence[logging.LogRecord] = ()) -> Iterator[None]:
    """Append all lines of our packages to `path`, with time and level, and what ended the run early.

    Args:
        path: The file.
        earlier: Lines from before; they come first.
    """
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    details.propagate = False
    details.setLevel(logging.DEBUG)
    details.addHandler(handler)
    for record in earlier:
        handler.handle(record)
    try:
        with _attached(handler):
            yield
    except Exception:
        details.debug("the run ended early", exc_info=True)
        raise
    finally:
        details.removeHandler(handler)
        handler.close()


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    loggers = [logging.getLogger(package) for package in PACKAGES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
