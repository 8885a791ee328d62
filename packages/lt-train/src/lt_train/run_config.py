"""`config.yaml`: the arguments of a run, to read and to start the same run again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lt_data import atomic_write
from lt_train.auto import Plan
from lt_train.loggers.parameters import resolved_parameters
from lt_train.yaml_text import dump

HEAD = """\
# What this run was asked for. The same run again, in another folder:
#     lightly-train train --config config.yaml --out ANOTHER_FOLDER
"""

REST = """
# For reading only: what every setting was in this run, with the reason where it was "auto".
"""


def write_run_config(
    path: Path, asked: Mapping[str, Any], arguments: Mapping[str, Any], plan: Plan, reasons: Mapping[str, str]
) -> None:
    """Write the file, whole or not at all.

    Args:
        path: Where.
        asked: The arguments to start the run again with, as plain values.
        arguments: All arguments, as plain values.
        plan: What "auto" became.
        reasons: Why, by name.

    Raises:
        OSError: It cannot be written.
    """
    model = {"model_args.layer_decay": plan.layer_decay, "model_args.feature_views": plan.feature_views}
    resolved = {**resolved_parameters(arguments, plan), **model}
    lines = [HEAD, dump(asked), REST]
    for name, value in resolved.items():
        if name.startswith("data.classes."):
            continue
        reason = reasons.get(name)
        text = f"{name}: {value}" + (f" ({reason})" if reason else "")
        lines.append(f"#   {' '.join(text.split())}\n")
    with atomic_write(path) as stream:
        # A byte of a path that is not UTF-8 cannot be told in YAML.
        stream.write("".join(lines).encode("utf-8", "backslashreplace"))
