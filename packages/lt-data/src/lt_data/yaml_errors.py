"""Why a YAML file cannot be read, in one line."""

from __future__ import annotations

from pathlib import Path

import yaml

TAB = r"'\t'"
"""As PyYAML shows one."""


def unreadable_yaml(file: Path, error: OSError | UnicodeDecodeError | yaml.YAMLError) -> str:
    """What to say of a file that cannot be read as YAML: which, where in it, and why.

    Args:
        file: The file.
        error: What reading it raised.
    """
    return f"cannot read {file} as a YAML file: {_reason(error)}"


def _reason(error: OSError | UnicodeDecodeError | yaml.YAMLError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark, problem = error.problem_mark, error.problem or "it is no YAML"
    why = "YAML takes blanks, not tabs, for indentation" if TAB in problem else problem
    return f"line {mark.line + 1}, column {mark.column + 1}: {why}"
