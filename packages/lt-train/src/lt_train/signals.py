"""A run asked to stop finishes its step, saves, and only then obeys."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""Ctrl-C, what a system sends before it kills, and what a scheduler such as Slurm can send some time before the end."""


class StopRequest:
    """Whether, and by which signal, the run was asked to stop.

    Attributes:
        signal: Its number, 0 for none.
        urgent: It came a second time: nothing is waited for.
        at_once: There is nothing left to save: signals act at once.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.urgent = False
        self.at_once = False

    def agree(self, number: int) -> None:
        """Take over the signal of another rank, 0 for none; one that comes meanwhile is not forgotten."""
        if number:
            self.signal = number

    def obey(self, said: str = "") -> None:
        """Do what the signal would have done at once: KeyboardInterrupt, or exit status 128 + signal.

        Args:
            said: What Python shows below the traceback of the KeyboardInterrupt.
        """
        if self.signal == signal.SIGINT and said:
            raise KeyboardInterrupt(said)
        if self.signal:
            leave(self.signal)

    def obey_at_once(self) -> None:
        """Obey what came before, and from now on each signal as it comes."""
        self.at_once = True
        self.obey()


def leave(number: int, frame: FrameType | None = None) -> None:
    """End the program as a signal does, but through all `finally` blocks.

    Raises:
        KeyboardInterrupt: For SIGINT.
        SystemExit: With status 128 + signal for others.
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


@contextmanager
def leave_on_signals() -> Iterator[None]:
    """Obey signals at once while the block runs, with the exit status of a run: there is nothing to save yet."""
    with _handlers(dict.fromkeys(SIGNALS, leave)):
        yield


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Note signals while the block runs; a second one of the same kind acts at once, and after `obey_at_once` each one.

    Only the main thread can.
    """
    request = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        if request.signal == number or request.at_once:
            request.urgent = True
            leave(number)
        request.signal = number

    with _handlers(dict.fromkeys(SIGNALS, note)):
        yield request


@contextmanager
def _handlers(handlers: Mapping[int, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous: dict[int, Any] = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
