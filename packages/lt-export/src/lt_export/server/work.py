"""Requests in work: so many run, so many wait, and the rest is turned away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class BusyError(Exception):
    """There are as many requests in work as may be."""


class Work:
    """Counts requests, and runs what is slow in threads so that the event loop stays free.

    Attributes:
        admitted: Requests in work: being received, waiting or running.
        cut_off: Requests that were cancelled before they were answered.
        slots: To be entered around `run`; requests get one in the order in which they ask.
    """

    def __init__(self, max_concurrent: int, max_waiting: int) -> None:
        self._limit = max_concurrent + max_waiting
        self.slots = asyncio.Semaphore(max_concurrent)
        self._pool = ThreadPoolExecutor(max_concurrent, thread_name_prefix="lt-export")
        self.admitted = 0
        self.cut_off = 0

    @contextmanager
    def admission(self) -> Iterator[None]:
        """A request in work, from before its body is read, so that bodies in memory are counted too.

        Raises:
            BusyError: There are as many as may be.
        """
        if self.admitted >= self._limit:
            raise BusyError
        self.admitted += 1
        try:
            yield
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        finally:
            self.admitted -= 1

    async def run(self, function: Callable[[], T]) -> T:
        """The result of `function`, which runs in a thread.

        A request that is cancelled meanwhile frees its slot, but the thread works on: the pool has no other for the
        next one, so there are never more at work than `max_concurrent`.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def close(self) -> None:
        """End idle threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
