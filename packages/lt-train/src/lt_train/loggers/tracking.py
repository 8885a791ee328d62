"""`tracking.json`: which runs of tracking services a run folder belongs to, so that a resumed run goes on with them."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock
from typing import Any

from lt_data import atomic_write


class TrackingFile:
    """Notes of each service, by its name; each change is on the disk before `note` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()

    def noted(self, service: str) -> dict[str, Any]:
        """What is noted of a service, nothing if the file is missing or damaged."""
        notes = self._read().get(service)
        return notes if isinstance(notes, dict) else {}

    def note(self, service: str, **notes: str | int | list[str]) -> None:
        """Add to the notes of a service.

        Raises:
            OSError: The folder cannot be written.
        """
        with self._lock:
            content = self._read()
            content[service] = {**self.noted(service), **notes}
            with atomic_write(self._path) as stream:
                stream.write((json.dumps(content, indent=2) + "\n").encode())

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
