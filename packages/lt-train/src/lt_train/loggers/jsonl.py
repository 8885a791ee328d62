"""`metrics.jsonl`: one JSON object a line, for scripts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from lt_data import atomic_write
from lt_train.loggers.base import MetricLogger, Outcome
from lt_train.loggers.whole_file import WholeFile


class JsonlLogger(MetricLogger):
    """Appends lines such as `{"step": 10, "train_loss": 0.5}`, which can be read while the run goes on; NaN is null."""

    def __init__(self, path: Path, *, resume_step: int) -> None:
        _drop_after(path, resume_step)
        self._file = WholeFile(path)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write one line."""
        plain = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write((json.dumps({"step": step, **plain}, ensure_ascii=False) + "\n").encode())

    def close(self, outcome: Outcome = "finished") -> None:
        """Close the file."""
        self._file.close()


def _drop_after(path: Path, step: int) -> None:
    """Remove lines of steps after `step`, which a resumed run will write again, and a half-written last line."""
    if not path.is_file():
        return
    kept = []
    # Not as text: there a class name may have a character at which `splitlines` splits too.
    for line in path.read_bytes().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except ValueError:
            continue
    with atomic_write(path) as stream:
        stream.write(b"".join(line + b"\n" for line in kept))
