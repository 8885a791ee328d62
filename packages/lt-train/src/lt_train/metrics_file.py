"""`metrics.jsonl` of a run that goes on from a validation that was put off."""

from __future__ import annotations

import json
from pathlib import Path

from lt_data import atomic_write
from lt_train.metrics.plan import LOSS


def drop_validation(path: Path, step: int) -> None:
    """Remove the line of the validation of `step`, which will be written again.

    It is there when the run was resumed before, validated, and was killed before it saved that.
    """
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not _is_validation(line, step)]
    if kept != lines:
        with atomic_write(path) as stream:
            stream.write("".join(kept).encode())


def _is_validation(line: str, step: int) -> bool:
    try:
        values = json.loads(line)
        return values["step"] == step and LOSS in values
    except ValueError:
        return False
