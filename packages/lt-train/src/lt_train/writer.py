"""One thread that writes while training goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable


class BackgroundWriter:
    """Runs one job at a time in a thread of its own; what a job raises is raised to whoever asks next."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, job: Callable[[], None]) -> None:
        """Start a job once the one before is done.

        Raises:
            OSError: The job before failed so, or as it did otherwise.
        """
        self.wait()
        # A daemon, so that a program which is told twice to stop does not wait for a disk; atomic files allow it.
        self._thread = threading.Thread(target=self._run, args=(job,), name="lt-train-writer", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the job.

        Raises:
            OSError: It failed so, or as it did otherwise.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.look()

    def look(self) -> None:
        """Raise what a job has raised, without waiting."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # raised again in the main thread
            self._error = error
