"""A tracking service that is slow or unreachable neither stops a run nor slows it."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs

from lt_train.loggers.base import MetricLogger, Outcome, Scalar
from lt_train.loggers.service import Service

logger = logging.getLogger(__name__)

QUEUE_ITEMS = 1000
"""So many calls wait for the service; while they do, further ones are dropped."""

BATCH_SECONDS = 1.0
"""Values of so long a time are sent together."""

ATTEMPTS = 3
"""So often something is sent before it is dropped."""

PAUSE_SECONDS = 10.0
"""Between two attempts."""

SILENCE_SECONDS = 30.0
"""A service that has not taken anything for so long is warned of."""

END_SECONDS = 5.0
"""The end of a run waits so long for what is not sent yet."""

UPLOAD_SECONDS = 120.0
"""The end of a run waits so much longer where a service that has always answered is asked to keep the model, or where
one only writes files on this machine."""


@attrs.frozen
class Item:
    """One thing to send.

    Attributes:
        values: How many values are lost with it.
        send: Sends it; None for values, which are sent together.
        row: Step and values.
    """

    values: int
    send: Callable[[], None] | None = None
    row: tuple[int, Mapping[str, float]] = (0, {})


class RemoteLogger(MetricLogger):
    """Hands everything to a thread of its own, through a queue of limited length; what it cannot take is counted."""

    def __init__(self, name: str, service: Service, *, log_model: bool, offline: bool = False) -> None:
        self._name, self._service, self._log_model, self._offline = name, service, log_model, offline
        self._queue: queue.Queue[Item] = queue.Queue(QUEUE_ITEMS)
        self._lock, self._warning = threading.Lock(), threading.Lock()
        self._waiting, self._dropped = 0, 0
        self._warned, self._answered = False, False
        self._taken_at = time.monotonic()
        self._outcome: Outcome = "finished"
        self._closing, self._abandoned = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"logger-{name}", daemon=True)
        self._thread.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Queue the values that are finite."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        if finite:
            self._put(Item(len(finite), row=(step, finite)))

    def parameters(self, parameters: Mapping[str, Scalar]) -> None:
        """Queue them."""
        self._put(Item(len(parameters), lambda: self._service.send_parameters(parameters)))

    def files(self, files: Sequence[Path], model: Path | None) -> None:
        """Queue them."""
        kept = model if self._log_model else None
        self._put(Item(len(files) + (kept is not None), lambda: self._service.send_files(files, kept)))

    def report(self, page: Path) -> None:
        """Queue it where the model is kept too."""
        if self._log_model:
            self._put(Item(1, lambda: self._service.send_report(page)))

    def close(self, outcome: Outcome = "finished") -> None:
        """Wait for the queue a little, and say what did not get through."""
        self._outcome = outcome
        self._closing.set()
        uploads = self._log_model and self._answered and not self._warned
        # A service that only writes files here answers in the end, however busy the machine is.
        patient = outcome == "finished" and (uploads or self._offline)
        self._thread.join(END_SECONDS + (UPLOAD_SECONDS if patient else 0.0))
        self._abandoned.set()
        with self._lock:
            lost = self._dropped + self._waiting
        if lost:
            self._warn(f"had not taken everything {END_SECONDS:g} s after the end")
            logger.info("%s: %d values were dropped", self._name, lost)

    def _put(self, item: Item) -> None:
        with self._lock:
            silent = self._waiting and time.monotonic() - self._taken_at > SILENCE_SECONDS
            if not self._waiting:
                self._taken_at = time.monotonic()
            self._waiting += item.values
        if silent:
            self._warn(f"has not answered for {SILENCE_SECONDS:g} s")
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._settle(item.values, dropped=True)
            self._warn(f"is too slow, {QUEUE_ITEMS} calls wait for it")

    def _settle(self, values: int, *, dropped: bool) -> None:
        with self._lock:
            self._waiting -= values
            self._dropped += values if dropped else 0
            self._answered = self._answered or not dropped
            if not dropped:
                self._taken_at = time.monotonic()

    def _warn(self, what: str) -> None:
        # Held while it is written: whoever comes second may rely on its being there.
        with self._warning:
            if not self._warned:
                self._warned = True
                logger.warning("%s: %s; the run goes on, and what cannot be sent is dropped", self._name, what)

    def _work(self) -> None:
        """The thread: take what there is, send it, until the run has ended and the queue is empty."""
        while not self._abandoned.is_set():
            items = self._take()
            if not items and self._closing.is_set():
                self._attempt(lambda: self._service.end(self._outcome))
                return
            rows = [item.row for item in items if item.send is None]
            if rows:
                self._deliver(partial(self._service.send, rows), sum(len(values) for _, values in rows))
            for item in items:
                if item.send is not None:
                    self._deliver(item.send, item.values)

    def _take(self) -> list[Item]:
        """Everything of the last second; at the end at once."""
        self._closing.wait(BATCH_SECONDS)
        items = []
        while True:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                return items

    def _deliver(self, send: Callable[[], None], values: int) -> None:
        for attempt in range(ATTEMPTS):
            if self._attempt(send):
                self._settle(values, dropped=False)
                return
            last = attempt == ATTEMPTS - 1 or self._closing.is_set()
            if self._abandoned.is_set() or last:
                break
            self._closing.wait(PAUSE_SECONDS)
        self._settle(values, dropped=True)

    def _attempt(self, send: Callable[[], None]) -> bool:
        try:
            self._service.connect()
            send()
        # A library that talks to a network raises what it likes.
        except Exception as error:
            if not self._abandoned.is_set():
                self._warn(_first_line(error))
            return False
        return True


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
