"""`config.yaml`: what a run was asked for, to start the same run again; `settings.json` has what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lt_data import atomic_write
from lt_train.yaml_text import dump

HEAD = """\
# What this run was asked for. The same run again, in another folder:
#     lightly-train train --config config.yaml --out ANOTHER_FOLDER
# What every setting became, and why, is in settings.json.
"""


def write_run_config(path: Path, asked: Mapping[str, Any]) -> None:
    """Write the file, whole or not at all.

    Args:
        path: Where.
        asked: The arguments to start the run again with, as plain values.

    Raises:
        OSError: It cannot be written.
    """
    with atomic_write(path) as stream:
        # A byte of a path that is not UTF-8 cannot be told in YAML.
        stream.write((HEAD + dump(asked)).encode("utf-8", "backslashreplace"))
