"""`config.yaml`: what a run was asked for, to start the same run again; `settings.json` has what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lt_data import atomic_write, plain_values
from lt_train.errors import TrainConfigError
from lt_train.yaml_text import dump

HEAD = """\
# What this run was asked for. The same run again, in another folder:
#     lightly-train train --config config.yaml --out ANOTHER_FOLDER
# What every setting became, and why, is in settings.json.
"""


PLAIN = (type(None), bool, int, float, str)


def checked_plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as values that JSON and YAML can hold.

    Raises:
        TrainConfigError: One is of another kind; names its key.
    """
    plain: dict[str, Any] = plain_values(arguments)
    for where, value in _leaves(plain, ""):
        if type(value) not in PLAIN:
            raise TrainConfigError(
                f"{where}: expected text, numbers, true, false, None, or lists and dicts of them, which the run's "
                f"files can hold; got {value!r}"
            )
    return plain


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, f"{where}.{key}" if where else str(key))
    elif isinstance(value, (list, tuple)):
        for i, one in enumerate(value):
            yield from _leaves(one, f"{where}[{i}]")
    else:
        yield where, value


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
