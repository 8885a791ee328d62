"""`metrics.jsonl` of a run that goes on from a validation, or a test, that was put off."""

from __future__ import annotations

import json
from pathlib import Path

from lt_data import atomic_write


def drop_values(path: Path, step: int, name: str) -> None:
    """Remove the lines of `step` with the value `name`, which will be written again.

    A validation's is there when the run was resumed before, validated, and was killed before it saved that; a test's
    when the run had ended.
    """
    if not path.is_file():
        return
    # Not as text: there a class name may have a character at which `splitlines` splits too.
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if not _has(line, step, name)]
    if kept != lines:
        with atomic_write(path) as stream:
            stream.write(b"".join(kept))


def _has(line: bytes, step: int, name: str) -> bool:
    try:
        values = json.loads(line)
        return values["step"] == step and name in values
    except ValueError:
        return False
